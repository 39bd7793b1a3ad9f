//! The notes with which a deletion begins, and what readers have to do with them: see [`crate::store::lease::readers`].

use crate::manifest::BackupName;
use crate::store::deletion::remove::Removal;
use crate::store::error::StoreError;
use crate::store::error::deletion::DeletionFault;
use crate::store::objects::repository::Repository;

/// Notes of deletions that this process put, and that nobody reads these backups.
#[derive(Debug)]
pub(crate) struct Noted<'a> {
    repository: &'a Repository,
    ours: Vec<BackupName>,
}

impl<'a> Noted<'a> {
    /// Notes that these backups go (the newest first; on a disk that is `full` nothing is noted), then looks
    /// whether somebody reads one of them: the order that readers rely on.
    ///
    /// # Errors
    /// [`DeletionFault::BeingRead`](crate::store::DeletionFault::BeingRead), or the store's own error: then no note is left.
    pub(crate) fn put(
        repository: &'a Repository,
        backups: &[BackupName],
        full: bool,
    ) -> Result<Self, StoreError> {
        let mut noted = Self {
            repository,
            ours: Vec::new(),
        };
        if backups.is_empty() {
            return Ok(noted);
        }
        if !full {
            // one after the other: one of xtrabackup's with a note is no longer whole, and what stands on it
            // must not look better
            for name in backups {
                if Removal::new(repository, name, 1).announce_anew() {
                    noted.ours.push(name.clone());
                }
            }
        }
        match repository.reader_of(backups) {
            Ok(None) => Ok(noted),
            Ok(Some((name, reader))) => {
                noted.take_back();
                Err(StoreError::Deletion(DeletionFault::BeingRead {
                    name,
                    holder: Box::new(reader.holder),
                    work: reader.work,
                }))
            }
            Err(error) => {
                noted.take_back();
                Err(error)
            }
        }
    }

    /// Nothing is deleted after all.
    fn take_back(&self) {
        for name in self.ours.iter().rev() {
            Removal::new(self.repository, name, 1).renounce();
        }
    }

    /// Takes them back after an error that says that nothing was done.
    pub(crate) fn unless_begun(&self, error: StoreError) -> StoreError {
        if matches!(
            error,
            StoreError::Lease(_) | StoreError::Deletion(DeletionFault::Changed { .. })
        ) {
            self.take_back();
        }
        error
    }
}
