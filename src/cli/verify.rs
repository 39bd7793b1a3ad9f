//! `lsnap verify`.

use super::exit::Failure;
use super::exit_code::ExitCode;
use super::interrupt;
use super::progress::Shown;
use super::restore::{error_code, mysqld_option};
use super::store_args::{RepoArg, StoreArgs};
use super::{Context, absent, human, key, output};
use crate::verify::{
    Authentication, Level, Outcome, TestRestoreOptions, VerifyOptions, VerifyReport, Which,
};
use crate::{counted, verify};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Arguments of `lsnap verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    /// The backup: its name, its last part, or `latest`; what its restore needs is verified with it.
    #[arg(default_value = "latest")]
    name: String,
    /// Every backup of the repository.
    #[arg(long)]
    all: bool,
    /// Read every byte: digests, page checksums and LSNs, the redo log; of encrypted files without their
    /// key the digests alone, and the exit code is 15. Without it (and without --restore), only that every
    /// object is there with its length.
    #[arg(long)]
    data: bool,
    /// Read every byte, then restore into a scratch directory and let the server check every table.
    #[arg(long)]
    restore: bool,
    /// Threads that fetch and check [default: the number of cores, at least 2].
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,
    /// Memory for objects on their way.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = human::parse_memory)]
    memory: usize,
    /// Where the directory of --restore is made [default: TMPDIR].
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
    /// A further option of that mysqld, for example of a keyring. May be repeated.
    #[arg(
        long,
        value_name = "OPTION",
        allow_hyphen_values = true,
        value_parser = mysqld_option,
        requires = "restore",
        help_heading = "Test restore"
    )]
    mysqld_arg: Vec<String>,
    /// A directory with the mysqld.my and component_keyring_*.cnf of a keyring that this mysqld shall use.
    #[arg(
        long,
        value_name = "DIR",
        requires = "restore",
        help_heading = "Test restore"
    )]
    keyring_config: Option<PathBuf>,
    /// An error of that mysqld that is known as harmless, for example MY-013589. May be repeated.
    #[arg(long, value_name = "CODE", value_parser = error_code, requires = "restore", help_heading = "Test restore")]
    accept_error: Vec<String>,
    /// Restore although the scratch directory may have too little space.
    #[arg(long, requires = "restore", help_heading = "Test restore")]
    skip_space_check: bool,
    /// The owner of the files of --restore, when root runs it: a name, a number, or UID:GID [default: mysql].
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
    store: StoreArgs,
}

impl Args {
    fn options(&self) -> Result<VerifyOptions, Failure> {
        let defaults = VerifyOptions::default();
        Ok(VerifyOptions {
            level: match (self.restore, self.data) {
                (true, _) => Level::Restore,
                (false, true) => Level::Data,
                (false, false) => Level::Present,
            },
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
                ..TestRestoreOptions::default()
            },
            ..defaults
        })
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mut options = args.options()?;
    let which = match (args.all, args.name.as_str()) {
        (true, "latest") => Which::All,
        (true, _) => {
            return Err(Failure::arguments(
                "--all and a NAME exclude each other".to_owned(),
            ));
        }
        (false, name) => Which::Named(name),
    };
    let repo = args.store.open(&args.repo.repo)?;
    let doing = match args.restore {
        true => "the scratch directory is being removed",
        false => "nothing more is verified",
    };
    options.cancel = interrupt::on_signal(doing)?;
    let shown = Shown::new(context.progress);
    let result = verify::verify(&repo, which, &options, &shown);
    shown.end();
    let report = result?;
    let code = ExitCode::from(report.outcome());
    if context.json {
        output::json(&Document {
            exit_code: code,
            report: &report,
        });
    } else {
        output::out(&summary(&report, options.level));
    }
    let message = match report.outcome() {
        Outcome::Sound => return Ok(()),
        Outcome::Empty => format!(
            "no backups were found in {}: nothing was verified",
            args.repo.repo
        ),
        Outcome::NotVerified => open(&report),
        Outcome::Key | Outcome::ChainBroken | Outcome::Damaged => {
            let problems = counted::count(report.problems().count(), "problem");
            format!("{problems} found")
        }
    };
    Err(Failure::with_code(code, message).on_stderr())
}

/// What a verification that found nothing wrong leaves open.
fn open(report: &VerifyReport) -> String {
    let backups = |count: usize, what: &str| {
        let were = if count == 1 { "was" } else { "were" };
        let told = counted::count(count, "backup");
        (count > 0).then(|| format!("{told} {were} not {what}"))
    };
    let not_authenticated = backups(report.not_authenticated().count(), "authenticated");
    let told = [
        backups(report.not_verified().count(), "verified"),
        not_authenticated.map(|told| {
            format!(
                "{told}: without the key nobody can tell who wrote the manifest. Give \
                 --key-file"
            )
        }),
    ];
    told.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[derive(serde::Serialize)]
struct Document<'a> {
    exit_code: ExitCode,
    #[serde(flatten)]
    report: &'a VerifyReport,
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
                "  encrypted files of which only the digests were compared: {} (give --decrypt and \
                 --key-file)",
                member.sealed_files
            ));
        }
        for what in missing {
            line(format!("  lacks {what}"));
        }
        for problem in &member.problems {
            line(told(problem));
        }
        if member.more_problems > 0 {
            line(format!(
                "  and {}",
                counted::count(member.more_problems, "more problem")
            ));
        }
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
        restored.problems.iter().for_each(|p| line(told(p)));
    }
    for passed in &report.passed_over {
        line(format!("newer than what was taken for `latest`: {passed}"));
    }
    for name in &report.unfinished {
        line(format!(
            "{name}: UNFINISHED, no backup yet: it is being written, or was interrupted"
        ));
    }
    for name in &report.xtrabackups {
        line(format!(
            "{name}: NOT VERIFIED, made by xtrabackup: there are no digests to compare with"
        ));
    }
    for name in &report.streams {
        line(format!(
            "{name}: NOT VERIFIED, a stream that was put here: run `lsnap restore`, which checks every byte"
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

fn told(problem: &verify::Problem) -> String {
    format!(
        "  {}: found {}, expected {}",
        problem.object, problem.found, problem.expected
    )
}
