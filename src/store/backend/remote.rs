//! A store over a network as the rest of the layer sees it: failures told by kind, and a create-only
//! put whose answer was lost is not mistaken for somebody else's.
//!
//! Every request is made again while the store is away ([`crate::store::backend::outage`]). When the first try of a create
//! was done and only its answer was lost, the second is told that the object exists. So every create carries
//! a random token as metadata of the object: an object that "exists" with this
//! put's token is this put's own. Reading the token back is one HEAD, and only in that case. A store
//! that keeps no metadata makes such a put fail; it never makes a foreign object pass for ours.

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

use crate::store::backend::fault::{Fault, Kind, told};
use crate::store::backend::outage::{Outages, Tries, is_passing, stopped};
use crate::store::backend::resume::resumed;

/// The metadata's name: no `_` and no `-`, which Azure or some proxies drop.
const TOKEN: &str = "lsnapput";

/// The wrapper.
#[derive(Debug)]
pub(in crate::store) struct Remote {
    inner: Arc<dyn ObjectStore>,
    outages: Arc<Outages>,
}

impl Remote {
    pub(in crate::store) fn new(inner: Arc<dyn ObjectStore>, outages: Arc<Outages>) -> Self {
        Self { inner, outages }
    }

    /// Whether the object there was put with `token`: `None` when there is no object.
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

    /// Whether two objects have the same bytes. What lsnap copies has at most some tens of MiB.
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
                        // S3's 409: another create is under way, and may fail yet
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

/// Objects of one request, as far as a store takes many: what is done again when it fails in passing.
const REMOVED_TOGETHER: usize = 1000;

/// Where a listing stands.
struct Walk {
    inner: Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    /// The last key that was told.
    last: Option<Path>,
    /// Whether all came in ascending order; else `last` says nothing of what is missing.
    ascending: bool,
    stream: Option<BoxStream<'static, Result<ObjectMeta>>>,
    outages: Arc<Outages>,
    tries: Tries,
    /// Nothing follows an error.
    failed: bool,
}

impl Walk {
    /// The next object. After a failure the listing goes on behind the last key.
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

/// Removes some objects, all of them again when the request failed in passing: what is gone by then
/// was removed.
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
            .map(|r| r.map_err(told))
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

/// What a store says that lacks a kind of copy, in the words of one whose client knows it beforehand.
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

    /// Tried once: lsnap puts no parts, because a multipart upload has no create-only form.
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
                // it may be there by the try whose answer was lost: then it has the source's bytes
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
