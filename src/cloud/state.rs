//! The state of the objects under a name: for programs that put a backup again after a failure.

use super::{CloudError, marks_finished};
use crate::manifest::{BackupName, CLAIM, MANIFEST, split_object_name};
use crate::store::{Repository, RequestFault, StoreError};

/// The state of the objects of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredState {
    /// There are no objects.
    Absent,
    /// No object marks the backup as finished.
    Unfinished,
    /// The backup is finished: one of lsnap by its manifest, another by the file that xbcloud stores last.
    Finished,
}

impl StoredState {
    /// Returns its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Unfinished => "unfinished",
            Self::Finished => "finished",
        }
    }
}

/// Returns the state of the objects under `<name>/`. Without the bucket, there are none.
///
/// # Errors
/// An error of the store.
pub(crate) fn stored_state(
    repository: &Repository,
    name: &BackupName,
) -> Result<StoredState, CloudError> {
    let (mut any, mut claim, mut manifest, mut marked) = (false, false, false, false);
    let listed = repository.bucket().each(name.as_str(), |object, _| {
        any = true;
        if let Some((path, _)) = split_object_name(object) {
            claim |= path == CLAIM;
            manifest |= path == MANIFEST;
            marked |= marks_finished(path);
        }
        true
    });
    match listed {
        Err(StoreError::Request {
            kind: RequestFault::NoBucket,
            ..
        }) => return Ok(StoredState::Absent),
        listed => listed?,
    }
    let finished = if claim { manifest } else { marked };
    Ok(match (any, finished) {
        (false, _) => StoredState::Absent,
        (true, false) => StoredState::Unfinished,
        (true, true) => StoredState::Finished,
    })
}
