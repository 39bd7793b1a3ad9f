//! `xbcloud`: stores and gets streams as objects ([`crate::cloud`]).
//!
//! It ends with 0 or 1. Standard output has nothing but the stream, the help, or the version.

mod log;
mod place;
mod settings;
mod table;
mod transfer;

#[cfg(test)]
mod tests;

use super::options::{self, Groups, OptionError, Parsed, State, read};
use super::{secrets, version};
use crate::cli;
use crate::store::StoreError;
use place::Place;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::process::ExitCode;
#[cfg(test)]
pub(in crate::compat) use table::TABLE as OPTIONS;
use table::{Opt, TABLE};

/// The groups of option files.
const GROUPS: Groups = Groups {
    own: &["xbcloud"],
    client: &[],
    server: &[],
};

/// The failure of a run: a message for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl From<OptionError> for Failure {
    fn from(error: OptionError) -> Self {
        Self(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

/// Runs the program.
pub(super) fn main(args: &[OsString], before: usize) -> ExitCode {
    secrets::blank(args, secrets::XBCLOUD_LETTERS);
    super::log::start_with(|_, text| log::line(text));
    match run(&args[before..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log::line(&failure.0);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> Result<(), Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let read = read(TABLE, &GROUPS, &files_first(args), home.as_deref())?;
    let options = &read.parsed;
    if read.sources.print_defaults {
        cli::print(&format!(
            "xbcloud would have been started with the following arguments:\n{}\n",
            read.from_files.join(" ")
        ));
        return Ok(());
    }
    if options.is_on(Opt::Help) {
        cli::print(&usage());
        return Ok(());
    }
    if options.is_on(Opt::Version) {
        cli::print(&format!(
            "xbcloud  Ver {} for Linux ({}) (revision id: lsnap-{})\n",
            version::XTRABACKUP,
            std::env::consts::ARCH,
            env!("CARGO_PKG_VERSION")
        ));
        return Ok(());
    }
    check(options)?;
    let mut words = options.stray.iter().map(|word| text(word));
    let Some(verb) = words.next().transpose()? else {
        cli::print(&usage());
        return Err(Failure(
            "Command isn't specified. Supported commands are put, get and delete".to_owned(),
        ));
    };
    let verb = verb.to_ascii_lowercase();
    // `state` is an addition of lsnap: the sidecar for Percona's operator uses it.
    if !["put", "get", "delete", "state"].contains(&verb.as_str()) {
        cli::print(&usage());
        return Err(Failure(format!(
            "Unknown command {verb}. Supported commands are put, get and delete"
        )));
    }
    let Some(name) = words.next().transpose()? else {
        return Err(Failure("Backup name is required argument".to_owned()));
    };
    let files = words.collect::<Result<Vec<_>, _>>()?;
    if verb != "get"
        && let Some(file) = files.first()
    {
        return Err(Failure(format!(
            "unknown argument: '{file}'; {verb} takes a name only{}",
            if verb == "delete" {
                ": a backup without some of its files can't be restored"
            } else {
                ""
            }
        )));
    }
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let place = Place::of(&name, options, &env)?;
    let store = settings::store_options(&place, options, &env)?;
    match verb.as_str() {
        "put" => transfer::put(&place, &store, options),
        "get" => transfer::get(&place, &store, files, options),
        "state" => transfer::state(&place, &store),
        _ => transfer::delete(&place, &store, options),
    }
}

fn text(word: &OsStr) -> Result<String, Failure> {
    let text = word.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure("a name on the command line is not UTF-8".to_owned()))
}

/// Refuses unknown options, and names those without an effect. Options of Swift are refused with
/// their storage only: option files and environments keep them after a change of the storage.
fn check(options: &Parsed) -> Result<(), Failure> {
    for warning in &options.warnings {
        log::line(warning);
    }
    for unknown in &options.unknown {
        let dashes = if unknown.name.starts_with('-') {
            ""
        } else {
            "--"
        };
        let text = format!("unknown option '{dashes}{}'", unknown.name);
        if !unknown.loose {
            return Err(Failure(text));
        }
        log::line(&text);
    }
    for (spec, _) in options.given() {
        if let State::Accepted(reason) = spec.state {
            log::line(&format!("option '{spec}' has no effect: {reason}"));
        }
    }
    Ok(())
}

fn usage() -> String {
    format!(
        "lsnap as xbcloud: backups in object stores.\n\n\
         Usage:\n  xbcloud put [OPTIONS] NAME|URI            store the xbstream from standard input\n  \
         xbcloud get [OPTIONS] NAME|URI [FILES]    write the backup, or these files, to standard output\n  \
         xbcloud delete [OPTIONS] NAME|URI         delete the backup\n  \
         xbcloud state [OPTIONS] NAME|URI          print absent, unfinished or finished (not in the original)\n\n\
         A URI is s3://bucket/name, google://bucket/name or azure://container/name.\n\
         Option files are read first, the group [xbcloud]:\n\
         \x20 --print-defaults  --no-defaults  --defaults-file=FILE  --defaults-extra-file=FILE\n\
         \x20 --defaults-group-suffix=SUFFIX\n\n{}",
        options::usage(TABLE)
    )
}

/// Returns the arguments with the options that select option files first: callers of xbcloud give
/// them anywhere, and `-c FILE` for `--defaults-file=FILE`.
fn files_first(args: &[OsString]) -> Vec<OsString> {
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        let name: Vec<u8> = bytes
            .iter()
            .take_while(|byte| **byte != b'=')
            .map(|byte| if *byte == b'_' { b'-' } else { *byte })
            .collect();
        let with = |value: &[u8]| OsString::from_vec([b"--defaults-file=", value].concat());
        match (name.as_slice(), bytes.contains(&b'=')) {
            (b"--", _) => {
                rest.push(word.clone());
                rest.extend(words.cloned());
                break;
            }
            (b"-c" | b"--defaults-file", false) => match words.next() {
                Some(value) => first.push(with(value.as_bytes())),
                None => rest.push(word.clone()),
            },
            (b"--defaults-file" | b"--defaults-extra-file" | b"--defaults-group-suffix", true)
            | (b"--no-defaults" | b"--print-defaults" | b"--no-login-paths", false) => {
                first.push(word.clone());
            }
            _ => match bytes.strip_prefix(b"-c") {
                Some(value) => first.push(with(value)),
                None => rest.push(word.clone()),
            },
        }
    }
    first.extend(rest);
    first
}

/// Returns the number of objects that are transferred concurrently for a stream.
fn threads(options: &Parsed) -> usize {
    let number = options.number(Opt::Parallel);
    number.and_then(|n| usize::try_from(n).ok()).unwrap_or(1)
}
