//! The documents of `backup`, `consolidate`, `restore` and `verify`.

use super::deletion::PruneDocument;
use super::{BackupEntry, Entries};
use crate::backup::{BackupReport, ThrottleReport};
use crate::consolidate::ConsolidateReport;
use crate::innodb::Lsn;
use crate::manifest::{
    BackupName, Dictionary, LeftOutEntry, PageCounts, PageTracking, ReplicaPosition,
};
use crate::restore::{RestorePlan, RestoreReport};
use crate::store::PassedOver;
use crate::verify::{
    Authentication, MemberReport, Outcome, PageReport, Picked, Problem, Restored, VerifyReport,
};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// A finished backup, with the figures of the job.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct BackupDocument<'a> {
    /// The backup.
    pub(in crate::cli) backup: BackupEntry,
    /// The reason for a full or an incremental backup, if `--full-every` or `--max-incrementals` made the choice.
    pub(in crate::cli) reason: Option<&'a str>,
    /// Seconds for which tables were locked (0: not at all).
    pub(in crate::cli) tables_locked_seconds: f64,
    /// The results of the checks of the pages that were read.
    pub(in crate::cli) pages: &'a PageCounts,
    /// How the changed pages were found; null if page tracking was not examined.
    pub(in crate::cli) page_tracking: Option<TrackingDocument<'a>>,
    /// The tablespaces in the server's dictionary.
    pub(in crate::cli) dictionary: Option<&'a Dictionary>,
    /// For a replica: its position in the binary logs of its sources.
    pub(in crate::cli) replica: Option<&'a ReplicaPosition>,
    /// Files that were found and deliberately not stored.
    pub(in crate::cli) left_out: &'a [LeftOutEntry],
    /// How much the throttle slowed the backup; null without a throttle.
    pub(in crate::cli) throttle: Option<&'a ThrottleReport>,
    /// Warnings.
    pub(in crate::cli) warnings: &'a [String],
    /// With `--prune`: the backups that were deleted after it; null if that failed.
    pub(in crate::cli) pruned: Option<PruneDocument<'a>>,
}

/// The use of the server's page tracking.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct TrackingDocument<'a> {
    /// Whether the pages to read were taken from the server's list of changed pages.
    pub(in crate::cli) used: bool,
    /// Why it was not used, or why it is not available for the next incremental.
    pub(in crate::cli) reason: Option<&'a str>,
    /// Every write of a page is tracked from this LSN on; null: not tracked.
    pub(in crate::cli) since: Option<Lsn>,
}

/// A full backup made from a chain.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct ConsolidateDocument<'a> {
    /// The new full backup.
    pub(in crate::cli) backup: BackupEntry,
    /// The figures.
    #[serde(flatten)]
    pub(in crate::cli) report: &'a ConsolidateReport,
}

/// The result of `restore`: a plan with `--print-plan`, else a report.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(in crate::cli) enum RestoreDocument<'a> {
    /// The plan, of which nothing was executed.
    Plan {
        /// The backup whose state would be restored.
        backup: Option<Box<BackupEntry>>,
        /// The plan.
        plan: &'a RestorePlan,
    },
    /// The restored directory.
    Done {
        /// The backup that was restored.
        backup: Option<Box<BackupEntry>>,
        /// The report.
        #[serde(flatten)]
        report: &'a RestoreReport,
    },
}

/// The result of `verify`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct VerifyDocument<'a> {
    /// The result as one word, which determines the exit code.
    pub(in crate::cli) outcome: OutcomeWord,
    /// Every backup that was verified; in a chain, the full one first.
    pub(in crate::cli) members: Vec<VerifiedDocument<'a>>,
    /// With `--restore`: the test restores.
    pub(in crate::cli) restored: &'a [Restored],
    /// Backups without a manifest: interrupted, or in progress.
    pub(in crate::cli) unfinished: &'a [BackupName],
    /// Backups of xtrabackup, which have no digests: not verified.
    pub(in crate::cli) xtrabackups: &'a [BackupName],
    /// Streams that were stored with `lsnap cloud put`: not verified.
    pub(in crate::cli) streams: &'a [BackupName],
    /// Backups of chains that are being deleted: not verified.
    pub(in crate::cli) being_deleted: &'a [BackupName],
    /// For `latest`: newer backups that were passed over.
    pub(in crate::cli) passed_over: &'a [PassedOver],
    /// With `--pick random`: the choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) picked: Option<&'a Picked>,
}

/// The result of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum OutcomeWord {
    /// Everything was verified, without a problem.
    Sound,
    /// There are no backups.
    Empty,
    /// No problem was found, but a backup was not verified or not authenticated.
    NotVerified,
    /// The key is wrong.
    Key,
    /// A chain is broken.
    ChainBroken,
    /// Damage was found.
    Damaged,
}

/// A backup that was verified.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct VerifiedDocument<'a> {
    /// The backup.
    pub(in crate::cli) backup: BackupEntry,
    /// Number of objects that were checked.
    pub(in crate::cli) objects: u64,
    /// Length of these objects in bytes, from the listing or read.
    pub(in crate::cli) bytes: u64,
    /// Number of bytes that were read and compared.
    pub(in crate::cli) read_bytes: u64,
    /// Number of encrypted files of which only the digests were compared, because no key was given.
    pub(in crate::cli) sealed_files: u64,
    /// Whether its manifest is proven to be written with the key; null if it could not be read.
    pub(in crate::cli) authentication: Option<Authentication>,
    /// The pages that were checked.
    pub(in crate::cli) pages: &'a PageReport,
    /// The tablespaces of the server's dictionary, and those that the backup lacks.
    pub(in crate::cli) dictionary: Option<&'a Dictionary>,
    /// The problems that were found.
    pub(in crate::cli) problems: &'a [Problem],
    /// Number of problems that are not in the list, because there are too many.
    pub(in crate::cli) more_problems: u64,
}

impl<'a> BackupDocument<'a> {
    pub(in crate::cli) fn of(report: &'a BackupReport, now: DateTime<Utc>) -> Self {
        let manifest = &report.manifest;
        Self {
            backup: BackupEntry::of_manifest(manifest, now),
            reason: report.reason.as_deref(),
            tables_locked_seconds: report.tables_locked_seconds,
            pages: &manifest.pages,
            page_tracking: manifest.page_tracking.as_ref().map(TrackingDocument::of),
            dictionary: manifest.dictionary.as_ref(),
            replica: manifest.replica.as_ref(),
            left_out: &manifest.left_out,
            throttle: report.throttle.as_ref(),
            warnings: &report.warnings,
            pruned: None,
        }
    }
}

impl<'a> TrackingDocument<'a> {
    fn of(tracking: &'a PageTracking) -> Self {
        Self {
            used: tracking.used,
            reason: tracking.reason.as_deref(),
            since: tracking.since,
        }
    }
}

impl<'a> ConsolidateDocument<'a> {
    pub(in crate::cli) fn of(report: &'a ConsolidateReport, now: DateTime<Utc>) -> Self {
        Self {
            backup: BackupEntry::of_manifest(&report.manifest, now),
            report,
        }
    }
}

impl<'a> RestoreDocument<'a> {
    /// Describes a plan.
    pub(in crate::cli) fn plan(plan: &'a RestorePlan, now: DateTime<Utc>) -> Self {
        Self::Plan {
            backup: newest(plan, now),
            plan,
        }
    }

    /// Describes a restore that executed `plan`.
    pub(in crate::cli) fn done(
        plan: &RestorePlan,
        report: &'a RestoreReport,
        now: DateTime<Utc>,
    ) -> Self {
        Self::Done {
            backup: newest(plan, now),
            report,
        }
    }
}

fn newest(plan: &RestorePlan, now: DateTime<Utc>) -> Option<Box<BackupEntry>> {
    let manifest = plan.newest()?;
    Some(Box::new(BackupEntry::of_manifest(manifest, now)))
}

impl<'a> VerifyDocument<'a> {
    pub(in crate::cli) fn of(report: &'a VerifyReport, now: DateTime<Utc>) -> Self {
        let entries = Entries::of(&report.listed, now);
        let member = |member: &'a MemberReport| VerifiedDocument {
            backup: entries.get(&member.name),
            objects: member.objects,
            bytes: member.bytes,
            read_bytes: member.read_bytes,
            sealed_files: member.sealed_files,
            authentication: member.authentication,
            pages: &member.pages,
            dictionary: member.dictionary.as_ref(),
            problems: &member.problems,
            more_problems: member.more_problems,
        };
        Self {
            outcome: match report.outcome() {
                Outcome::Sound => OutcomeWord::Sound,
                Outcome::Empty => OutcomeWord::Empty,
                Outcome::NotVerified => OutcomeWord::NotVerified,
                Outcome::Key => OutcomeWord::Key,
                Outcome::ChainBroken => OutcomeWord::ChainBroken,
                Outcome::Damaged => OutcomeWord::Damaged,
            },
            members: report.members.iter().map(member).collect(),
            restored: &report.restored,
            picked: report.picked.as_ref(),
            unfinished: &report.unfinished,
            xtrabackups: &report.xtrabackups,
            streams: &report.streams,
            being_deleted: &report.being_deleted,
            passed_over: &report.passed_over,
        }
    }
}
