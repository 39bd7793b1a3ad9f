//! A store over a network: retries, failures by kind, and create-only puts whose response may be
//! lost.
//!
//! Every request is retried while the store is unavailable ([`crate::store::backend::outage`]). If
//! the first attempt of a create succeeded and only its response was lost, the second fails because
//! the object exists. Therefore every create stores a random token as metadata of the object: an
//! existing object with this put's token was created by this put. Reading the token is one HEAD
//! request, and only in that case. With a store that doesn't keep metadata such a put fails; an
//! object of another process is never taken for one's own.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

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

use crate::store::backend::fault::{Fault, Kind, classified};
use crate::store::backend::outage::{Outages, Tries, is_passing, stopped};
use crate::store::backend::resume::resumed;

/// The name of the metadata. It has no `_` and no `-`, which Azure or some proxies drop.
const TOKEN: &str = "lsnapput";

/// A store over a network.
#[derive(Debug)]
pub(super) struct Remote {
    inner: Arc<dyn ObjectStore>,
    outages: Arc<Outages>,
}

impl Remote {
    pub(in crate::store) fn new(inner: Arc<dyn ObjectStore>, outages: Arc<Outages>) -> Self {
        Self { inner, outages }
    }

    /// Returns whether the existing object was put with `token`, or `None` if there is no object.
    async fn holds(&self, location: &Path, token: &str) -> Result<Option<bool>> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let asked = || self.inner.get_opts(location, options.clone());
        match self.outages.repeated(asked).await {
            Ok(found) => {
                let key = Attribute::Metadata(TOKEN.into());
                let ours = found
                    .attributes
                    .get(&key)
                    .is_some_and(|v| v.as_ref() == token);
                Ok(Some(ours))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether two objects have the same bytes. Objects that lsnap copies have at most some
    /// tens of MiB.
    async fn same(&self, one: &Path, other: &Path) -> Result<bool> {
        let (one, other) = (
            self.get_opts(one, GetOptions::default()).await?,
            self.get_opts(other, GetOptions::default()).await?,
        );
        if one.meta.size != other.meta.size {
            return Ok(false);
        }
        Ok(one.bytes().await? == other.bytes().await?)
    }

    async fn create(
        &self,
        location: &Path,
        payload: PutPayload,
        extensions: Extensions,
    ) -> Result<PutResult> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let mut tries = Tries::of(&self.outages);
        loop {
            let mut attributes = Attributes::new();
            attributes.insert(Attribute::Metadata(TOKEN.into()), token.clone().into());
            let options = PutOptions {
                mode: PutMode::Create,
                attributes,
                extensions: extensions.clone(),
                ..PutOptions::default()
            };
            let put = self.inner.put_opts(location, payload.clone(), options);
            match self.outages.attempt(put).await {
                Ok(put) => {
                    tries.succeeded();
                    return Ok(put);
                }
                Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. })) => {
                    match self.holds(location, &token).await? {
                        Some(true) => {
                            tries.succeeded();
                            return Ok(PutResult {
                                e_tag: None,
                                version: None,
                                extensions: Extensions::new(),
                            });
                        }
                        Some(false) => return Err(error),
                        // S3's 409: another create is in progress, and may still fail
                        None => tries.wait(error).await?,
                    }
                }
                Err(error) => tries.again(error).await?,
            }
        }
    }
}

impl Remote {
    fn walk(
        &self,
        prefix: Option<&Path>,
        behind: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let walk = Walk {
            inner: Arc::clone(&self.inner),
            prefix: prefix.cloned(),
            last: behind.cloned(),
            ascending: true,
            stream: None,
            outages: Arc::clone(&self.outages),
            tries: Tries::of(&self.outages),
            failed: false,
        };
        futures::stream::unfold(walk, Walk::next).fuse().boxed()
    }
}

/// Objects of one delete request, as many as stores accept. After a temporary failure the whole
/// request is repeated.
const REMOVED_TOGETHER: usize = 1000;

/// The position of a listing.
struct Walk {
    inner: Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    /// The last key that was returned.
    last: Option<Path>,
    /// Whether all keys came in ascending order. If not, the listing can't be resumed after `last`.
    ascending: bool,
    stream: Option<BoxStream<'static, Result<ObjectMeta>>>,
    outages: Arc<Outages>,
    tries: Tries,
    /// Whether an error was returned, which ends the listing.
    failed: bool,
}

impl Walk {
    /// Returns the next object. After a temporary failure the listing is resumed after the last
    /// key.
    async fn next(mut self) -> Option<(Result<ObjectMeta>, Self)> {
        if self.failed {
            return None;
        }
        loop {
            let stream = self.stream.get_or_insert_with(|| match &self.last {
                Some(last) => self.inner.list_with_offset(self.prefix.as_ref(), last),
                None => self.inner.list(self.prefix.as_ref()),
            });
            let next = async { stream.next().await.transpose() };
            let error = match self.outages.attempt(next).await {
                Ok(None) => {
                    self.tries.succeeded();
                    return None;
                }
                Ok(Some(found)) => {
                    self.ascending &= self.last.as_ref().is_none_or(|l| *l < found.location);
                    self.last = Some(found.location.clone());
                    self.tries.succeeded();
                    return Some((Ok(found), self));
                }
                Err(error) => error,
            };
            let again = if self.ascending {
                self.tries.again(error).await
            } else {
                Err(error)
            };
            if let Err(error) = again {
                self.failed = true;
                return Some((Err(error), self));
            }
            self.stream = None;
        }
    }
}

/// Removes some objects. After a temporary failure all of them are removed again; an object that is
/// missing then counts as removed.
async fn remove(
    inner: Arc<dyn ObjectStore>,
    outages: Arc<Outages>,
    locations: Vec<Path>,
) -> Vec<Result<Path>> {
    let mut tries = Tries::of(&outages);
    loop {
        let again = tries.done > 0;
        let all = futures::stream::iter(locations.clone().into_iter().map(Ok)).boxed();
        let removal = inner
            .delete_stream(all)
            .map(|r| r.map_err(classified))
            .map(|r| match r {
                Err(Error::NotFound { path, .. }) if again => Ok(Path::from(path)),
                other => other,
            })
            .collect::<Vec<_>>();
        let Some(mut results) = outages.unless_stopped(removal).await else {
            return locations.into_iter().map(|_| Err(stopped())).collect();
        };
        let passing = |r: &Result<Path>| r.as_ref().is_err_and(is_passing);
        let Some(at) = results.iter().position(passing) else {
            tries.succeeded();
            return results;
        };
        let error = results.swap_remove(at);
        match error {
            Ok(_) => return results,
            Err(error) => {
                if let Err(error) = tries.again(error).await {
                    results.push(Err(error));
                    return results;
                }
            }
        }
    }
}

/// Converts the error of a store that doesn't support a kind of copy into `NotSupported`, which
/// clients return if they know it without a request.
fn not_supported(error: Error) -> Error {
    match Fault::of(&error) {
        Some(fault) if fault.kind == Kind::Unsupported => Error::NotSupported {
            source: Box::new(fault.clone()),
        },
        _ => error,
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
        let put = || {
            self.inner
                .put_opts(location, payload.clone(), options.clone())
        };
        self.outages.repeated(put).await
    }

    /// Attempted once: lsnap doesn't use multipart uploads, because they can't be create-only.
    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.inner.put_multipart_opts(location, options);
        self.outages.attempt(begun).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let asked = || self.inner.get_opts(location, options.clone());
        let got = self.outages.repeated(asked).await?;
        Ok(resumed(&self.inner, &self.outages, location, options, got))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let asked = || self.inner.get_ranges(location, ranges);
        self.outages.repeated(asked).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, outages) = (Arc::clone(&self.inner), Arc::clone(&self.outages));
        locations
            .chunks(REMOVED_TOGETHER)
            .then(move |chunk| {
                let (inner, outages) = (Arc::clone(&inner), Arc::clone(&outages));
                async move {
                    let (good, bad): (Vec<_>, Vec<_>) = chunk.into_iter().partition(Result::is_ok);
                    let good = good.into_iter().flatten().collect();
                    let mut results = remove(inner, outages, good).await;
                    results.extend(bad);
                    futures::stream::iter(results)
                }
            })
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.walk(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.walk(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let asked = || self.inner.list_with_delimiter(prefix);
        self.outages.repeated(asked).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mut tries = Tries::of(&self.outages);
        loop {
            let copy = self.inner.copy_opts(from, to, options.clone());
            match self.outages.attempt(copy).await {
                Ok(()) => {
                    tries.succeeded();
                    return Ok(());
                }
                // an earlier attempt whose response was lost may have created it: then it has the
                // source's bytes
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. })
                    if tries.done > 0 && self.same(from, to).await? =>
                {
                    return Ok(());
                }
                Err(error) => tries.again(not_supported(error)).await?,
            }
        }
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let renamed = self.inner.rename_opts(from, to, options);
        self.outages.attempt(renamed).await
    }
}
