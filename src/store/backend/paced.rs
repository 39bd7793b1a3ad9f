//! A store whose requests keep to a [`Pace`].
//!
//! ```text
//! Paced: a put waits for its length, a get for its range or for what the caller expects
//!   -> Remote, which tries again; signing
//!     -> PacedService: the first sending of what was waited for is free, each further one waits again
//! ```
//! The wait lies before the first request and not inside of it: a signature ages (S3 takes it for 15
//! minutes), and so do the time out of a request and the deadline of its retries. Whoever waits holds
//! its object and its place among the parallel ones, which is how the limit reaches those who make
//! objects. What nobody knows the length of beforehand (a document, a listing) is let through; a
//! document is charged when it comes. What is as small as a lease is charged but never waits: a chain's
//! lease has to be renewed in time, however long the queue. Copies inside the store cost nothing, they take no link.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, GetResult, ObjectStore, PutOptions, PutPayload, PutResult, Result,
};

use crate::counted::count;
use crate::store::backend::decorated::decorate;
use crate::store::backend::pace::Pace;

/// Puts of at most so many bytes do not wait. A lease has a few hundred.
const SMALL: u64 = 4 << 10;

/// How long an object is, or at most, that a caller is about to get; an extension of [`GetOptions`].
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Expected(pub u64);

/// What was waited for; an extension of requests, so that it comes down to [`PacedService`].
#[derive(Debug, Clone)]
struct WaitedFor {
    bytes: u64,
    used: Arc<AtomicBool>,
}

impl WaitedFor {
    fn new(bytes: u64) -> Self {
        Self {
            bytes,
            used: Arc::default(),
        }
    }
}

/// The wrapper.
#[derive(Debug)]
pub(in crate::store) struct Paced {
    inner: Arc<dyn ObjectStore>,
    pace: Arc<Pace>,
}

impl Paced {
    /// The same store; at a pace when there is one.
    pub(in crate::store) fn over(
        inner: Arc<dyn ObjectStore>,
        pace: Option<&Arc<Pace>>,
    ) -> Arc<dyn ObjectStore> {
        match pace {
            Some(pace) => Arc::new(Self {
                inner,
                pace: Arc::clone(pace),
            }),
            None => inner,
        }
    }
}

/// The length of what will come, where the request tells it.
fn expected(options: &GetOptions) -> Option<u64> {
    match &options.range {
        Some(GetRange::Bounded(range)) => Some(range.end.saturating_sub(range.start)),
        _ => options.extensions.get::<Expected>().map(|e| e.0),
    }
}

impl fmt::Display for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}/s",
            self.inner,
            count(self.pace.rate().get(), "byte")
        )
    }
}

// Parts are not limited: lsnap puts none, because a multipart upload has no create-only form.
decorate! {
    impl [] for Paced, around inner
    [put_multipart_opts delete_stream list list_with_offset list_with_delimiter
     copy_opts rename_opts]
    {
        async fn put_opts(
            &self,
            location: &Path,
            payload: PutPayload,
            mut options: PutOptions,
        ) -> Result<PutResult> {
            let bytes = payload.content_length() as u64;
            if bytes <= SMALL {
                self.pace.charge(bytes);
            } else {
                self.pace.wait(bytes).await;
            }
            options.extensions.insert(WaitedFor::new(bytes));
            self.inner.put_opts(location, payload, options).await
        }

        async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
            if options.head {
                return self.inner.get_opts(location, options).await;
            }
            let Some(bytes) = expected(&options) else {
                let got = self.inner.get_opts(location, options).await?;
                self.pace.charge(got.range.end - got.range.start);
                return Ok(got);
            };
            self.pace.wait(bytes).await;
            options.extensions.insert(WaitedFor::new(bytes));
            let got = self.inner.get_opts(location, options).await;
            let comes = got
                .as_ref()
                .map_or(0, |got| got.range.end - got.range.start);
            self.pace.give_back(bytes.saturating_sub(comes));
            got
        }

        async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
            let lengths = ranges.iter().map(|r| r.end.saturating_sub(r.start));
            self.pace.wait(lengths.fold(0, u64::saturating_add)).await;
            self.inner.get_ranges(location, ranges).await
        }
    }
}

/// A client whose requests, sent again, wait again.
pub(in crate::store) fn service(inner: HttpClient, pace: &Arc<Pace>) -> HttpClient {
    HttpClient::new(PacedService {
        inner,
        pace: Arc::clone(pace),
    })
}

#[derive(Debug)]
struct PacedService {
    inner: HttpClient,
    pace: Arc<Pace>,
}

#[async_trait]
impl HttpService for PacedService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let fare = request.extensions().get::<WaitedFor>();
        let again = fare.filter(|fare| fare.used.swap(true, Ordering::AcqRel));
        if let Some(bytes) = again.map(|fare| fare.bytes) {
            self.pace.wait_at_once(bytes).await;
        }
        self.inner.execute(request).await
    }
}

#[cfg(test)]
#[path = "paced_tests.rs"]
mod tests;
