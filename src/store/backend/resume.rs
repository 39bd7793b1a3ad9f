//! Response bodies that are resumed after a broken connection.
//!
//! `object_store` could do this itself, but with the number of retries that it has for all
//! requests: none ([`crate::store::backend::outage`]).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, Result};

use crate::store::backend::fault::{Fault, Kind, classified};
use crate::store::backend::outage::{Outages, Tries, stopped};

/// The position of a response body.
struct Body {
    inner: Arc<dyn ObjectStore>,
    location: Path,
    /// The options of the first request.
    options: GetOptions,
    e_tag: Option<String>,
    /// The range that has not arrived yet.
    left: Range<u64>,
    stream: Option<BoxStream<'static, Result<Bytes>>>,
    outages: Arc<Outages>,
    tries: Tries,
    failed: bool,
}

/// Replaces the body of a response by one that is resumed when its connection breaks.
pub(super) fn resumed(
    inner: &Arc<dyn ObjectStore>,
    outages: &Arc<Outages>,
    location: &Path,
    options: GetOptions,
    mut got: GetResult,
) -> GetResult {
    let GetResultPayload::Stream(stream) = got.payload else {
        return got;
    };
    let body = Body {
        inner: Arc::clone(inner),
        location: location.clone(),
        options,
        e_tag: got.meta.e_tag.clone(),
        left: got.range.clone(),
        stream: Some(stream),
        outages: Arc::clone(outages),
        tries: Tries::of(outages),
        failed: false,
    };
    // fused, because a reader of an empty body polls it again after its end
    let stream = futures::stream::unfold(body, Body::next).fuse();
    got.payload = GetResultPayload::Stream(stream.boxed());
    got
}

impl Body {
    /// Returns the next bytes. An error ends the body.
    async fn next(mut self) -> Option<(Result<Bytes>, Self)> {
        if self.failed {
            return None;
        }
        loop {
            let error = match self.read().await {
                Ok(Some(bytes)) => {
                    self.left.start += bytes.len() as u64;
                    self.tries.succeeded();
                    return Some((Ok(bytes), self));
                }
                Ok(None) => return None,
                // a connection may break after the last byte
                Err(_) if self.left.is_empty() => return None,
                Err(error) => error,
            };
            self.stream = None;
            if let Err(error) = self.tries.again(error).await {
                self.failed = true;
                return Some((Err(error), self));
            }
        }
    }

    /// Reads from the current stream, or from a new request for the remaining range.
    async fn read(&mut self) -> Result<Option<Bytes>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(
                rest(
                    &self.inner,
                    &self.outages,
                    &self.location,
                    GetOptions {
                        range: Some(GetRange::Bounded(self.left.clone())),
                        if_match: self.e_tag.clone(),
                        ..self.options.clone()
                    },
                )
                .await?,
            ),
        };
        match self.outages.unless_stopped(stream.next()).await {
            Some(next) => next.transpose().map_err(classified),
            None => Err(stopped()),
        }
    }
}

/// Requests the remaining range of a body.
async fn rest(
    inner: &Arc<dyn ObjectStore>,
    outages: &Outages,
    location: &Path,
    options: GetOptions,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    let request = inner.get_opts(location, options);
    match outages.attempt(request).await {
        Ok(got) => Ok(got.into_stream()),
        Err(Error::Precondition { .. }) => Err(Fault {
            kind: Kind::Other,
            what: format!("{location} was changed while it was read"),
        }
        .into_error()),
        Err(error) => Err(error),
    }
}
