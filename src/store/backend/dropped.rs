//! A local store that keeps backups out of the page cache: it drops the pages of every object that
//! it wrote.
//!
//! A repository in a directory is mostly on the host of the server, and a backup is rarely read
//! soon after it was made. Without this, a backup of any size would evict the server's pages from
//! the cache. It costs one call an object: the store flushes every object (`with_fsync`) before it
//! is renamed into place, so its pages are clean by then.

use std::fmt;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{PutOptions, PutPayload, PutResult, Result};
use rustix::fs::{Advice, fadvise};

use crate::store::backend::decorated::decorate;

/// Smaller objects, in bytes, stay in the cache: they are documents, which are read again.
const LARGE: usize = 256 << 10;

/// A local file system whose large objects are dropped from the page cache.
#[derive(Debug)]
pub(in crate::store) struct Dropped(pub LocalFileSystem);

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Drops a file from the page cache. A failure doesn't matter: the call is only advice, and the
/// object may be gone already.
fn forget(path: &std::path::Path) {
    if let Ok(file) = std::fs::File::open(path) {
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
    }
}

// Multipart uploads are passed on: lsnap doesn't use them, because they can't be create-only.
decorate! {
    impl [] for Dropped, around 0
    [put_multipart_opts get_opts get_ranges delete_stream list list_with_offset list_with_delimiter
     copy_opts rename_opts]
    {
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
    }
}
