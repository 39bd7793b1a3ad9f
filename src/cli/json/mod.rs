//! The JSON documents of the program: the parts that all commands share.
//!
//! With `--json`, a command prints one document, an [`Envelope`]. Only [`super::output`] creates it, so a command
//! passes its result to [`super::Context::print`] and returns its failure.

mod backup_entry;
mod deletion;
mod envelope;
mod failure;
mod jobs;
mod listing;
mod monitoring;

pub(super) use backup_entry::{BackupEntry, Entries, State, problem};
pub(super) use deletion::{DeleteDocument, PruneDocument};
pub(super) use envelope::Envelope;
pub(super) use failure::{ErrorDocument, FailureKind};
pub(super) use jobs::{BackupDocument, ConsolidateDocument, RestoreDocument, VerifyDocument};
pub(super) use listing::{FileDocument, ListDocument, PinDocument, ShowDocument};
pub(super) use monitoring::{CheckDocument, CheckState, ClusterDocument};

#[cfg(test)]
mod pages;
#[cfg(test)]
mod schemas;

/// The number of the documents' format. `docs/reference/json.md` says which changes increment it.
pub(super) const SCHEMA: u32 = 1;
