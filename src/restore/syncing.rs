//! Restored tablespaces are synced while others are merged, and while redo is applied (see
//! [`crate::syncing`]).

use super::error::RestoreError;
use super::sparse::SparseFile;
use crate::locked::Locked;
use crate::syncing::Syncing as Threads;
use std::sync::{Arc, Mutex};

/// Receives files that are completely written.
pub(crate) struct Syncing {
    files: Threads<SparseFile>,
    failure: Arc<Failure>,
}

/// The first sync that failed, until it was returned.
type Failure = Mutex<Option<RestoreError>>;

impl Syncing {
    fn start() -> Self {
        let failure = Arc::<Failure>::default();
        let kept = Arc::clone(&failure);
        let sync = move |file: SparseFile| {
            if let Err(error) = file.sync() {
                let mut first = kept.locked();
                first.get_or_insert(error);
            }
        };
        Self {
            files: Threads::start(sync),
            failure,
        }
    }

    /// Syncs the file before [`with_syncing`] returns.
    ///
    /// # Errors
    /// The error of another file's sync.
    pub(crate) fn sync(&self, file: SparseFile) -> Result<(), RestoreError> {
        if let Some(error) = self.failed() {
            return Err(error);
        }
        self.files.hand_over(file);
        Ok(())
    }

    fn failed(&self) -> Option<RestoreError> {
        let mut failure = self.failure.locked();
        failure.take()
    }
}

/// Does `work`, and returns when every file that it passed on is synced.
///
/// # Errors
/// The error of `work`, or of the first sync that failed.
pub(crate) fn with_syncing<T>(
    work: impl FnOnce(&Syncing) -> Result<T, RestoreError>,
) -> Result<T, RestoreError> {
    let syncing = Syncing::start();
    let result = work(&syncing);
    if let Err(panic) = syncing.files.finish() {
        std::panic::resume_unwind(panic);
    }
    result.and_then(|done| syncing.failed().map_or(Ok(done), Err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syncing::QUEUE;
    use std::path::Path;

    /// Opens a file for which every sync fails: a device that can't be synced.
    fn bad() -> SparseFile {
        SparseFile::for_tests(Path::new("/dev/null"))
    }

    fn good(dir: &Path, n: usize) -> SparseFile {
        SparseFile::create(&dir.join(n.to_string()), 16384, 16384).unwrap()
    }

    #[test]
    fn a_failed_sync_of_the_last_file_fails_the_work() {
        let dir = tempfile::tempdir().unwrap();
        assert!(with_syncing(|syncing| syncing.sync(good(dir.path(), 0))).is_ok());
        let error = with_syncing(|syncing| {
            for n in 1..2 * QUEUE {
                syncing.sync(good(dir.path(), n))?;
            }
            syncing.sync(bad())
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("/dev/null"), "{error}");
    }

    #[test]
    fn a_failed_sync_ends_work_that_continues() {
        let dir = tempfile::tempdir().unwrap();
        let mut tries = 0;
        let error = with_syncing::<()>(|syncing| {
            syncing.sync(bad())?;
            loop {
                tries += 1;
                syncing.sync(good(dir.path(), tries))?;
            }
        });
        assert!(error.unwrap_err().to_string().contains("/dev/null"));
        assert!(tries > 0);
    }
}
