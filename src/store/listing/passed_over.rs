//! The backups that `latest` passes over, and the reasons.

use crate::manifest::BackupName;
use serde::Serialize;
use std::fmt;

/// The reason why a backup is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unusable {
    /// It has a manifest, but is not complete.
    Damaged {
        /// What was found and what was expected.
        reason: String,
    },
    /// It has the summary, which is written immediately before the manifest, but no manifest.
    ManifestMissing,
    /// A backup in its chain is missing.
    BaseMissing,
    /// It was never finished: it is in progress, or was interrupted.
    Unfinished,
    /// It is being deleted.
    BeingDeleted,
    /// It is a stream that was put into the repository. It can only be restored by its name.
    Stream,
    /// xtrabackup made it.
    Xtrabackup,
}

impl Unusable {
    /// Returns whether it may have been a finished backup, so that its data is missing in the
    /// chosen one.
    #[must_use]
    pub const fn may_have_been_finished(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::ManifestMissing | Self::BaseMissing
        )
    }
}

/// A backup that is newer than the chosen one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PassedOver {
    /// Its name.
    pub name: BackupName,
    /// The reason why it was not chosen.
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
                "{name} has a summary but no manifest (it is about to finish, was interrupted at this point, or lost it)"
            ),
            Unusable::BaseMissing => {
                write!(
                    f,
                    "{name} depends on a backup that is not in the repository"
                )
            }
            Unusable::Unfinished => write!(
                f,
                "{name} is unfinished (it is in progress, or was interrupted)"
            ),
            Unusable::BeingDeleted => write!(f, "{name} is being deleted"),
            Unusable::Stream => write!(
                f,
                "{name} is a stream that was put into the repository, which can only be chosen by its name"
            ),
            Unusable::Xtrabackup => write!(f, "{name} was made by xtrabackup"),
        }
    }
}
