//! The program: arguments, progress, reports and exit codes. It contains no logic of backups, only
//! calls of the library. Each subcommand has a file.

mod absent;
mod agent;
mod backed_up;
mod backup;
mod by_step;
mod check;
mod cloud;
mod config;
mod connect;
mod consolidate;
mod copy;
mod delete;
mod exit;
mod exit_code;
mod generate;
mod headers;
mod hooks;
mod human;
mod install_links;
mod interrupt;
mod job;
mod json;
mod key;
mod latest_args;
mod list;
mod log_format;
mod metrics;
mod modes;
mod next_steps;
mod occupied;
mod option_names;
mod output;
mod pin;
mod progress;
mod prune;
mod refused;
mod replica;
mod restore;
mod retention;
mod server_load;
mod shared;
mod show;
mod slot;
mod store_args;
mod streams;
mod table;
mod unwrap;
mod usage;
mod verify;
mod verify_checks;
mod xbstream;

pub(crate) use shared::{
    ask, cancel, limit_modes, on_signal, option_with_command, print, print_to_stderr,
    standard_input, standard_output, sync_output, translated_by,
};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// The end of `--help`. The codes are those of [`exit_code`].
const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 10 repository or backup not found, \
    11 conflict (the target exists or is locked), 12 access denied, 13 damage found, 14 chain broken or can't be \
    continued, 15 not everything could be verified, 130 interrupted";

/// Hot physical backups of MySQL: full and incremental, streamed to a repository, restorable at any
/// point of the chain.
#[derive(Debug, Parser)]
#[command(name = "lsnap", version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The configuration file [default: /etc/lsnap/lsnap.toml, else ~/.config/lsnap/lsnap.toml, if
    /// it exists].
    #[arg(long, global = true, value_name = "FILE", help_heading = "General")]
    config: Option<String>,
    /// A profile of the configuration file. Its values have precedence over the rest of the file.
    #[arg(long, global = true, value_name = "NAME", help_heading = "General")]
    profile: Option<String>,
    /// Ignore the value of a key in the environment and the configuration file: `backup.full-every`, or a whole
    /// table: `retention`. May be repeated.
    #[arg(long, global = true, value_name = "KEY", help_heading = "General")]
    unset: Vec<String>,
    /// Print the result as one JSON document on standard output.
    #[arg(long, global = true, help_heading = "General")]
    json: bool,
    /// How to show progress on standard error.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        help_heading = "General"
    )]
    progress: progress::Style,
    /// The format of the log on standard error: lines of text, or one JSON object a line.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        help_heading = "General"
    )]
    log_format: log_format::LogFormat,
    /// Log more on standard error; give it twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "General")]
    verbose: u8,
    /// Print only errors, and results that are asked for (list, show, check, --json): no report, no progress, no
    /// warnings.
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "General"
    )]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run backups and other jobs by schedules and by requests, as a daemon.
    Agent(Box<agent::Args>),
    /// Back up a running server: a full backup, or an incremental on an earlier one.
    Backup(Box<backup::Args>),
    /// Check that the newest backups are recent enough and nothing is damaged, for monitoring.
    Check(Box<check::Args>),
    /// Store, get or delete a backup in xbcloud's format.
    Cloud(Box<cloud::Args>),
    /// Print completions for a shell.
    Completions(generate::Completions),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(config::Args),
    /// Make a full backup from a chain, in the repository, without a server.
    Consolidate(Box<consolidate::Args>),
    /// Copy backups to another repository; an interrupted copy is continued.
    Copy(Box<copy::Args>),
    /// Delete a backup, and with --cascade the backups that need it.
    Delete(Box<delete::Args>),
    /// Make links by which lsnap is called as xtrabackup, xbstream, xbcloud and xbcrypt.
    InstallLinks(install_links::Args),
    /// List the backups of a repository, by chain.
    List(Box<list::Args>),
    /// Protect the chain of a backup from deletion until it is unpinned.
    Pin(Box<pin::Args>),
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Man(generate::Man),
    /// Delete the chains that a retention policy doesn't keep, and unfinished backups.
    Prune(Box<prune::Args>),
    /// Show the details of a backup.
    Show(Box<show::Args>),
    /// Decompress the files of an extracted backup in place, as `xtrabackup --decompress` does.
    Decompress(unwrap::Decompress),
    /// Decrypt the files of an extracted backup in place, as `xtrabackup --decrypt` does.
    Decrypt(unwrap::Decrypt),
    /// Restore any backup of a chain into an empty directory, ready to start.
    Restore(Box<restore::Args>),
    /// Remove the protection of a chain.
    Unpin(Box<pin::Args>),
    /// Check backups without a server: their objects, every byte, or a test restore.
    Verify(Box<verify::Args>),
    /// Make, extract, list or check an xbstream, with the options of Percona's xbstream.
    Xbstream(Box<xbstream::Args>),
}

/// The general options of a command.
struct Context {
    json: bool,
    progress: progress::Style,
    verbose: u8,
    quiet: bool,
    /// What the command records for hooks and metrics.
    facts: job::Facts,
}

impl Command {
    /// Returns the job that the command is, if it has hooks or metrics.
    fn job(&self) -> Option<job::Job> {
        match self {
            Self::Backup(args) => Some(args.job()),
            Self::Check(args) => Some(args.job()),
            Self::Consolidate(args) => Some(args.job()),
            Self::Copy(args) => args.job(),
            Self::Prune(args) => args.job(),
            Self::Restore(args) => args.job(),
            Self::Verify(args) => Some(args.job()),
            _ => None,
        }
    }
}

/// Runs the program with these arguments; the first is its name.
#[must_use]
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let (cli, name) = match parse(args) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    output::begin(name, cli.json, cli.command.writes_a_stream());
    modes::limit(match cli.command {
        Command::Restore(_) => modes::Readers::Group,
        _ => modes::Readers::Owner,
    });
    let is_agent = matches!(cli.command, Command::Agent(_));
    let verbose = cli.verbose + u8::from(is_agent && !cli.quiet);
    start_log(verbose, cli.quiet, cli.log_format);
    let context = Context {
        json: cli.json,
        progress: if cli.quiet {
            progress::Style::None
        } else {
            cli.progress
        },
        verbose: cli.verbose,
        quiet: cli.quiet,
        facts: job::Facts::default(),
    };
    let running = cli.command.job();
    let running = running.map(|job| job::Running::start(job, &context.facts));
    let result = match cli.command {
        Command::Agent(agent) => agent::run(&agent, args, &context),
        Command::Backup(args) => backup::run(&args, &context),
        Command::Check(args) => check::run(&args, &context),
        Command::Cloud(args) => cloud::run(&args, &context),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
        Command::Config(args) => config::run(&args, (cli.config, cli.profile, cli.unset), &context),
        Command::Consolidate(args) => consolidate::run(&args, &context),
        Command::Copy(args) => copy::run(&args, &context),
        Command::Delete(args) => delete::run(&args, &context),
        Command::InstallLinks(args) => install_links::run(&args, &context),
        Command::List(args) => list::run(&args, &context),
        Command::Pin(args) => pin::run(&args, true, &context),
        Command::Unpin(args) => pin::run(&args, false, &context),
        Command::Prune(args) => prune::run(&args, &context),
        Command::Show(args) => show::run(&args, &context),
        Command::Decompress(args) => unwrap::decompress(&args, &context),
        Command::Decrypt(args) => unwrap::decrypt(&args, &context),
        Command::Restore(args) => restore::run(&args, &context),
        Command::Verify(args) => verify::run(&args, &context),
        Command::Xbstream(args) => xbstream::run(&args, &context),
    };
    let interrupted = interrupt::cancel().is_cancelled();
    let error = result.as_ref().err();
    let error = error.map(|failure| failure.document(interrupted));
    let exit = match result {
        Ok(()) => {
            output::end(None);
            output::checked(exit_code::ExitCode::Success)
        }
        Err(failure) => failure.report(interrupted),
    };
    if let Some(running) = running {
        running.end(context.facts, error);
    }
    exit
}

impl Command {
    /// Returns whether standard output is data: a stream, or the script of `completions`.
    fn writes_a_stream(&self) -> bool {
        match self {
            Self::Backup(args) => args.writes_a_stream(),
            Self::Cloud(args) => args.writes_a_stream(),
            Self::Xbstream(args) => args.writes_a_stream(),
            Self::Completions(_) => true,
            _ => false,
        }
    }
}

/// Returns the arguments, completed by the environment and the configuration, and the words of the command. After an
/// error, help or a version was printed: the exit code.
fn parse(typed: &[OsString]) -> Result<(Cli, String), ExitCode> {
    let mut program = config::with_false(Cli::command());
    let applied = config::check_variables(&program)
        .and_then(|()| config::environment())
        .and_then(|variable| config::apply(&program, typed, &variable))
        .map_err(|message| {
            usage::begin(typed);
            exit::Failure::arguments(message).report(false)
        })?;
    let matches = program.try_get_matches_from_mut(&applied.args);
    let parsed = matches.and_then(|matches| {
        let name = words_of(&matches);
        Ok((Cli::from_arg_matches(&matches)?, name))
    });
    parsed.map_err(|error| {
        // The help shows flags without the `=false` of `with_false`.
        let error = match error.kind() {
            ErrorKind::DisplayHelp => Cli::try_parse_from(typed).err().unwrap_or(error),
            _ => error,
        };
        usage::report(error, typed, &applied.added)
    })
}

/// Returns the words of the command: `cloud put`.
fn words_of(matches: &clap::ArgMatches) -> String {
    let mut words = Vec::new();
    let mut next = matches.subcommand();
    while let Some((word, matches)) = next {
        words.push(word);
        next = matches.subcommand();
    }
    words.join(" ")
}

/// Returns whether colours are allowed (<https://no-color.org>).
fn may_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn start_log(verbose: u8, quiet: bool, format: log_format::LogFormat) {
    let level = match verbose {
        0 if quiet => "lsnap=error",
        0 => "lsnap=warn",
        1 => "lsnap=info",
        _ => "lsnap=trace",
    };
    let given = std::env::var("LSNAP_LOG")
        .ok()
        .filter(|given| !given.is_empty());
    let given = given.and_then(|given| EnvFilter::try_new(given).ok());
    let filter = given.unwrap_or_else(|| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| output::Log)
        // It would print them to standard error, and panic if that is closed.
        .log_internal_errors(false)
        .with_target(false);
    match format {
        log_format::LogFormat::Text => log
            .with_ansi(std::io::stderr().is_terminal() && may_colour())
            .map_event_format(|text| log_format::WithJob::new(text, format))
            .init(),
        log_format::LogFormat::Json => log
            .with_ansi(false)
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .map_event_format(|json| log_format::WithJob::new(json, format))
            .init(),
    }
}

#[cfg(test)]
pub(crate) use install_links::NAMES as LINKS;

#[cfg(test)]
#[path = "messages_tests.rs"]
pub(crate) mod messages;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
