//! `lsnap delete`.

use super::exit::Failure;
use super::json::DeleteDocument;
use super::progress::Shown;
use super::store_args::{RepoArg, StoreArgs};
use super::{Context, human, interrupt};
use crate::counted::count;
use crate::manifest::BackupName;
use crate::store;
use crate::store::BackupFault;
use crate::store::{DeleteOptions, DeleteReport, Deleted, Repository, StoreError};
use chrono::Utc;
use std::fmt::Write as _;
use std::time::Duration;

/// Arguments of `lsnap delete`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    /// The backup: its name, or the last part of its name if that is unique.
    name: String,
    /// Delete the backups that need it first, the newest first.
    #[arg(long)]
    cascade: bool,
    /// Print what would be deleted, delete nothing.
    #[arg(long)]
    dry_run: bool,
    /// Refuse to delete an unfinished backup with an object younger than this, because it may still
    /// be written.
    #[arg(long, value_name = "TIME", default_value = "15min", value_parser = human::parse_duration)]
    unfinished_older_than: Duration,
    #[command(flatten)]
    deletion: Deletion,
    #[command(flatten)]
    store: StoreArgs,
}

/// What the report says if the bucket keeps versions.
pub(super) const VERSIONS_KEPT: &str = "NOT FREED: the bucket keeps old versions of the deleted objects, which take their \
    space until their object lock has ended and a lifecycle rule of the bucket removes them\n";

/// Options of `delete` and `prune`.
#[derive(Debug, clap::Args)]
pub(super) struct Deletion {
    /// Remove N objects at the same time.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Write nothing while deleting, for a full disk: neither a deletion marker nor a lease. No
    /// other lsnap may use the repository.
    #[arg(long)]
    disk_full: bool,
    /// Others wait this long after the last renewal of this deletion's lease, in seconds.
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = store::DEFAULT_TTL.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lease_ttl: u64,
}

impl Deletion {
    /// Returns the options of the arguments. A signal cancels the deletion.
    pub(super) fn options(&self) -> Result<DeleteOptions, Failure> {
        Ok(DeleteOptions {
            parallel: usize::from(self.parallel),
            lease: (!self.disk_full).then(|| Duration::from_secs(self.lease_ttl)),
            cancel: interrupt::on_signal(interrupt::DELETIONS)?,
            ..DeleteOptions::default()
        })
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let repository = args.store.open(&args.repo.repo)?;
    let mut options = args.deletion.options()?;
    options.cascade = args.cascade;
    options.dry_run = args.dry_run;
    options.unfinished_older_than = args.unfinished_older_than;
    let name = name(&repository, &args.name)?;
    let shown = Shown::transferring(context.progress, "deleting");
    let result = store::delete(&repository, &name, &options, &shown);
    shown.end();
    let report = result?;
    let document = DeleteDocument::of(&report, Utc::now());
    context.print(&document, |_| summary(&name, &report));
    Ok(())
}

/// Returns the name of the backup to delete. `latest` is refused, because its meaning changes. A full
/// name is accepted even if it isn't listed: an interrupted deletion can have removed the manifest.
fn name(repository: &Repository, text: &str) -> Result<BackupName, Failure> {
    if text == "latest" {
        return Err(
            Failure::arguments("`latest` can be another backup by now".to_owned())
                .with_hint("give the name of the backup to delete"),
        );
    }
    match (repository.resolve(text), BackupName::parse(text)) {
        (Ok(name), _) | (Err(StoreError::Backup(BackupFault::NotFound { .. })), Ok(name)) => {
            Ok(name)
        }
        (Err(error), _) => Err(error.into()),
    }
}

fn summary(name: &BackupName, report: &DeleteReport) -> String {
    let mut out = String::new();
    let verb = if report.dry_run {
        "would delete"
    } else {
        "deleted"
    };
    for Deleted {
        name,
        objects,
        bytes,
        ..
    } in &report.deleted
    {
        let size = human::bytes(*bytes);
        let _ = writeln!(
            out,
            "{verb} {name} ({size} in {objects})",
            objects = count(objects, "object")
        );
    }
    if report.deleted.is_empty() {
        let _ = writeln!(out, "{verb} the rest of {name}");
    }
    if report.versions_kept {
        out += VERSIONS_KEPT;
    }
    out
}
