//! The documents of `delete` and `prune`.

use super::{BackupEntry, Entries};
use crate::store::{DeleteReport, Failed, Kept, PruneReport, Skipped, Why};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// The result of `delete`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct DeleteDocument {
    /// Nothing was deleted.
    pub(in crate::cli) dry_run: bool,
    /// The backups, in the order of their deletion.
    pub(in crate::cli) deleted: Vec<DeletedDocument>,
}

/// A backup that was deleted, or would be.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct DeletedDocument {
    /// The backup before its deletion.
    pub(in crate::cli) backup: BackupEntry,
    /// Number of all objects under its name.
    pub(in crate::cli) removed_objects: u64,
    /// Bytes of these objects.
    pub(in crate::cli) removed_bytes: u64,
}

/// The backups that a policy doesn't keep, and the outcome of their deletion.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct PruneDocument<'a> {
    /// Nothing was deleted.
    pub(in crate::cli) dry_run: bool,
    /// The backups that were deleted, or would be, in this order.
    pub(in crate::cli) deleted: Vec<PrunedDocument>,
    /// The chains that stay.
    pub(in crate::cli) kept: &'a [Kept],
    /// Backups that were skipped (never with `--dry-run`).
    pub(in crate::cli) skipped: &'a [Skipped],
    /// Backups that could not be deleted. The others were deleted nevertheless.
    pub(in crate::cli) failed: &'a [Failed],
}

/// A backup that a policy doesn't keep.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct PrunedDocument {
    /// The backup before its deletion.
    pub(in crate::cli) backup: BackupEntry,
    /// The reason.
    pub(in crate::cli) why: Why,
    /// Number of all objects under its name.
    pub(in crate::cli) removed_objects: u64,
    /// Bytes of these objects.
    pub(in crate::cli) removed_bytes: u64,
}

impl DeleteDocument {
    pub(in crate::cli) fn of(report: &DeleteReport, now: DateTime<Utc>) -> Self {
        let entries = Entries::of(&report.listed, now);
        let deleted = report.deleted.iter().map(|gone| DeletedDocument {
            backup: entries.get(&gone.name),
            removed_objects: gone.objects,
            removed_bytes: gone.bytes,
        });
        Self {
            dry_run: report.dry_run,
            deleted: deleted.collect(),
        }
    }
}

impl<'a> PruneDocument<'a> {
    pub(in crate::cli) fn of(report: &'a PruneReport, now: DateTime<Utc>) -> Self {
        let entries = Entries::of(&report.listed, now);
        let deleted = report.deleted.iter().map(|gone| PrunedDocument {
            backup: entries.get(&gone.name),
            why: gone.why,
            removed_objects: gone.objects,
            removed_bytes: gone.bytes,
        });
        Self {
            dry_run: report.dry_run,
            deleted: deleted.collect(),
            kept: &report.kept,
            skipped: &report.skipped,
            failed: &report.failed,
        }
    }
}
