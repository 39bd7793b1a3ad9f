//! Backups that `latest` passes over, and why.

use crate::manifest::BackupName;
use serde::Serialize;
use std::fmt;

/// Why a backup is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unusable {
    /// It has a manifest, but is not whole.
    Damaged {
        /// What was found and expected.
        reason: String,
    },
    /// It has the summary, which is written right before the manifest, but no manifest.
    ManifestMissing,
    /// A backup that it stands on is gone.
    BaseMissing,
    /// It was never finished: it is being written, or was interrupted.
    Unfinished,
    /// It is being deleted.
    BeingDeleted,
    /// A stream that was put here. It is restored by its name only.
    Stream,
    /// A backup that xtrabackup made.
    Xtrabackup,
}

impl Unusable {
    /// Whether it may have been a finished backup, so that its data are missing from the chosen one.
    #[must_use]
    pub const fn may_have_been_finished(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::ManifestMissing | Self::BaseMissing
        )
    }
}

/// Something newer than the backup that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Its name.
    pub name: BackupName,
    /// Why it was not chosen.
    #[serde(flatten)]
    pub why: Unusable,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.why {
            Unusable::Damaged { reason } => write!(f, "{name} is damaged ({reason})"),
            Unusable::ManifestMissing => write!(
                f,
                "{name} has a summary but no manifest (it is just being finished, was interrupted there, or lost it)"
            ),
            Unusable::BaseMissing => {
                write!(f, "{name} stands on a backup that is not in the repository")
            }
            Unusable::Unfinished => write!(
                f,
                "{name} is unfinished (it is being written, or was interrupted)"
            ),
            Unusable::BeingDeleted => write!(f, "{name} is being deleted"),
            Unusable::Stream => write!(
                f,
                "{name} is a stream that was put here, which only its name means"
            ),
            Unusable::Xtrabackup => write!(f, "{name} was made by xtrabackup"),
        }
    }
}
