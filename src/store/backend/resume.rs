//! A body whose connection broke is read on from where it broke.
//!
//! `object_store` would do that by itself, but as often as it tries anything: once ([`crate::store::backend::outage`]).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, Result};

use crate::store::backend::fault::{Fault, Kind, told};
use crate::store::backend::outage::{Outages, Tries, stopped};

/// Where the reading of a body stands.
struct Body {
    inner: Arc<dyn ObjectStore>,
    location: Path,
    /// Those of the first request.
    options: GetOptions,
    e_tag: Option<String>,
    /// What has not come yet.
    left: Range<u64>,
    stream: Option<BoxStream<'static, Result<Bytes>>>,
    outages: Arc<Outages>,
    tries: Tries,
    failed: bool,
}

/// The same result, with a body that outlives its connection.
pub(in crate::store) fn resumed(
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
    // whoever collects an empty body asks for more behind its end
    let stream = futures::stream::unfold(body, Body::next).fuse();
    got.payload = GetResultPayload::Stream(stream.boxed());
    got
}

impl Body {
    /// The next bytes; nothing follows an error.
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
                // a connection may break behind the last byte
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

    /// Reads on, with a new request where there is none.
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
            Some(next) => next.transpose().map_err(told),
            None => Err(stopped()),
        }
    }
}

/// The rest of a body, by a request of its own.
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
