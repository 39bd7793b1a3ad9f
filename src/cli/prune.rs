//! `lsnap prune`.

use super::delete::{Deletion, VERSIONS_KEPT};
use super::exit::{Failure, store_code};
use super::job::{Job, JobArgs};
use super::json::PruneDocument;
use super::progress::Shown;
use super::retention::{self, RetentionArgs};
use super::store_args::{RepoArg, StoreArgs};
use super::{Context, human};
use crate::counted;
use crate::store::{self, Keep, Policy, PruneReport, Why};
use chrono::Utc;
use std::fmt::Write as _;

/// Arguments of `lsnap prune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    /// With `--keep-full 0`: delete every backup.
    #[arg(long)]
    all: bool,
    /// Delete no chain, only unfinished backups and the rest of interrupted deletions.
    #[arg(long, conflicts_with_all = retention::KEEP)]
    unfinished_only: bool,
    /// Print what would be deleted, delete nothing.
    #[arg(long)]
    dry_run: bool,
    /// Delete only chains whose full backup was made by the schedule NAME of the agent, and keep the newest --keep-full of
    /// them. Other rules are ignored.
    #[arg(long, hide = true, value_name = "NAME", requires = "keep_full", conflicts_with_all = ["all", "unfinished_only"],
          value_parser = super::slot::parse_schedule)]
    schedule: Option<String>,
    #[command(flatten)]
    deletion: Deletion,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Args {
    /// Returns the job; a dry run is none.
    pub(super) fn job(&self) -> Option<Job> {
        let job = || Job::new("prune", Some(&self.repo.repo), &self.job);
        (!self.dry_run).then(job)
    }
}

impl Args {
    fn policy(&self) -> Policy {
        let policy = self.retention.policy();
        let Some(schedule) = &self.schedule else {
            return Policy {
                unfinished_only: self.unfinished_only,
                may_delete_all: self.all,
                ..policy
            };
        };
        // the other rules are those of the repository, for all its backups
        Policy {
            schedule: Some(schedule.clone()),
            keep_full: policy.keep_full,
            unfinished_older_than: policy.unfinished_older_than,
            ..Policy::default()
        }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let repository = args.store.open(&args.repo.repo)?;
    context.facts.opened(&repository);
    let mut options = args.deletion.options()?;
    options.dry_run = args.dry_run;
    let policy = args.policy();
    let shown = Shown::transferring(context.progress, "deleting");
    let result = store::prune(&repository, &policy, &options, Utc::now(), &shown);
    shown.end();
    let report = result?;
    context.facts.pruned(&report);
    let document = PruneDocument::of(&report, Utc::now());
    if args.dry_run {
        context.print(&document, |_| summary(&report));
    } else {
        context.print_report(&document, |_| brief(&report), |_| summary(&report));
    }
    outcome(&report)
}

/// Fails if a deletion failed.
pub(super) fn outcome(report: &PruneReport) -> Result<(), Failure> {
    match report.failed.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let message = format!(
                "{} failed, see the report; run it again",
                counted::count(report.failed.len(), "deletion")
            );
            Err(Failure::with_code(store_code(&first.error), message).of_kind(first.error.kind()))
        }
    }
}

/// Describes a prune in one line, or nothing if it had nothing to do. The report of failed deletions is complete.
pub(super) fn brief(report: &PruneReport) -> String {
    if !report.failed.is_empty() {
        return summary(report);
    }
    let bytes = report.deleted.iter().map(|d| d.bytes).sum();
    let skipped = match report.skipped.len() {
        0 => String::new(),
        n => format!(", {n} skipped"),
    };
    match (report.deleted.len(), skipped.as_str()) {
        (0, "") => String::new(),
        (n, _) => format!(
            "deleted {}, {}{skipped}\n",
            counted::count(n, "backup"),
            human::bytes(bytes)
        ),
    }
}

pub(super) fn summary(report: &PruneReport) -> String {
    let mut out = String::new();
    let verb = if report.dry_run {
        "would delete"
    } else {
        "deleted"
    };
    for gone in &report.deleted {
        let why = match gone.why {
            Why::Unfinished => ", never finished",
            Why::Deleting => ", its deletion was interrupted",
            _ => "",
        };
        let (name, size) = (&gone.name, human::bytes(gone.bytes));
        let _ = writeln!(
            out,
            "{verb} {name} ({size} in {}{why})",
            counted::count(gone.objects, "object")
        );
    }
    for left in &report.skipped {
        let _ = writeln!(out, "skipped: {}: {}", left.name, left.reason);
    }
    for left in &report.failed {
        let _ = writeln!(out, "NOT DELETED: {}: {}", left.name, left.reason);
    }
    for kept in &report.kept {
        let _ = writeln!(out, "kept {}: {}", kept.name, reason(kept.why));
    }
    if report.versions_kept {
        out += VERSIONS_KEPT;
    }
    let bytes = report.deleted.iter().map(|d| d.bytes).sum();
    let (count, size) = (report.deleted.len(), human::bytes(bytes));
    let _ = writeln!(
        out,
        "{verb} {}, {size}; kept: {}",
        counted::count(count, "backup"),
        counted::count(report.kept.len(), "chain")
    );
    out
}

const fn reason(why: Keep) -> &'static str {
    match why {
        Keep::Newest => "one of the newest full backups",
        Keep::Young => "it has a backup younger than --keep-days",
        Keep::Last => "the last finished full backup of its cluster",
        Keep::Incomplete => {
            "it lacks tables whose files were missing, and no newer full backup has all tables; `lsnap delete \
             --cascade` deletes it"
        }
        Keep::Daily => "the newest full backup of a day",
        Keep::Weekly => "the newest full backup of a week",
        Keep::Monthly => "the newest full backup of a month",
        Keep::Yearly => "the newest full backup of a year",
        Keep::Pinned => "pinned",
        Keep::NoPolicy => "only unfinished backups are deleted",
        Keep::NoFull => "it has no finished full backup; `lsnap delete --cascade` deletes it",
        Keep::Disputed => "the newest by its time but not by its LSN; `lsnap delete` deletes it",
        Keep::OtherSchedule => "its full backup was not made by the schedule",
        Keep::InUse => "in use",
        Keep::InProgress => "it has an unfinished backup that may still be written",
    }
}
