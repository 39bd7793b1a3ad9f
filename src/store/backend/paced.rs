//! A store whose requests observe a [`Pace`].
//!
//! ```text
//! Paced: a put waits for its length, a get for its range or for the expected length
//!   -> Remote, which retries; signing
//!     -> PacedService: the first transmission has waited already, each further one waits again
//! ```
//! The wait comes before the first request, because a signature expires (S3 accepts it for 15
//! minutes), and the request's timeout and the deadline of its retries run. A waiting caller keeps
//! its object and its slot among the parallel requests; in this way the limit also slows the
//! threads that produce objects. Transfers of unknown length (a document, a listing) don't wait; a
//! document is charged when it arrives. Objects as small as a lease are charged but never wait: the
//! lease of a chain must be renewed in time, however long the queue is. Copies within the store are
//! not charged, because they don't use the network.

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

/// Puts of at most this many bytes don't wait. A lease has a few hundred.
const SMALL: u64 = 4 << 10;

/// The length, or the largest possible length, of an object that is to be read; an extension of
/// [`GetOptions`].
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Expected(pub u64);

/// The bytes that a request has waited for; an extension of requests that [`PacedService`] reads.
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

/// A store with a rate limit.
#[derive(Debug)]
pub(in crate::store) struct Paced {
    inner: Arc<dyn ObjectStore>,
    pace: Arc<Pace>,
}

impl Paced {
    /// Wraps `inner` if there is a limit.
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

/// Returns the length of the response, if the request defines it.
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

// Multipart uploads are not limited: lsnap doesn't use them, because they can't be create-only.
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

/// Wraps a client so that a request that is sent again waits again.
pub(super) fn service(inner: HttpClient, pace: &Arc<Pace>) -> HttpClient {
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
        let waited_for = request.extensions().get::<WaitedFor>();
        let again = waited_for.filter(|w| w.used.swap(true, Ordering::AcqRel));
        if let Some(bytes) = again.map(|w| w.bytes) {
            self.pace.wait_at_once(bytes).await;
        }
        self.inner.execute(request).await
    }
}

#[cfg(test)]
#[path = "paced_tests.rs"]
mod tests;
