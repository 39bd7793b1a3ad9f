//! The notes with which a deletion begins, and how they relate to readers: see
//! [`crate::store::lease::readers`].

use crate::manifest::BackupName;
use crate::store::deletion::remove::Removal;
use crate::store::error::StoreError;
use crate::store::error::deletion::DeletionFault;
use crate::store::objects::repository::Repository;

/// The notes of deletions that this process put. No other process reads these backups.
#[derive(Debug)]
pub(crate) struct DeletionNotes<'a> {
    repository: &'a Repository,
    ours: Vec<BackupName>,
}

impl<'a> DeletionNotes<'a> {
    /// Puts a note that these backups are being deleted (the newest first; on a disk that is `full`
    /// no note is put), then looks for readers of them. Readers rely on this order.
    ///
    /// # Errors
    /// [`DeletionFault::BeingRead`](crate::store::DeletionFault::BeingRead), or an error of the
    /// store. The notes are removed then.
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
            // one after the other: a backup of xtrabackup's with a note no longer counts as
            // finished, and backups that depend on it must not seem to be in a better state
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

    /// Removes the notes, because nothing is deleted.
    fn take_back(&self) {
        for name in self.ours.iter().rev() {
            Removal::new(self.repository, name, 1).withdraw();
        }
    }

    /// Removes the notes if the error means that nothing was done.
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
