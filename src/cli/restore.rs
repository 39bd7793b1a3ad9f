//! `lsnap restore`.

use super::exit::Failure;
use super::interrupt;
use super::job::{Job, JobArgs};
use super::json::RestoreDocument;
use super::latest_args::LatestArgs;
use super::progress::Shown;
use super::store_args::StoreArgs;
use super::{Context, by_step, human, key, next_steps};
use crate::counted::count;
use crate::restore::{ApplierChoice, RestoreOptions, RestoreReport};
use chrono::Utc;
use std::path::PathBuf;

/// Arguments of `lsnap restore`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository: a URL, for example `file:///backups/mysql`, or the name of a configured
    /// repository. Without NAME: the directory with an extracted full backup of lsnap or
    /// xtrabackup.
    #[arg(long, value_name = "REPO", aliases = ["from", "to"], overrides_with = "repo")]
    repo: String,
    /// The backup: its name, the last part of its name, or `latest`. Its chain is restored with it.
    name: Option<String>,
    #[command(flatten)]
    latest: LatestArgs,
    /// The directory of an incremental on the backup before it. May be repeated.
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    incremental_dir: Vec<PathBuf>,
    /// The directory to restore into. It must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    datadir: PathBuf,
    /// The program that applies the redo log.
    #[arg(long, value_enum, default_value = "auto")]
    redo_applier: Applier,
    /// The mysqld that applies the redo log [default: found on the PATH].
    #[arg(long, value_name = "FILE")]
    mysqld: Option<PathBuf>,
    /// The xtrabackup that applies the redo log [default: found on the PATH].
    #[arg(long, value_name = "FILE")]
    xtrabackup: Option<PathBuf>,
    /// A further option for the recovering mysqld, for example of a keyring. May be repeated.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true, value_parser = mysqld_option)]
    mysqld_arg: Vec<String>,
    /// A directory with the mysqld.my and component_keyring_*.cnf of a keyring for the redo
    /// applier. It never gets those of the backup.
    #[arg(long, value_name = "DIR")]
    keyring_config: Option<PathBuf>,
    /// Accept this error of the recovering mysqld, if it is known to be harmless, for example
    /// MY-013589. May be repeated.
    #[arg(long, value_name = "CODE", value_parser = error_code)]
    accept_error: Vec<String>,
    /// If the target is a data directory with files: move them aside when the restore is finished,
    /// to a directory with the time in its name. Nothing is deleted.
    #[arg(long)]
    force_move_aside: bool,
    /// Start even if the target may have too little space.
    #[arg(long)]
    skip_space_check: bool,
    /// The owner of the restored files if root runs this: a name, a number, or UID:GID [default:
    /// mysql].
    #[arg(long, value_name = "USER", alias = "user")]
    owner: Option<String>,
    /// Use N threads to fetch and write [default: the number of cores, at least 8].
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,
    /// Use at most this much memory for objects in transit.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = human::parse_memory)]
    memory: usize,
    /// Size of the redo applier's buffer pool.
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = human::parse_memory)]
    use_memory: usize,
    /// Place the backup's configuration files (mysqld-auto.cnf, mysqld.my, component_*.cnf, *.pem),
    /// which the restored server reads when it starts [default: only if the key proves who made the
    /// backup].
    #[arg(long)]
    accept_config: bool,
    /// Print what would be done, then exit.
    #[arg(long)]
    print_plan: bool,
    /// Keep the work directory of a failed restore. Don't start a server on it.
    #[arg(long, hide = true)]
    keep_failed: bool,
    #[command(flatten)]
    pub(super) opening: key::Opening,
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Applier {
    /// An installed xtrabackup that matches the server's version, else a mysqld that does.
    Auto,
    /// `xtrabackup --prepare`.
    Xtrabackup,
    /// Crash recovery of a mysqld.
    Mysqld,
    /// The first start of the restored server; no program is needed here.
    Server,
}

impl Args {
    /// Returns the job; printing a plan is none.
    pub(super) fn job(&self) -> Option<Job> {
        let job = || Job::new("restore", Some(&self.repo), &self.job);
        (!self.print_plan).then(job)
    }

    /// Returns the directories of extracted backups, that of the full backup first.
    fn directories(&self) -> Result<Vec<PathBuf>, Failure> {
        let full = self.repo.strip_prefix("file://").unwrap_or(&self.repo);
        if full.contains("://") {
            return Err(Failure::arguments(format!(
                "{} is a repository: name the backup in it, for example `latest`",
                self.repo
            )));
        }
        let mut all = vec![PathBuf::from(full)];
        all.extend(self.incremental_dir.iter().cloned());
        Ok(all)
    }

    pub(super) fn options(&self) -> Result<RestoreOptions, Failure> {
        let defaults = RestoreOptions::new(&self.datadir);
        Ok(RestoreOptions {
            applier: match self.redo_applier {
                Applier::Auto => ApplierChoice::Auto,
                Applier::Xtrabackup => ApplierChoice::Xtrabackup,
                Applier::Mysqld => ApplierChoice::Mysqld,
                Applier::Server => ApplierChoice::Server,
            },
            mysqld: self.mysqld.clone(),
            xtrabackup: self.xtrabackup.clone(),
            mysqld_args: self.mysqld_arg.clone(),
            user: self.owner.clone(),
            keyring_config: self.keyring_config.clone(),
            accepted_errors: self.accept_error.clone(),
            force_move_aside: self.force_move_aside,
            skip_space_check: self.skip_space_check,
            threads: self.parallel.map_or(defaults.threads, usize::from).max(1),
            memory: self.memory,
            use_memory: self.use_memory as u64,
            key: self.opening.key()?,
            accept_unauthenticated: self.opening.accept_unauthenticated,
            accept_config: self.accept_config,
            keep_failed: self.keep_failed,
            ..defaults
        })
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mut options = args.options()?;
    let latest = args.latest.of(args.name.as_deref())?;
    let repo = match &args.name {
        Some(name) => Some((args.store.open(&args.repo)?.with_latest(latest), name)),
        None => {
            args.store
                .no_rate("remove it: directories are read without a limit")?;
            None
        }
    };
    let plan = match &repo {
        Some((repo, name)) => crate::restore::plan(repo, name, &options),
        None => crate::restore::plan_directories(&args.directories()?, &options),
    };
    let opened = repo.as_ref().map(|(repo, _)| (repo, args.repo.as_str()));
    let plan = plan.map_err(|error| by_step::failure(error, opened, &args.datadir))?;
    if args.print_plan {
        let document = RestoreDocument::plan(&plan, Utc::now());
        context.print(&document, |_| plan.to_string());
        return Ok(());
    }
    options.cancel = interrupt::on_signal("the unfinished directory is being removed")?;
    let shown = Shown::new(context.progress);
    let result = match &repo {
        Some((repo, _)) => crate::restore::run(repo, &plan, &options, &shown),
        None => crate::restore::run_directories(&plan, &options, &shown),
    };
    shown.end();
    let report = result?;
    let document = RestoreDocument::done(&plan, &report, Utc::now());
    context.print(&document, |_| summary(&report));
    Ok(())
}

/// Parses an option of the recovering mysqld; refuses those that lsnap sets itself.
pub(super) fn mysqld_option(text: &str) -> Result<String, String> {
    crate::restore::refused_option(text).map_or_else(|| Ok(text.to_owned()), Err)
}

/// Parses the code of a server's error: `MY-` and six digits.
pub(super) fn error_code(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("MY-").unwrap_or_default();
    if digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("expected MY- and six digits, as in MY-013589".to_owned())
}

fn summary(report: &RestoreReport) -> String {
    let redo = if report.redo_applied {
        let time = human::duration(report.apply_time);
        format!("applied by {} in {time}", report.applier)
    } else {
        format!("left for {}", report.applier)
    };
    let mut out = format!(
        "{} restored to {}\n  {} fetched of {} stored, {} written in {}; redo {redo}\n",
        report.target,
        report.datadir.display(),
        human::bytes(report.fetched_bytes),
        human::bytes(report.stored_bytes),
        human::bytes(report.written_bytes),
        human::duration(report.merge_time),
    );
    for member in &report.members {
        out += &format!(
            "  {}: {} from {} ({} not needed)\n",
            member.name,
            count(member.pages, "page"),
            count(member.objects, "object"),
            member.objects_skipped
        );
    }
    if let Some(gtid) = &report.gtid_executed {
        let how = if report.gtid_verified {
            "the recovered server agrees"
        } else {
            "as recorded"
        };
        out += &format!("  gtid_executed {gtid} ({how})\n");
    }
    if !report.tables_complete {
        out += "  the tables were not compared with the dictionary: only a mysqld as the redo applier does that\n";
    }
    for warning in &report.warnings {
        out += &format!("  warning: {warning}\n");
    }
    out + &next_steps::text(report)
}
