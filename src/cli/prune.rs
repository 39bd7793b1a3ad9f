//! `lsnap prune`.

use super::delete::Deletion;
use super::exit::{Failure, store_code};
use super::progress::Shown;
use super::store_args::StoreArgs;
use super::{Context, human};
use crate::counted;
use crate::store::{self, Keep, Policy, PruneReport, Why};
use chrono::Utc;
use std::fmt::Write as _;
use std::time::Duration;

/// Arguments of `lsnap prune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository, for example `file:///backups/mysql`.
    #[arg(long, value_name = "URL")]
    from: String,
    #[command(flatten)]
    store: StoreArgs,
    /// Keep the newest N finished full backups of each cluster, with their incrementals.
    #[arg(long, value_name = "N")]
    keep_full: Option<u64>,
    /// Keep every chain that has a backup younger than N days.
    #[arg(long, value_name = "N")]
    keep_days: Option<u32>,
    /// With `--keep-full 0`: really delete every backup.
    #[arg(long)]
    all: bool,
    /// Remove unfinished backups that nobody wrote to for this long.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = human::parse_duration)]
    unfinished_older_than: Duration,
    /// Print what would go, delete nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    deletion: Deletion,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let repository = args.store.open(&args.from)?;
    let mut options = args.deletion.options()?;
    options.dry_run = args.dry_run;
    let policy = Policy {
        keep_full: args.keep_full,
        keep_days: args.keep_days,
        unfinished_older_than: args.unfinished_older_than,
        may_delete_all: args.all,
    };
    let shown = Shown::new(context.progress);
    let result = store::prune(&repository, &policy, &options, Utc::now(), &shown);
    shown.end();
    let report = result?;
    context.tell(&report, summary);
    match report.failed.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let message = format!(
                "{} failed, see the report; run it again",
                counted::count(report.failed.len(), "deletion")
            );
            Err(Failure::with_code(store_code(&first.error), message).on_stderr())
        }
    }
}

fn summary(report: &PruneReport) -> String {
    let mut out = String::new();
    let verb = if report.dry_run {
        "would delete"
    } else {
        "deleted"
    };
    for gone in &report.deleted {
        let why = match gone.why {
            Why::Unfinished => ", never finished",
            Why::Deleting => ", its deletion was begun before",
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
        let _ = writeln!(out, "left alone: {}: {}", left.name, left.reason);
    }
    for left in &report.failed {
        let _ = writeln!(out, "NOT DELETED: {}: {}", left.name, left.reason);
    }
    for kept in &report.kept {
        let _ = writeln!(out, "kept {}: {}", kept.name, reason(kept.why));
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
        Keep::Young => "it has a backup that is young enough",
        Keep::Last => "the last finished full backup of its cluster",
        Keep::Incomplete => {
            "it lacks tables whose files were missing, and no newer full backup has all tables; `lsnap delete \
             --cascade` deletes it"
        }
        Keep::NoPolicy => "neither --keep-full nor --keep-days was given",
        Keep::NoFull => "it has no finished full backup; `lsnap delete --cascade` deletes it",
        Keep::Disputed => "the newest by the clocks, though not by LSN; `lsnap delete` deletes it",
        Keep::InUse => "somebody works on it",
        Keep::InProgress => "an unfinished backup in it may still be being made",
    }
}
