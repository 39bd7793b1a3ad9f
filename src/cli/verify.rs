//! `lsnap verify`.

use super::exit::Failure;
use super::exit_code::ExitCode;
use super::interrupt;
use super::job::{Job, JobArgs};
use super::json::VerifyDocument;
use super::latest_args::LatestArgs;
use super::progress::Shown;
use super::restore::{error_code, mysqld_option};
use super::store_args::{RepoArg, StoreArgs};
use super::{Context, absent, human, key, verify_checks};
use crate::store::Repository;
use crate::verify::{
    Authentication, Level, MemberReport, Outcome, Picked, Restored, TestRestoreOptions,
    VerifyOptions, VerifyReport, Which,
};
use crate::{counted, verify};
use chrono::Utc;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `lsnap verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    /// The backup: its name, the last part of its name, or `latest`. The backups that its restore
    /// needs are verified with it.
    #[arg(default_value = "latest")]
    name: String,
    #[command(flatten)]
    latest: LatestArgs,
    /// Choose the backup: `newest`, or `random` by age: the newest one up to a random moment of the time that the
    /// backups cover. The report has the seed, which repeats the choice.
    #[arg(long, value_name = "HOW", conflicts_with_all = ["all", "before"])]
    pick: Option<Pick>,
    /// The seed of `--pick random` and of the order of `--check-tables-for` [default: a random number].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Verify every backup of the repository, of all clusters.
    #[arg(long)]
    all: bool,
    /// Read every byte and check digests, page checksums, page LSNs and the redo log. Of encrypted
    /// files without their key only the digests are checked, and the exit code is 15. Without
    /// --data and --restore, only the existence and length of every object is checked.
    #[arg(long)]
    data: bool,
    /// Read every byte, then restore into a scratch directory and let a mysqld check every table.
    #[arg(long)]
    restore: bool,
    /// Use N threads to fetch and check [default: the number of cores, at least 2].
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,
    /// Use at most this much memory for objects in transit.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = human::parse_memory)]
    memory: usize,
    /// Where to create the scratch directory of --restore [default: TMPDIR].
    #[arg(
        long,
        value_name = "DIR",
        requires = "restore",
        help_heading = "Test restore"
    )]
    scratch: Option<PathBuf>,
    /// The mysqld of --restore [default: found on the PATH].
    #[arg(
        long,
        value_name = "FILE",
        requires = "restore",
        help_heading = "Test restore"
    )]
    mysqld: Option<PathBuf>,
    /// A further option for that mysqld, for example of a keyring. May be repeated.
    #[arg(
        long,
        value_name = "OPTION",
        allow_hyphen_values = true,
        value_parser = mysqld_option,
        requires = "restore",
        help_heading = "Test restore"
    )]
    mysqld_arg: Vec<String>,
    /// A directory with the mysqld.my and component_keyring_*.cnf of a keyring for that mysqld.
    #[arg(
        long,
        value_name = "DIR",
        requires = "restore",
        help_heading = "Test restore"
    )]
    keyring_config: Option<PathBuf>,
    /// Accept this error of that mysqld, if it is known to be harmless, for example MY-013589. May
    /// be repeated.
    #[arg(long, value_name = "CODE", value_parser = error_code, requires = "restore", help_heading = "Test restore")]
    accept_error: Vec<String>,
    /// Check tables in a random order and begin no other after this time, for example 10m [default: check all].
    #[arg(long, value_name = "TIME", value_parser = human::parse_duration, requires = "restore", help_heading = "Test restore")]
    check_tables_for: Option<Duration>,
    /// A file of queries with their expected results, which the restored server must return.
    #[arg(
        long,
        value_name = "FILE",
        requires = "restore",
        help_heading = "Test restore"
    )]
    checks: Option<PathBuf>,
    /// Restore even if the scratch directory may have too little space.
    #[arg(long, requires = "restore", help_heading = "Test restore")]
    skip_space_check: bool,
    /// The owner of the files of --restore if root runs this: a name, a number, or UID:GID
    /// [default: mysql].
    #[arg(
        long,
        value_name = "USER",
        alias = "user",
        requires = "restore",
        help_heading = "Test restore"
    )]
    owner: Option<String>,
    #[command(flatten)]
    opening: key::Opening,
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// How the backup of a drill is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Pick {
    /// The newest one.
    Newest,
    /// At random, by age.
    Random,
}

impl Args {
    pub(super) fn job(&self) -> Job {
        Job::new("verify", Some(&self.repo.repo), &self.job).with_level(self.level())
    }

    fn level(&self) -> Level {
        match (self.restore, self.data) {
            (true, _) => Level::Restore,
            (false, true) => Level::Data,
            (false, false) => Level::Present,
        }
    }

    fn options(&self, seed: u64) -> Result<VerifyOptions, Failure> {
        let defaults = VerifyOptions::default();
        Ok(VerifyOptions {
            level: self.level(),
            threads: self.parallel.map_or(defaults.threads, usize::from).max(1),
            memory: self.memory,
            key: self.opening.key()?,
            accept_unauthenticated: self.opening.accept_unauthenticated,
            scratch: self.scratch.clone(),
            test_restore: TestRestoreOptions {
                mysqld: self.mysqld.clone(),
                mysqld_args: self.mysqld_arg.clone(),
                user: self.owner.clone(),
                keyring_config: self.keyring_config.clone(),
                accepted_errors: self.accept_error.clone(),
                skip_space_check: self.skip_space_check,
                table_budget: self.check_tables_for,
                seed,
                checks: self
                    .checks
                    .as_deref()
                    .map_or(Ok(Vec::new()), verify_checks::read)?,
                ..TestRestoreOptions::default()
            },
            ..defaults
        })
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let seed = seed(args)?;
    let mut options = args.options(seed)?;
    let which = match (args.all, args.name.as_str()) {
        (true, "latest") => Which::All,
        (true, _) => {
            return Err(Failure::arguments(
                "--all and a NAME exclude each other".to_owned(),
            ));
        }
        (false, name) => Which::Named(name),
    };
    let latest = args.latest.of((!args.all).then_some(args.name.as_str()))?;
    let repo = args.store.open(&args.repo.repo)?.with_latest(latest);
    context.facts.opened(&repo);
    let doing = match args.restore {
        true => "the scratch directory is being removed",
        false => "nothing more is verified",
    };
    options.cancel = interrupt::on_signal(doing)?;
    let picked = match args.pick {
        Some(Pick::Random) => Some(pick(args, &repo, seed)?),
        Some(Pick::Newest) | None => None,
    };
    let which = match &picked {
        Some(picked) => Which::Named(picked.name.as_str()),
        None => which,
    };
    let shown = Shown::new(context.progress);
    let result = verify::verify(&repo, which, &options, &shown);
    shown.end();
    let mut report = result?;
    report.picked = picked;
    context.facts.verified(&report, options.level);
    let code = ExitCode::from(report.outcome());
    let document = VerifyDocument::of(&report, Utc::now());
    let text = |_: &VerifyDocument<'_>| summary(&report, options.level);
    if report.outcome() == Outcome::Sound && !has_remarks(&report) {
        context.print_report(&document, |_| brief(&report, options.level), text);
    } else {
        context.print(&document, text);
    }
    let message = match report.outcome() {
        Outcome::Sound => return Ok(()),
        Outcome::Empty => format!(
            "no backups were found in {}: nothing was verified",
            args.repo.repo
        ),
        Outcome::NotVerified => unverified(&report),
        Outcome::Key | Outcome::ChainBroken | Outcome::Damaged => {
            let problems = counted::count(report.problems().count(), "problem");
            format!("{problems} found")
        }
    };
    Err(Failure::with_code(code, message))
}

/// Returns the seed that was given, or a random one.
fn seed(args: &Args) -> Result<u64, Failure> {
    if let Some(seed) = args.seed {
        return Ok(seed);
    }
    // Short enough for every reader of JSON.
    let seed = getrandom::u32().map_err(|error| {
        Failure::internal(format!("the system provides no random numbers: {error}"))
    })?;
    Ok(u64::from(seed))
}

/// Chooses a backup at random.
fn pick(args: &Args, repo: &Repository, seed: u64) -> Result<Picked, Failure> {
    if args.name != "latest" {
        return Err(Failure::arguments(format!(
            "--pick chooses the backup, but {} is given; leave one out",
            args.name
        )));
    }
    let listed = repo.list()?;
    match verify::by_age(&listed, args.latest.cluster(), seed) {
        Some(name) => Ok(Picked { name, seed }),
        None => Err(Failure::with_code(
            ExitCode::NotFound,
            format!(
                "no finished backups were found in {}: none can be chosen",
                args.repo.repo
            ),
        )),
    }
}

/// Describes the backups that were not verified or not authenticated.
fn unverified(report: &VerifyReport) -> String {
    let backups = |count: usize, what: &str| {
        let were = if count == 1 { "was" } else { "were" };
        let backups = counted::count(count, "backup");
        (count > 0).then(|| format!("{backups} {were} not {what}"))
    };
    let not_authenticated = backups(report.not_authenticated().count(), "authenticated");
    let reasons = [
        backups(report.not_verified().count(), "verified"),
        not_authenticated.map(|reason| {
            format!(
                "{reason}: without the key, the MAC of the manifest can't be checked. Give --key-file"
            )
        }),
    ];
    reasons.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Returns whether a report has more to say than that all backups are sound.
fn has_remarks(report: &VerifyReport) -> bool {
    let others = [
        &report.unfinished,
        &report.xtrabackups,
        &report.streams,
        &report.being_deleted,
    ];
    let incomplete = |m: &MemberReport| m.dictionary.iter().flat_map(absent::lacking).count() > 0;
    !report.passed_over.is_empty()
        || !report.restored.is_empty()
        || others.iter().any(|names| !names.is_empty())
        || report.members.iter().any(incomplete)
}

/// Describes a verification without findings in one line.
fn brief(report: &VerifyReport, level: Level) -> String {
    let members = &report.members;
    let bytes: u64 = match level {
        Level::Present => members.iter().map(|m| m.bytes).sum(),
        Level::Data | Level::Restore => members.iter().map(|m| m.read_bytes).sum(),
    };
    let done = match level {
        Level::Present => "present",
        Level::Data => "read and compared",
        Level::Restore => "read, compared and restored",
    };
    let backups = counted::count(members.len(), "backup");
    format!("{backups} ok: {} {done}\n", human::bytes(bytes))
}

fn summary(report: &VerifyReport, level: Level) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    for member in &report.members {
        let missing: Vec<_> = member.dictionary.iter().flat_map(absent::lacking).collect();
        let open = member.authentication == Some(Authentication::NotAuthenticated);
        let state = match (member.problems.is_empty(), missing.is_empty(), open) {
            (true, true, false) => "ok",
            (true, true, true) => "NOT AUTHENTICATED",
            (true, false, false) => "INCOMPLETE",
            (true, false, true) => "INCOMPLETE and NOT AUTHENTICATED",
            (false, ..) => "DAMAGED",
        };
        let mut text = format!(
            "{}: {state}; {}, {}",
            member.name,
            counted::count(member.objects, "object"),
            human::bytes(member.bytes)
        );
        if level >= Level::Data {
            let pages = &member.pages;
            let _ = write!(
                text,
                ", {} read; {} verified, {} zero, {} encrypted",
                human::bytes(member.read_bytes),
                counted::count(pages.verified, "page"),
                pages.zero,
                pages.unverifiable
            );
        }
        line(text);
        if member.sealed_files > 0 {
            line(format!(
                "  encrypted files of which only the digests were compared: {} (give --key-file)",
                member.sealed_files
            ));
        }
        for what in missing {
            line(format!("  lacks {what}"));
        }
        for problem in &member.problems {
            line(text_of(problem));
        }
        if member.more_problems > 0 {
            line(format!(
                "  and {}",
                counted::count(member.more_problems, "more problem")
            ));
        }
    }
    if let Some(picked) = &report.picked {
        line(format!(
            "{} was chosen at random; --seed {} repeats the choice",
            picked.name, picked.seed
        ));
    }
    for restored in &report.restored {
        let gtid = if restored.gtid_verified {
            ", at the recorded GTID position"
        } else {
            ""
        };
        line(format!(
            "{} restored: {} checked{gtid}",
            restored.name,
            counted::count(restored.tables, "table")
        ));
        drilled(restored).into_iter().for_each(&mut line);
        restored.problems.iter().for_each(|p| line(text_of(p)));
    }
    for passed in &report.passed_over {
        line(format!(
            "newer than the backup chosen for `latest`: {passed}"
        ));
    }
    for name in &report.unfinished {
        line(format!(
            "{name}: UNFINISHED: it is being written, or was interrupted"
        ));
    }
    for name in &report.xtrabackups {
        line(format!(
            "{name}: NOT VERIFIED, made by xtrabackup: there are no digests to compare with"
        ));
    }
    for name in &report.streams {
        line(format!(
            "{name}: NOT VERIFIED, a stream that was stored with `lsnap cloud put`: run `lsnap restore`, which checks every byte"
        ));
    }
    for name in &report.being_deleted {
        line(format!("{name}: NOT VERIFIED, its chain is being deleted"));
    }
    if report.members.is_empty() {
        line("nothing was verified".to_owned());
    }
    out
}

/// Describes the checks of a restored backup beyond its tables, and the times.
fn drilled(restored: &Restored) -> Vec<String> {
    let mut lines = Vec::new();
    if restored.tables_left > 0 {
        let left = counted::count(restored.tables_left, "table");
        lines.push(format!("  not checked, because the time was over: {left}"));
    }
    if !restored.checks.is_empty() {
        let passed = restored.checks.iter().filter(|check| check.passed).count();
        let of = counted::count(restored.checks.len(), "query");
        lines.push(format!("  {passed} of {of} with the expected result"));
    }
    let times = [
        ("fetch and merge", restored.merge_seconds),
        ("redo", restored.redo_seconds),
        ("checks", restored.check_seconds),
    ];
    let times = times.into_iter().filter_map(|(what, seconds)| {
        let time = Duration::try_from_secs_f64(seconds?).ok()?;
        Some(format!("{what} {}", human::duration(time)))
    });
    let times: Vec<String> = times.collect();
    if !times.is_empty() {
        lines.push(format!(
            "  {} in {}",
            human::bytes(restored.restored_bytes),
            times.join(", ")
        ));
    }
    lines
}

fn text_of(problem: &verify::Problem) -> String {
    format!(
        "  {}: found {}, expected {}",
        problem.object, problem.found, problem.expected
    )
}
