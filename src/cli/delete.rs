//! `lsnap delete`.

use super::exit::Failure;
use super::progress::Shown;
use super::store_args::StoreArgs;
use super::{Context, human, interrupt};
use crate::counted::count;
use crate::manifest::BackupName;
use crate::store;
use crate::store::BackupFault;
use crate::store::{DeleteOptions, DeleteReport, Deleted, Repository, StoreError};
use std::fmt::Write as _;
use std::time::Duration;

/// Arguments of `lsnap delete`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository, for example `file:///backups/mysql`.
    #[arg(long, value_name = "URL")]
    from: String,
    #[command(flatten)]
    store: StoreArgs,
    /// The backup: its name, or the last part of it where only one backup has that.
    name: String,
    /// Delete what stands on it before it, the newest first.
    #[arg(long)]
    cascade: bool,
    /// Only say what would go.
    #[arg(long)]
    dry_run: bool,
    /// Refuse an unfinished backup that was written to more recently: it may be being made now.
    #[arg(long, value_name = "TIME", default_value = "15min", value_parser = human::parse_duration)]
    unfinished_older_than: Duration,
    #[command(flatten)]
    deletion: Deletion,
}

/// How `delete` and `prune` delete.
#[derive(Debug, clap::Args)]
pub(super) struct Deletion {
    /// Objects removed at the same time.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Write nothing while deleting, for a disk that is full: neither that the deletion was begun, nor
    /// what would keep a backup under way from ending. Nobody else may be at work.
    #[arg(long)]
    disk_full: bool,
    /// How long others wait for this deletion after its last sign of life, in seconds.
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = store::DEFAULT_TTL.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lease_ttl: u64,
}

impl Deletion {
    /// As the arguments say; a signal ends it.
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
    let repository = args.store.open(&args.from)?;
    let mut options = args.deletion.options()?;
    options.cascade = args.cascade;
    options.dry_run = args.dry_run;
    options.unfinished_older_than = args.unfinished_older_than;
    let name = name(&repository, &args.name)?;
    let shown = Shown::new(context.progress);
    let result = store::delete(&repository, &name, &options, &shown);
    shown.end();
    let report = result?;
    context.tell(&report, |report| summary(&name, report));
    Ok(())
}

/// What a person means. `latest` is not taken: what it is changes. The full backup of a chain whose
/// deletion was interrupted may not be listed any more.
fn name(repository: &Repository, text: &str) -> Result<BackupName, Failure> {
    if text == "latest" {
        return Err(Failure::arguments(
            "`latest` may be another backup by now: give the name of the one to delete".to_owned(),
        ));
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
        let _ = writeln!(out, "{verb} what was left of {name}");
    }
    out
}
