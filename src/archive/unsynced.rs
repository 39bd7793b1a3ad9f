//! What must be on the disk before an extraction is a success.
//!
//! A write is done when the page cache has its bytes. That the disk behind is full (a thin pool, a quota of
//! a server) or fails is told by a sync of the same open file, and perhaps by nothing else, ever.

use super::error::ArchiveError;
use rustix::io::Errno;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// An open file, or directory, that is not synced yet.
#[derive(Debug)]
pub(super) struct Unsynced {
    file: Arc<File>,
    path: PathBuf,
    is_directory: bool,
}

impl Unsynced {
    /// A file that is whole: the one that its bytes were written through.
    pub(super) const fn file(file: Arc<File>, path: PathBuf) -> Self {
        Self {
            file,
            path,
            is_directory: false,
        }
    }

    /// A directory whose names were changed.
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

    /// Brings it to stable storage.
    ///
    /// # Errors
    /// [`ArchiveError::Unsynced`].
    pub(super) fn sync(&self) -> Result<(), ArchiveError> {
        match self.file.sync_all() {
            // There are file systems (of shared folders) that know no sync of a directory, and answer with
            // this; the extraction would be impossible there.
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

    /// A device has nothing to sync, and says that of every sync.
    #[test]
    fn what_cannot_be_synced_is_an_error_for_a_file_alone() {
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
