//! A local store that doesn't fill the page cache: what was written is dropped from it.
//!
//! A repository in a directory is mostly on the host of the server, and nobody reads a backup soon after it
//! was made; without this, a backup of any size would push out of the cache what the server keeps there.
//! It costs nothing beside one call an object: the store flushes every object (`with_fsync`) before it is
//! renamed into place, so that its pages are clean by then.

use std::fmt;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{PutOptions, PutPayload, PutResult, Result};
use rustix::fs::{Advice, fadvise};

use crate::store::backend::decorated::decorate;

/// Smaller objects are documents, which are read again.
const LARGE: usize = 256 << 10;

/// The wrapper.
#[derive(Debug)]
pub(in crate::store) struct Dropped(pub LocalFileSystem);

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

// A multipart upload is passed as it is: lsnap puts no parts, because there is no create-only form of one.
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
