//! A store over a network as the rest of the room sees it: failures told by kind, and a create-only
//! put whose answer was lost is not mistaken for somebody else's.
//!
//! `object_store` sends a request again after a 5xx; when the first had been done all the same, the
//! second is told that the object exists. (After a time out it does not send a create again at all.)
//! So every create carries a random token as metadata of the object: an object that "exists" with this
//! put's token is this put's own. Reading the token back is one HEAD, and only in that case. A store
//! that keeps no metadata makes such a put fail; it never makes a foreign object pass for ours.
//!
//! Nor does `object_store` send a listing, a copy, a removal of many, or a read that is answered with an
//! error, again when the connection breaks while the answer comes (`tests/faults` found it): that is
//! done here.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyOptions, Error, Extensions, GetOptions, GetResult, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result,
};

use crate::store::fault::{Fault, Kind};

/// The metadata's name: no `_` and no `-`, which Azure or some proxies drop.
const TOKEN: &str = "lsnapput";
/// First wait before a put is sent again.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// How long a put is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub retries: usize,
    pub longest_wait: Duration,
    pub deadline: Duration,
}

/// The wrapper.
#[derive(Debug)]
pub(super) struct Remote {
    inner: Arc<dyn ObjectStore>,
    patience: Patience,
}

impl Remote {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, patience: Patience) -> Self {
        Self { inner, patience }
    }

    /// Whether the object there was put with `token`: `None` when there is no object.
    async fn holds(&self, location: &Path, token: &str) -> Result<Option<bool>> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self.inner.get_opts(location, options).await {
            Ok(found) => {
                let key = Attribute::Metadata(TOKEN.into());
                let ours = found
                    .attributes
                    .get(&key)
                    .is_some_and(|v| v.as_ref() == token);
                Ok(Some(ours))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(told(error)),
        }
    }

    /// Whether two objects have the same bytes. What lsnap copies has at most some tens of MiB.
    async fn same(&self, one: &Path, other: &Path) -> Result<bool> {
        let (one, other) = (
            self.inner
                .get_opts(one, GetOptions::default())
                .await
                .map_err(told)?,
            self.inner
                .get_opts(other, GetOptions::default())
                .await
                .map_err(told)?,
        );
        if one.meta.size != other.meta.size {
            return Ok(false);
        }
        Ok(one.bytes().await.map_err(told)? == other.bytes().await.map_err(told)?)
    }

    async fn create(
        &self,
        location: &Path,
        payload: PutPayload,
        extensions: Extensions,
    ) -> Result<PutResult> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let mut tries = Tries::of(self.patience);
        loop {
            let mut attributes = Attributes::new();
            attributes.insert(Attribute::Metadata(TOKEN.into()), token.clone().into());
            let options = PutOptions {
                mode: PutMode::Create,
                attributes,
                extensions: extensions.clone(),
                ..PutOptions::default()
            };
            let error = match self
                .inner
                .put_opts(location, payload.clone(), options)
                .await
            {
                Ok(put) => return Ok(put),
                Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. })) => {
                    match self.holds(location, &token).await? {
                        Some(true) => {
                            return Ok(PutResult {
                                e_tag: None,
                                version: None,
                                extensions: Extensions::new(),
                            });
                        }
                        Some(false) => return Err(error),
                        // S3's 409: another create is under way, and may fail yet
                        None => error,
                    }
                }
                Err(error) => {
                    let error = told(error);
                    if !Fault::of(&error).is_some_and(Fault::is_passing) {
                        return Err(error);
                    }
                    error
                }
            };
            if !tries.wait(&error, &format!("the put of {location}")).await {
                return Err(error);
            }
        }
    }
}

/// Objects of one request, as far as a store takes many: what is done again when it fails in passing.
const REMOVED_TOGETHER: usize = 1000;

/// One operation's tries.
struct Tries {
    patience: Patience,
    began: Instant,
    wait: Duration,
    done: usize,
}

impl Tries {
    fn of(patience: Patience) -> Self {
        Self {
            patience,
            began: Instant::now(),
            wait: FIRST_WAIT,
            done: 0,
        }
    }

    /// Waits for the next try; `false` when there is none: the error stays, or patience is at its end.
    async fn again(&mut self, error: &Error, what: &str) -> bool {
        Fault::of(error).is_some_and(Fault::is_passing) && self.wait(error, what).await
    }

    /// The same, of an error that is known to pass.
    async fn wait(&mut self, error: &Error, what: &str) -> bool {
        let late = self.began.elapsed() + self.wait > self.patience.deadline;
        if self.done >= self.patience.retries || late {
            return false;
        }
        tracing::info!(%error, "{what} is tried again");
        tokio::time::sleep(jittered(self.wait)).await;
        self.wait = (self.wait * 2).min(self.patience.longest_wait);
        self.done += 1;
        true
    }
}

/// Where a listing stands.
struct Walk {
    inner: Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    /// The last key that was told.
    last: Option<Path>,
    /// Whether all came in ascending order; else `last` says nothing of what is missing.
    ascending: bool,
    stream: Option<BoxStream<'static, Result<ObjectMeta>>>,
    tries: Tries,
    patience: Patience,
}

impl Walk {
    /// The next object. `object_store` does not ask again when an answer broke off in its body: here
    /// the listing goes on behind the last key.
    async fn next(mut self) -> Option<(Result<ObjectMeta>, Self)> {
        loop {
            let stream = self.stream.get_or_insert_with(|| match &self.last {
                Some(last) => self.inner.list_with_offset(self.prefix.as_ref(), last),
                None => self.inner.list(self.prefix.as_ref()),
            });
            let error = match stream.next().await? {
                Ok(found) => {
                    self.ascending &= self.last.as_ref().is_none_or(|l| *l < found.location);
                    self.last = Some(found.location.clone());
                    self.tries = Tries::of(self.patience);
                    return Some((Ok(found), self));
                }
                Err(error) => told(error),
            };
            if !self.ascending || !self.tries.again(&error, "a listing").await {
                return Some((Err(error), self));
            }
            self.stream = None;
        }
    }
}

/// Removes some objects, all of them again when the request failed in passing: what is gone by then
/// was removed.
async fn remove(
    inner: Arc<dyn ObjectStore>,
    patience: Patience,
    locations: Vec<Path>,
) -> Vec<Result<Path>> {
    let mut tries = Tries::of(patience);
    loop {
        let all = futures::stream::iter(locations.clone().into_iter().map(Ok)).boxed();
        let results: Vec<_> = inner
            .delete_stream(all)
            .map(|r| r.map_err(told))
            .map(|r| match r {
                Err(Error::NotFound { path, .. }) if tries.done > 0 => Ok(Path::from(path)),
                other => other,
            })
            .collect()
            .await;
        let passing = |e: &&Error| Fault::of(e).is_some_and(Fault::is_passing);
        let failed = results
            .iter()
            .filter_map(|r| r.as_ref().err())
            .find(passing);
        match failed {
            Some(error) if tries.again(error, "a removal").await => {}
            _ => return results,
        }
    }
}

/// Between half of `wait` and all of it, so that many clients do not come back at once.
fn jittered(wait: Duration) -> Duration {
    let random = u64::from(uuid::Uuid::new_v4().as_fields().0);
    let half = wait / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos(nanos / (1 << 16) * (random >> 16))
}

/// The same error, by kind; what other code matches on stays what it is.
fn told(error: Error) -> Error {
    let fault = Fault::read(&error);
    match (error, fault) {
        (error @ (Error::AlreadyExists { .. } | Error::Precondition { .. }), _) => error,
        // a bucket that is not there is not an object that is not there
        (error @ Error::NotFound { .. }, fault) => match fault {
            Some(fault) if fault.kind == Kind::NoBucket => fault.into_error(),
            _ => error,
        },
        (_, Some(fault)) => fault.into_error(),
        (error, None) => error,
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Remote {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Create) && options.attributes.is_empty() {
            return self.create(location, payload, options.extensions).await;
        }
        self.inner
            .put_opts(location, payload, options)
            .await
            .map_err(told)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner
            .put_multipart_opts(location, options)
            .await
            .map_err(told)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut tries = Tries::of(self.patience);
        loop {
            let error = match self.inner.get_opts(location, options.clone()).await {
                Ok(found) => return Ok(found),
                Err(error) => told(error),
            };
            if !tries.again(&error, "a read").await {
                return Err(error);
            }
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut tries = Tries::of(self.patience);
        loop {
            let error = match self.inner.get_ranges(location, ranges).await {
                Ok(found) => return Ok(found),
                Err(error) => told(error),
            };
            if !tries.again(&error, "a read").await {
                return Err(error);
            }
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, patience) = (Arc::clone(&self.inner), self.patience);
        locations
            .chunks(REMOVED_TOGETHER)
            .then(move |chunk| {
                let inner = Arc::clone(&inner);
                async move {
                    let (good, bad): (Vec<_>, Vec<_>) = chunk.into_iter().partition(Result::is_ok);
                    let good = good.into_iter().flatten().collect();
                    let mut results = remove(inner, patience, good).await;
                    results.extend(bad);
                    futures::stream::iter(results)
                }
            })
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let walk = Walk {
            inner: Arc::clone(&self.inner),
            prefix: prefix.cloned(),
            last: None,
            ascending: true,
            stream: None,
            tries: Tries::of(self.patience),
            patience: self.patience,
        };
        futures::stream::unfold(walk, Walk::next).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner
            .list_with_offset(prefix, offset)
            .map(|r| r.map_err(told))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut tries = Tries::of(self.patience);
        loop {
            let error = match self.inner.list_with_delimiter(prefix).await {
                Ok(found) => return Ok(found),
                Err(error) => told(error),
            };
            if !tries.again(&error, "a listing").await {
                return Err(error);
            }
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mut tries = Tries::of(self.patience);
        loop {
            let error = match self.inner.copy_opts(from, to, options.clone()).await {
                Ok(()) => return Ok(()),
                // it may be there by the try whose answer was lost: then it has the source's bytes
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. })
                    if tries.done > 0 && self.same(from, to).await? =>
                {
                    return Ok(());
                }
                Err(error) => told(error),
            };
            if !tries.again(&error, "a copy").await {
                return Err(error);
            }
        }
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner
            .rename_opts(from, to, options)
            .await
            .map_err(told)
    }
}
