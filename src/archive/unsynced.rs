//! Files and directories that must be synced before an extraction succeeds.
//!
//! A write returns when its bytes are in the page cache. If the disk is full (a thin pool, a quota of a server) or
//! fails, possibly only a sync of the same open file returns the error.

use super::error::ArchiveError;
use rustix::io::Errno;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// An open file or directory that is not synced yet.
#[derive(Debug)]
pub(super) struct Unsynced {
    file: Arc<File>,
    path: PathBuf,
    is_directory: bool,
}

impl Unsynced {
    /// Creates one for a complete file. `file` must be the file that the bytes were written through.
    pub(super) const fn file(file: Arc<File>, path: PathBuf) -> Self {
        Self {
            file,
            path,
            is_directory: false,
        }
    }

    /// Creates one for a directory whose entries were changed.
    pub(super) fn directory(file: File, path: PathBuf) -> Self {
        Self {
            file: Arc::new(file),
            path,
            is_directory: true,
        }
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Syncs it to stable storage.
    ///
    /// # Errors
    /// [`ArchiveError::Unsynced`].
    pub(super) fn sync(&self) -> Result<(), ArchiveError> {
        match self.file.sync_all() {
            // Some file systems (of shared folders) return this for the sync of a directory; extraction would
            // be impossible there.
            Err(error) if self.is_directory && is_invalid(&error) => Ok(()),
            synced => synced.map_err(|source| ArchiveError::Unsynced {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

fn is_invalid(error: &std::io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sync of /dev/null fails with EINVAL.
    #[test]
    fn an_unsupported_sync_is_an_error_only_for_a_file() {
        let open = || File::open("/dev/null").unwrap();
        let error = Unsynced::file(Arc::new(open()), "db/t".into()).sync();
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("db/t did not reach the disk: "),
            "{error}"
        );
        Unsynced::directory(open(), "db".into()).sync().unwrap();
    }
}
