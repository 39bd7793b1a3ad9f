//! Files are brought to the disk while others are written.
//!
//! A sync waits for the disk, and whoever merges pages shall not wait: with many small tables each file is a
//! sync of some milliseconds, with large ones the disk would stand still while the next is read. So whole files
//! are handed over to threads that do nothing else. At most [`QUEUE`] and [`THREADS`] files are open for that.

use super::error::RestoreError;
use super::sparse::SparseFile;
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Syncs at the same time: of small files the file system makes one of its commits.
const THREADS: usize = 8;
/// Files that wait for theirs.
const QUEUE: usize = 32;

/// Takes files whose bytes are all written.
pub(crate) struct Syncing<'a> {
    files: SyncSender<SparseFile>,
    failure: &'a Failure,
}

/// The first sync that failed, until somebody has taken it.
type Failure = Mutex<Option<RestoreError>>;

impl Syncing<'_> {
    /// Has the file brought to stable storage, before [`beside`] returns.
    ///
    /// # Errors
    /// What another file's sync said.
    pub(crate) fn sync(&self, file: SparseFile) -> Result<(), RestoreError> {
        match take(self.failure) {
            Some(error) => Err(error),
            None => match self.files.send(file) {
                Ok(()) => Ok(()),
                // Nobody is there to do it.
                Err(SendError(file)) => file.sync(),
            },
        }
    }
}

/// Does `work`, and returns when every file that it handed over is on stable storage.
///
/// # Errors
/// What `work` says, or the first sync that failed.
pub(crate) fn beside<T>(
    work: impl FnOnce(&Syncing<'_>) -> Result<T, RestoreError>,
) -> Result<T, RestoreError> {
    let (sender, receiver) = sync_channel(QUEUE);
    let (receiver, failure) = (Mutex::new(receiver), Failure::default());
    let result = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| sync_all(&receiver, &failure));
        }
        work(&Syncing {
            files: sender,
            failure: &failure,
        })
    });
    result.and_then(|done| take(&failure).map_or(Ok(done), Err))
}

fn sync_all(files: &Mutex<Receiver<SparseFile>>, failure: &Failure) {
    let next = || {
        let files = files.lock().unwrap_or_else(PoisonError::into_inner);
        files.recv().ok()
    };
    while let Some(file) = next() {
        if let Err(error) = file.sync() {
            let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
        }
    }
}

fn take(failure: &Failure) -> Option<RestoreError> {
    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
    failure.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A file of which every sync fails: a device that has nothing to sync.
    fn bad() -> SparseFile {
        SparseFile::for_tests(Path::new("/dev/null"))
    }

    fn good(dir: &Path, n: usize) -> SparseFile {
        SparseFile::create(&dir.join(n.to_string()), 16384, 16384).unwrap()
    }

    #[test]
    fn a_sync_that_fails_fails_the_work_though_it_was_the_last() {
        let dir = tempfile::tempdir().unwrap();
        assert!(beside(|syncing| syncing.sync(good(dir.path(), 0))).is_ok());
        let error = beside(|syncing| {
            for n in 1..2 * QUEUE {
                syncing.sync(good(dir.path(), n))?;
            }
            syncing.sync(bad())
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("/dev/null"), "{error}");
    }

    #[test]
    fn who_goes_on_hears_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut tries = 0;
        let error = beside::<()>(|syncing| {
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
