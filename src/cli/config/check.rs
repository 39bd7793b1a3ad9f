//! `lsnap config check`: checks what the next backup and the next restore need.

use super::keys::{Key, keys};
use super::{Configuration, with_false};
use crate::cli::exit::Failure;
use crate::cli::exit_code::ExitCode;
use crate::cli::json::FailureKind;
use crate::cli::{Cli, Command, Context};
use crate::counted::count;
use crate::server::Identity;
use crate::store::{OpenFault, StoreError};
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use rustix::fs::{Access, access};
use serde::Serialize;
use std::ffi::OsString;
use std::path::Path;

/// The JSON document.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "ConfigCheckDocument"))]
pub(in crate::cli) struct Document<'a> {
    /// The checks.
    checks: &'a [Tried],
}

/// The result of one check.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "ConfigCheck"))]
pub(in crate::cli) struct Tried {
    /// The checked part: `server`, `repository`.
    what: &'static str,
    /// Whether it succeeded.
    ok: bool,
    /// What was found, or the error.
    found: String,
    #[serde(skip)]
    code: ExitCode,
    #[serde(skip)]
    kind: FailureKind,
}

impl Tried {
    fn of(what: &'static str, result: Result<String, Failure>) -> Self {
        match result {
            Ok(found) => Self {
                what,
                ok: true,
                found,
                code: ExitCode::Success,
                kind: ExitCode::Success.into(),
            },
            Err(failure) => {
                let (code, kind, found) = failure.into_parts();
                Self {
                    what,
                    ok: false,
                    found,
                    code,
                    kind,
                }
            }
        }
    }
}

pub(super) fn run(
    configuration: &Configuration,
    given: &[OsString],
    variable: &dyn Fn(&str) -> Option<String>,
    context: &Context,
) -> Result<(), Failure> {
    let mut tried = vec![Tried::of("configuration", values(configuration))];
    let call = |words: &[&str]| call(words, given, variable);
    let (server, identity) = match server(&call) {
        Ok((found, identity)) => (Ok(found), Some(identity)),
        Err(failure) => (Err(failure), None),
    };
    tried.push(Tried::of("server", server));
    tried.push(Tried::of("repository", repository(&call)));
    tried.push(Tried::of("key", key(&call)));
    if !configuration.written_schedules().is_empty() {
        tried.push(Tried::of("schedules", schedules(configuration, &call)));
    }
    if let Some(identity) = &identity {
        tried.push(Tried::of("redo applier", applier(&call, identity)));
    }
    context.print(&Document { checks: &tried }, |document| {
        document.checks.iter().map(line).collect()
    });
    let failed: Vec<&Tried> = tried.iter().filter(|one| !one.ok).collect();
    match failed.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let message = format!("{} failed", count(failed.len(), "check"));
            Err(Failure::with_code(first.code, message).of_kind(first.kind))
        }
    }
}

fn line(tried: &Tried) -> String {
    let sign = if tried.ok { "ok    " } else { "FAILED" };
    format!("{sign}  {}: {}\n", tried.what, tried.found)
}

/// Parses the arguments of a call, with the same file and profile.
fn call(
    words: &[&str],
    given: &[OsString],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, Failure> {
    let mut args: Vec<OsString> = words.iter().map(OsString::from).collect();
    args.extend_from_slice(given);
    let parsed = super::parsed(&args, variable).map_err(Failure::arguments)?;
    Ok(parsed.command)
}

/// Checks the schedules, and that the repository of each is configured.
fn schedules(configuration: &Configuration, call: &Calls<'_>) -> Result<String, Failure> {
    let schedules = configuration.schedules().map_err(Failure::arguments)?;
    for schedule in &schedules {
        let repository = schedule
            .repository
            .iter()
            .map(|name| format!("--repo={name}"));
        let words: Vec<String> = ["lsnap", "list"]
            .map(str::to_owned)
            .into_iter()
            .chain(repository)
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        call(&words).map_err(|failure| {
            let name = &schedule.name;
            Failure::arguments(format!("schedule {name}: {}", failure.into_message()))
        })?;
    }
    Ok(count(schedules.len(), "schedule").to_string())
}

type Calls<'a> = dyn Fn(&[&str]) -> Result<Command, Failure> + 'a;

/// Checks that every value of the file is valid for its option, in all profiles.
fn values(configuration: &Configuration) -> Result<String, Failure> {
    let Some(file) = &configuration.file else {
        return Ok("no file: only options, the environment and defaults are used".to_owned());
    };
    let program = with_false(Cli::command());
    let keys = keys(&program);
    for setting in &file.settings {
        let key = keys
            .iter()
            .find(|key| key.section == setting.section && key.name == setting.key);
        let Some(command) = key.and_then(|key| key.commands.first()) else {
            continue;
        };
        let args = std::iter::once("lsnap")
            .chain(command.split_whitespace())
            .map(OsString::from);
        let args: Vec<_> = args
            .chain(key.into_iter().flat_map(|key| key.typed(&setting.value)))
            .collect();
        if let Err(error) = program.clone().try_get_matches_from(args)
            && !matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            )
        {
            return Err(Failure::arguments(format!(
                "{}:{}: {}: {}",
                file.path.display(),
                setting.line,
                setting.path(),
                crate::cli::refused::message(&error)
            )));
        }
    }
    Ok(format!(
        "{}: {}",
        file.path.display(),
        count(file.settings.len(), "key")
    ))
}

fn server(call: &Calls<'_>) -> Result<(String, Identity), Failure> {
    // The repository is checked separately.
    let Command::Backup(args) = call(&["lsnap", "backup", "--repo", "file:///"])? else {
        return Err(Failure::internal(
            "the call of a backup is another one".to_owned(),
        ));
    };
    let identity = crate::backup::check_server(&args.options()?)?;
    let found = format!(
        "{} {} on {}: this account can back it up",
        identity.flavor, identity.version_string, identity.hostname
    );
    Ok((found, identity))
}

fn repository(call: &Calls<'_>) -> Result<String, Failure> {
    // A name that can't be resolved is retried for ten minutes by a backup; a person waits for this answer.
    let Command::List(args) = call(&["lsnap", "list", "--retry-deadline", "15"])? else {
        return Err(Failure::internal(
            "the call of a list is another one".to_owned(),
        ));
    };
    let (url, repository) = args.opened()?;
    match repository.list() {
        Ok(listed) => Ok(format!(
            "{url}: {} (write access was not checked)",
            count(listed.len(), "backup")
        )),
        // a directory that doesn't exist
        Err(error @ StoreError::Open(OpenFault::NoRepository { .. })) => {
            let Some(directory) = repository.directory() else {
                return Err(error.into());
            };
            may_be_created(directory)?;
            Ok(format!(
                "{url}: it does not exist, the first backup creates it"
            ))
        }
        Err(error) => Err(error.into()),
    }
}

/// Checks that a directory can be created.
fn may_be_created(directory: &Path) -> Result<(), Failure> {
    let existing = directory.ancestors().find(|path| path.exists());
    let existing = existing.unwrap_or(Path::new("/"));
    let wrong = |what: &str| {
        Failure::with_code(
            ExitCode::Denied,
            format!(
                "{}: the first backup can't create it, because {} {what}",
                directory.display(),
                existing.display()
            ),
        )
    };
    if !existing.is_dir() {
        return Err(wrong("is not a directory"));
    }
    access(existing, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|_| wrong("is not writable for this account"))
}

fn key(call: &Calls<'_>) -> Result<String, Failure> {
    let Command::Restore(args) =
        call(&["lsnap", "restore", "--repo", "file:///", "--datadir", "/"])?
    else {
        return Err(Failure::internal(
            "the call of a restore is another one".to_owned(),
        ));
    };
    Ok(match args.opening.key()? {
        Some(key) => format!("a key for {}", key.cipher()),
        None => "none: backups are not encrypted".to_owned(),
    })
}

fn applier(call: &Calls<'_>, identity: &Identity) -> Result<String, Failure> {
    let Command::Restore(args) =
        call(&["lsnap", "restore", "--repo", "file:///", "--datadir", "/"])?
    else {
        return Err(Failure::internal(
            "the call of a restore is another one".to_owned(),
        ));
    };
    let (flavor, version) = (identity.flavor.to_string(), &identity.version_string);
    let plan = crate::restore::applier_of(&flavor, version, &args.options()?)?;
    Ok(plan.to_string())
}

impl Key {
    /// Returns the arguments that set a value.
    fn typed(&self, value: &super::Value) -> Vec<OsString> {
        super::apply::typed(self, value)
    }
}
