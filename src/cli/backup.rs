//! `lsnap backup`.

use super::backed_up::{brief, summary};
use super::exit::Failure;
use super::job::{Job, JobArgs};
use super::json::{BackupDocument, PruneDocument};
use super::progress::Shown;
use super::retention::RetentionArgs;
use super::slot::{self, Slot};
use super::store_args::{Packing, StoreArgs};
use super::{Context, connect, hooks, human, interrupt, key, server_load, streams};
use crate::backup::{BackupOptions, BaseChoice, FullWhen, Output, TrackingChoice};
use crate::codec::Compression;
use crate::datadir::ReadMode;
use crate::manifest::{MANIFEST, Manifest, ScheduledRun};
use crate::server::ConnectOptions;
use crate::store::{self, DeleteOptions, Policy, PruneReport, Repository};
use chrono::Utc;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `lsnap backup`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository: a URL, for example `file:///backups/mysql`, or the name of a configured
    /// repository.
    #[arg(long, value_name = "REPO", aliases = ["to", "from"], overrides_with = "repo", required_unless_present = "stream")]
    repo: Option<String>,
    /// Write the backup to standard output as one xbstream, for a pipe to `mbstream -x`, `xbstream
    /// -x` or `lsnap xbstream -x`. An incremental takes its base from `--repo` or `--base-dir`.
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "xbstream",
          value_parser = ["xbstream"])]
    stream: Option<String>,
    #[command(flatten)]
    fifos: streams::Fifos,
    /// Copy only the pages that changed since the latest backup in the repository, or since
    /// `--base`.
    #[arg(long)]
    incremental: bool,
    /// Make a full backup, even if --full-every or --max-incrementals allows an incremental.
    #[arg(long, conflicts_with = "incremental")]
    full: bool,
    /// Without --full and --incremental: make an incremental, or a full backup if the newest full backup was started
    /// at least this long ago (7d) or its chain can't be continued.
    #[arg(long, value_name = "TIME", conflicts_with = "stream", value_parser = human::parse_duration)]
    full_every: Option<Duration>,
    /// Without --full and --incremental: make an incremental, or a full backup if the newest chain has N incrementals
    /// or can't be continued.
    #[arg(long, value_name = "N", conflicts_with = "stream")]
    max_incrementals: Option<u64>,
    /// The backup that is the base of the incremental.
    #[arg(long, value_name = "NAME", requires = "incremental")]
    base: Option<String>,
    /// The directory with the extracted stream of the incremental's base.
    #[arg(
        long,
        visible_alias = "incremental-basedir",
        value_name = "DIR",
        requires = "stream",
        conflicts_with = "base"
    )]
    base_dir: Option<PathBuf>,
    /// Compress: `zstd` (or `zstd:LEVEL`), `lz4` or `none` [default: for an incremental as its
    /// base, for a full backup `none`].
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "zstd")]
    compress: Option<String>,
    /// The first part of the backup's name [default: the server's host name].
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Use N threads to read and check pages [default: the number of cores, at least 2]. With page
    /// tracking, up to 16 threads read, because each changed page is a read of its own.
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,
    /// Write N objects at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    uploads: u16,
    /// Use at most this much memory for pages in transit.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = human::parse_memory)]
    memory: usize,
    /// Size of an object of a full backup, a power of two from 1MiB to 256MiB [default: 8MiB; 16MiB
    /// for more than 1TiB of tablespaces, 32MiB for more than 4TiB, if --memory allows].
    #[arg(long, value_name = "SIZE", conflicts_with = "stream", value_parser = human::parse_bytes)]
    object_size: Option<usize>,
    /// Store files of at most 128 KiB together in objects of 4 MiB: if there are more than 1,000
    /// tablespace files (auto), always (on), never (off). `xbcloud get NAME` gives a valid stream
    /// in each case; for `xbcloud get NAME FILE` of a packed file use `lsnap cloud get`.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pack_small_files: Packing,
    /// Read data files without the server's page cache (direct), through it (buffered), or
    /// whichever works (auto).
    #[arg(long, value_enum, default_value = "auto")]
    read: Reading,
    /// Ask the server which pages changed (needs `component_mysqlbackup`): if its answer is
    /// reliable (auto), or fail if it isn't (on), or always scan (off).
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    page_tracking: Tracking,
    /// The directory for redo log while the repository is slower than the server [default: TMPDIR].
    #[arg(long, value_name = "DIR")]
    spool_dir: Option<PathBuf>,
    /// Wait this long for the backup lock and the table locks, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    lock_timeout: u64,
    /// On a replica: stop its applier when it has no open temporary tables, and start it again when
    /// the backup's position is read. Transactions of the source are not applied in between.
    #[arg(long)]
    safe_slave_backup: bool,
    /// Wait this long for the applier to stop and to close its temporary tables, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        requires = "safe_slave_backup"
    )]
    safe_slave_backup_timeout: u64,
    /// Back up a server of a newer version than lsnap was tested with.
    #[arg(long)]
    allow_untested_server: bool,
    /// Make a backup that lacks the tables whose files are missing (an unmounted disk, a lost file)
    /// or whose storage engine can't be backed up, instead of failing. `list`, `show` and `verify`
    /// report it. A table that the base of an incremental has may not be missing.
    #[arg(long)]
    allow_missing_tables: bool,
    /// Scan from the base's to_lsn instead of its start checkpoint, as xtrabackup does. If the
    /// base's to_lsn is its checkpoint at the end (lsnap before 2026-11-30), the incremental can't
    /// be merged.
    #[arg(long, hide = true)]
    no_overlap: bool,
    /// The next incremental waits this long after the last renewal of this backup's lease, in
    /// seconds.
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = store::DEFAULT_TTL.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lease_ttl: u64,
    /// Record in the manifest that the backup was made by the schedule NAME of the agent.
    #[arg(long, hide = true, value_name = "NAME", conflicts_with = "stream", value_parser = slot::parse_schedule)]
    schedule: Option<String>,
    /// The slot of the schedule and the claim of the agent. The backup fails if another agent took the slot over, or if
    /// the slot has a finished backup.
    #[arg(long, hide = true, value_name = "TIME/UUID", requires = "schedule", value_parser = slot::parse)]
    slot: Option<Slot>,
    /// Encrypt with AES128, AES192 or AES256. An incremental needs the encryption and the key of
    /// its base.
    #[arg(
        long,
        value_name = "ALGORITHM",
        requires = "key_file",
        help_heading = "Encryption"
    )]
    encrypt: Option<String>,
    /// The file with the key: 16, 24 or 32 bytes, or 48 or 64 hexadecimal digits. xtrabackup and
    /// xbcrypt read only bytes: decode the digits for them.
    #[arg(
        long,
        value_name = "FILE",
        requires = "encrypt",
        alias = "encrypt-key-file",
        help_heading = "Encryption"
    )]
    key_file: Option<PathBuf>,
    /// Make the repository refuse unencrypted backups from now on. This can't be undone. An
    /// encrypted first backup of a repository does the same.
    #[arg(
        long,
        requires = "encrypt",
        conflicts_with = "stream",
        help_heading = "Encryption"
    )]
    encrypted_only: bool,
    /// After the backup, delete the backups that the retention policy doesn't keep, as `lsnap prune` does.
    #[arg(long, conflicts_with = "stream")]
    prune: bool,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    load: server_load::ServerLoadArgs,
    #[command(flatten)]
    connect: connect::Args,
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Reading {
    Auto,
    Direct,
    Buffered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tracking {
    Auto,
    On,
    Off,
}

impl Args {
    /// Returns the options of the server, without the handlers of signals that [`Self::options`] installs.
    pub(super) fn server(&self) -> Result<ConnectOptions, Failure> {
        self.connect.resolve()
    }

    pub(super) fn options(&self) -> Result<BackupOptions, Failure> {
        let mut options = BackupOptions::new(self.connect.resolve()?);
        options.incremental = match (&self.base, &self.base_dir, self.incremental) {
            (Some(name), _, _) => Some(BaseChoice::Named(name.clone())),
            (None, Some(dir), _) => Some(BaseChoice::Given(Box::new(manifest_in(dir)?))),
            (None, None, true) => Some(BaseChoice::Latest),
            (None, None, false) => None,
        };
        match self.compress.as_deref() {
            None => {}
            Some("none") => options.uncompressed = true,
            Some(how) => {
                let how = how.parse::<Compression>();
                options.compression = Some(how.map_err(|e| Failure::arguments(e.to_string()))?);
            }
        }
        options.key = key::of(self.encrypt.as_deref(), self.key_file.as_ref())?;
        options.encrypted_only = self.encrypted_only;
        options.cluster = self.cluster.clone();
        if let Some(n) = self.parallel {
            options.threads = usize::from(n);
        }
        options.uploads = usize::from(self.uploads);
        options.memory = self.memory;
        options.object_size = self.object_size;
        options.pack_small_files = self.pack_small_files.into();
        options.mode = match self.read {
            Reading::Auto => ReadMode::Auto,
            Reading::Direct => ReadMode::Direct,
            Reading::Buffered => ReadMode::Buffered,
        };
        options.throttle = self.load.throttle();
        options.priority = self.load.priority();
        options.page_tracking = match self.page_tracking {
            Tracking::Auto => TrackingChoice::Auto,
            Tracking::On => TrackingChoice::On,
            Tracking::Off => TrackingChoice::Off,
        };
        if let Some(dir) = &self.spool_dir {
            options.spool_dir.clone_from(dir);
        }
        options.lock_timeout = Duration::from_secs(self.lock_timeout);
        let applier_timeout = Duration::from_secs(self.safe_slave_backup_timeout);
        options.stop_applier = self.safe_slave_backup.then_some(applier_timeout);
        options.allow_untested = self.allow_untested_server;
        options.allow_missing_tables = self.allow_missing_tables;
        options.overlap = !self.no_overlap;
        options.scheduled = self.schedule.as_ref().map(|schedule| ScheduledRun {
            schedule: schedule.clone(),
            slot: self.slot.as_ref().map(|slot| slot.time),
        });
        options.slot_token = self.slot.as_ref().map(|slot| slot.token.clone());
        options.lease_ttl = Duration::from_secs(self.lease_ttl);
        // No other option takes a secret as its value.
        options.command = hooks::without_hooks(std::env::args());
        options.cancel = interrupt::on_signal(interrupt::UPLOADS)?;
        Ok(options)
    }
}

impl Args {
    pub(super) fn job(&self) -> Job {
        Job::new("backup", self.repo.as_deref(), &self.job).of_cluster(self.cluster.as_deref())
    }

    /// Returns whether standard output is a stream.
    pub(super) const fn writes_a_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Returns when a full backup is due, if the arguments leave that open.
    fn full_when(&self) -> Option<FullWhen> {
        let is_open = !self.full && !self.incremental && self.stream.is_none();
        let limited = self.full_every.is_some() || self.max_incrementals.is_some();
        (is_open && limited).then_some(FullWhen {
            older_than: self.full_every,
            incrementals: self.max_incrementals,
        })
    }

    /// Opens the streams of the backup.
    fn outputs(&self) -> Result<Vec<Output>, Failure> {
        let outputs = self.fifos.outputs()?.into_iter();
        Ok(outputs.map(|file| Box::new(file) as Output).collect())
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.stream.is_some() {
        args.store.no_rate(
            "set it for the program that stores the stream, for example `lsnap cloud put`",
        )?;
    }
    let repo = args
        .repo
        .as_deref()
        .map(|url| args.store.open(url))
        .transpose()?;
    if let Some(repo) = repo.as_ref().filter(|_| args.stream.is_none()) {
        context.facts.opened(repo);
    }
    let options = args.options()?;
    if args.fifos.fifo_streams.is_some() && args.stream.is_none() {
        return Err(Failure::arguments(
            "--fifo-streams also needs --stream".to_owned(),
        ));
    }
    let policy = args.prune.then(|| args.retention.policy());
    if let Some(policy) = &policy {
        policy.check()?;
    }
    let shown = Shown::new(context.progress);
    let result = match (&repo, &args.stream) {
        (_, Some(_)) => crate::backup::run_stream(args.outputs()?, repo.as_ref(), &options, &shown),
        (Some(repo), None) => match args.full_when() {
            Some(when) => crate::backup::run_due(repo, when, &options, &shown),
            None => crate::backup::run(repo, &options, &shown),
        },
        (None, None) => {
            return Err(Failure::arguments(
                "--repo or --stream is needed".to_owned(),
            ));
        }
    };
    shown.end();
    let report = result?;
    if args.stream.is_some() {
        streams::sync_output()?;
    }
    context.facts.backed_up(&report);
    // Standard output can be the stream.
    let mut document = BackupDocument::of(&report, Utc::now());
    if args.stream.is_some() {
        context.print_to_stderr(&document, |_| match context.is_brief() {
            true => brief(&report),
            false => summary(&report),
        });
        return Ok(());
    }
    let pruned = match (&repo, &policy) {
        (Some(repo), Some(policy)) => Some(prune(repo, policy, &options, context)),
        _ => None,
    };
    let done = pruned.as_ref().and_then(|pruned| pruned.as_ref().ok());
    if let Some(pruned) = done {
        context.facts.pruned(pruned);
    }
    document.pruned = done.map(|pruned| PruneDocument::of(pruned, Utc::now()));
    let short = |_: &BackupDocument<'_>| {
        let pruned = done.map(super::prune::brief);
        let pruned = pruned.filter(|text| !text.is_empty());
        match pruned {
            Some(pruned) => format!("{}; {pruned}", brief(&report).trim_end()),
            None => brief(&report),
        }
    };
    context.print_report(&document, short, |_| {
        summary(&report) + &done.map(super::prune::summary).unwrap_or_default()
    });
    match pruned.map(|pruned| pruned.and_then(|report| super::prune::outcome(&report))) {
        Some(Err(failure)) => {
            Err(failure.after(&format!("the backup {} is finished", report.manifest.name)))
        }
        _ => Ok(()),
    }
}

fn prune(
    repo: &Repository,
    policy: &Policy,
    options: &BackupOptions,
    context: &Context,
) -> Result<PruneReport, Failure> {
    let deletion = DeleteOptions {
        cancel: options.cancel.clone(),
        ..DeleteOptions::default()
    };
    let shown = Shown::transferring(context.progress, "deleting");
    let result = store::prune(repo, policy, &deletion, Utc::now(), &shown);
    shown.end();
    Ok(result?)
}

/// Reads the manifest of a backup that was extracted to `dir`.
fn manifest_in(dir: &Path) -> Result<Manifest, Failure> {
    let path = dir.join(MANIFEST);
    let wrong = |what: String| {
        Failure::arguments(format!(
            "{}: {what}; expected the manifest of a backup that lsnap streamed",
            path.display()
        ))
    };
    let text = std::fs::read(&path).map_err(|e| wrong(e.to_string()))?;
    crate::manifest::parse_manifest(&text).map_err(|what| wrong(what.to_string()))
}
