//! A local store that doesn't fill the page cache: what was written is dropped from it.
//!
//! A repository in a directory is mostly on the host of the server, and nobody reads a backup soon after it
//! was made; without this, a backup of any size would push out of the cache what the server keeps there.
//! It costs nothing beside one call an object: the store flushes every object (`with_fsync`) before it is
//! renamed into place, so that its pages are clean by then.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use rustix::fs::{Advice, fadvise};

/// Smaller objects are documents, which are read again.
const LARGE: usize = 256 << 10;

/// The wrapper.
#[derive(Debug)]
pub(super) struct Dropped(pub LocalFileSystem);

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Advice: when it is not taken, or the object is gone already, nothing is lost but the advantage.
fn forget(path: &std::path::Path) {
    if let Ok(file) = std::fs::File::open(path) {
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
    }
}

#[async_trait]
impl ObjectStore for Dropped {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = payload.content_length();
        let put = self.0.put_opts(location, payload, options).await?;
        if bytes >= LARGE
            && let Ok(path) = self.0.path_to_filesystem(location)
        {
            let _ = tokio::task::spawn_blocking(move || forget(&path)).await;
        }
        Ok(put)
    }

    /// Nothing is dropped: lsnap puts no parts, because a multipart upload has no create-only form.
    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}
