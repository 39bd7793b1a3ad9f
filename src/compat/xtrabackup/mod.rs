//! `xtrabackup`.
//!
//! It ends with 0 or 1, as callers expect. The last line of a run that succeeded is `completed OK!`, and no other run
//! has it. Standard output has nothing but the stream, the help, or what `--print-...` ask for.

mod backup;
mod base;
mod connection;
mod copy_back;
mod directory;
mod extra_lsndir;
mod filter;
mod prepare;
mod table;
mod unpack;

#[cfg(test)]
mod tests;

use super::options::{self, Groups, OptionError, Parsed, Side, State, read};
use super::{log, secrets, version};
use crate::cli;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
#[cfg(test)]
pub(in crate::compat) use table::TABLE as OPTIONS;
use table::{Opt, TABLE};

/// The groups of option files.
const GROUPS: Groups = Groups {
    own: &["xtrabackup"],
    client: &["client"],
    server: &["mysqld"],
};

/// The directory of a backup without `--target-dir`.
const TARGET: &str = "./xtrabackup_backupfiles/";

/// The failure of a run: a message for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl From<OptionError> for Failure {
    fn from(error: OptionError) -> Self {
        Self(error.to_string())
    }
}

/// What one run does. More than one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Backup,
    Prepare,
    /// `--decrypt`, `--decompress`, or both.
    Unpack,
    /// `--copy-back` or `--move-back`.
    Back,
}

/// Runs the program.
pub(super) fn main(args: &[OsString], before: usize) -> ExitCode {
    secrets::blank(args, secrets::XTRABACKUP_LETTERS);
    cli::limit_modes();
    log::start();
    let name = if before == 2 { None } else { args.first() };
    let name = name
        .and_then(|name| Path::new(name).file_name())
        .map_or_else(
            || "lsnap xtrabackup".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
    match run(&name, args, before) {
        Ok(End::Completed) => {
            log::note("completed OK!");
            ExitCode::SUCCESS
        }
        Ok(End::Printed) => ExitCode::SUCCESS,
        Ok(End::Usage) => ExitCode::FAILURE,
        Err(failure) => {
            log::error(&failure.0);
            ExitCode::FAILURE
        }
    }
}

/// How a run without a failure ends.
enum End {
    Completed,
    Printed,
    /// The help was printed, which is a failure for callers of xtrabackup.
    Usage,
}

fn run(name: &str, args: &[OsString], before: usize) -> Result<End, Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let read = read(TABLE, &GROUPS, &args[before..], home.as_deref())?;
    let options = &read.parsed;
    if read.sources.print_defaults {
        cli::print(&format!(
            "{name} would have been started with the following arguments:\n{}\n",
            read.from_files.join(" ")
        ));
        return Ok(End::Printed);
    }
    if options.is_on(Opt::Help) {
        usage(name);
        return Ok(End::Usage);
    }
    if options.is_on(Opt::Version) {
        // On standard error, where callers look for it.
        cli::print_to_stderr(&format!("{}\n", version::line("xtrabackup")));
        return Ok(End::Printed);
    }
    for side in [Side::Server, Side::Client] {
        let what = match side {
            Side::Server => "server",
            Side::Client => "client",
        };
        let given = options.recognised(side);
        if !given.is_empty() {
            log::note(&format!("recognized {what} arguments: {given}"));
        }
    }
    for warning in &options.warnings {
        log::warning(warning);
    }
    if options.is_on(Opt::PrintParam) {
        cli::print(&parameters(options));
        return Ok(End::Printed);
    }
    let Some(mode) = mode(options)? else {
        usage(name);
        return Ok(End::Usage);
    };
    check_unknown(options, mode)?;
    if let Some(stray) = options.stray.first() {
        return Err(Failure(stray_text(args, stray)));
    }
    check_states(options)?;
    if mode != Mode::Backup && options.number(Opt::Throttle).is_some_and(|rate| rate > 0) {
        log::warning("--throttle has effect only with --backup");
    }
    match mode {
        Mode::Backup => backup::run(options, args),
        Mode::Prepare => prepare::run(options),
        Mode::Unpack => unpack::run(options),
        Mode::Back => copy_back::run(options),
    }?;
    Ok(End::Completed)
}

/// Returns the message for an argument that belongs to no option. One that was meant as a password is not shown.
fn stray_text(args: &[OsString], stray: &OsStr) -> String {
    if secrets::has_secret(args, stray, secrets::XTRABACKUP_LETTERS) {
        "the value of --password must be part of the argument: --password=PASSWORD or -pPASSWORD; without it, the password is \
         asked for"
            .to_owned()
    } else {
        format!("unknown argument: '{}'", stray.to_string_lossy())
    }
}

fn usage(name: &str) {
    cli::print(&format!(
        "lsnap as xtrabackup: physical backups of MySQL.\n\n\
         Usage: {name} [--defaults-file=FILE] --backup [OPTIONS]\n       \
         {name} --prepare --target-dir=DIR [--incremental-dir=DIR] [--apply-log-only]\n       \
         {name} --decompress [--decrypt=ALGORITHM] [OPTIONS]\n       \
         {name} [--defaults-file=FILE] --copy-back|--move-back [OPTIONS]\n\n\
         These must be given first:\n\
         \x20 --print-defaults  --no-defaults  --defaults-file=FILE  --defaults-extra-file=FILE\n\
         \x20 --defaults-group-suffix=SUFFIX  --no-login-paths\n\n{}",
        options::usage(TABLE)
    ));
}

/// Returns the server's options as an option file.
fn parameters(options: &Parsed) -> String {
    let given = options.recognised(Side::Server);
    let lines = given
        .split_terminator(' ')
        .map(|word| word.trim_start_matches('-'));
    lines.fold(
        "# This MySQL options file was generated by lsnap.\n[mysqld]\n".to_owned(),
        |text, line| text + line + "\n",
    )
}

/// Returns the mode; nothing if none was given.
fn mode(options: &Parsed) -> Result<Option<Mode>, Failure> {
    let modes = [
        ("backup", options.is_on(Opt::Backup)),
        ("prepare", options.is_on(Opt::Prepare)),
        ("copy-back", options.is_on(Opt::CopyBack)),
        ("move-back", options.is_on(Opt::MoveBack)),
        ("decompress", options.is_on(Opt::Decompress)),
        ("decrypt", options.is_given(Opt::Decrypt)),
    ];
    let given: Vec<&str> = modes
        .iter()
        .filter(|mode| mode.1)
        .map(|mode| mode.0)
        .collect();
    match given[..] {
        [] => Ok(None),
        ["backup"] => Ok(Some(Mode::Backup)),
        ["prepare"] => Ok(Some(Mode::Prepare)),
        ["decompress"] | ["decrypt"] | ["decompress", "decrypt"] => Ok(Some(Mode::Unpack)),
        ["copy-back"] | ["move-back"] => Ok(Some(Mode::Back)),
        [one] => Err(Failure(format!(
            "this version of lsnap cannot do --{one} under the name of xtrabackup; use `lsnap restore`"
        ))),
        [one, other, ..] => Err(Failure(format!(
            "--{one} and --{other} are mutually exclusive"
        ))),
    }
}

/// Refuses unknown options of the command line and of `[xtrabackup]` in the modes that check them.
fn check_unknown(options: &Parsed, mode: Mode) -> Result<(), Failure> {
    let checks = matches!(mode, Mode::Backup | Mode::Prepare);
    for unknown in options
        .unknown
        .iter()
        .filter(|unknown| unknown.origin.is_strict())
    {
        let name = match unknown.name.strip_prefix('-') {
            Some(_) => unknown.name.clone(),
            None => format!("--{}", unknown.name),
        };
        let text = format!("unknown option '{name}'");
        if checks && !unknown.loose && options.switch(Opt::Strict).unwrap_or(true) {
            return Err(Failure(text));
        }
        log::warning(&text);
    }
    Ok(())
}

/// Refuses the options that can't be done, and names those without an effect.
fn check_states(options: &Parsed) -> Result<(), Failure> {
    for (spec, is_own) in options.given() {
        match spec.state {
            State::Done => {}
            State::Refused(reason) if is_own => {
                return Err(Failure(format!("option '{spec}' is refused: {reason}")));
            }
            State::Accepted(reason) if is_own => {
                log::note(&format!("option '{spec}' has no effect: {reason}"));
            }
            State::Refused(reason) if spec.side == Side::Client => {
                log::warning(&format!(
                    "option '{spec}' of an option file is ignored: {reason}"
                ));
            }
            State::Refused(_) | State::Accepted(_) => {}
        }
    }
    Ok(())
}

/// Returns the directory of the backup.
fn target(options: &Parsed) -> PathBuf {
    options
        .path(Opt::TargetDir)
        .unwrap_or_else(|| PathBuf::from(TARGET))
}

/// Returns the number of threads.
fn threads(options: &Parsed) -> usize {
    options
        .number(Opt::Parallel)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(1)
}
