//! The configuration: a file, profiles in it, and the environment.

mod apply;
mod check;
mod environment;
mod file;
mod keys;
mod origin;
mod repository;
mod schedules;
mod show;
mod unset;

pub(super) use apply::{Added, apply, with_false};
pub(super) use environment::{check_variables, environment};
pub(super) use keys::{Key, Shape, keys};
pub(super) use origin::Origin;
#[cfg(test)]
pub(super) use {check::Document as CheckedDocument, show::Document as KeysDocument};

use super::exit::Failure;
use super::{Cli, Context};
use clap::{Command, CommandFactory as _, FromArgMatches as _};
use file::{File, Setting, Value};
use std::ffi::OsString;
use std::path::PathBuf;

/// The system's configuration file.
pub(super) const SYSTEM_FILE: &str = "/etc/lsnap/lsnap.toml";

/// Arguments of `lsnap config`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Args {
    /// Print every key with its value and origin, in the format of the file.
    Show,
    /// Check what the next backup and restore need: the server and the account's privileges, the
    /// repository, the key, a program for the redo log. Nothing is written.
    Check,
}

/// Runs `lsnap config` with the file and the profile that were given.
pub(super) fn run(
    args: &Args,
    (path, profile, unset): (Option<String>, Option<String>, Vec<String>),
    context: &Context,
) -> Result<(), Failure> {
    let given = [("--config", &path), ("--profile", &profile)];
    let given = given
        .iter()
        .filter_map(|(option, value)| Some((option, value.as_ref()?)));
    let given = given.map(|(option, value)| format!("{option}={value}").into());
    let given: Vec<OsString> = given
        .chain(unset.iter().map(|key| format!("--unset={key}").into()))
        .collect();
    let variable = environment().map_err(Failure::arguments)?;
    let program = with_false(Cli::command());
    let configuration = Configuration::load(&program, path, profile, &variable);
    let mut configuration = configuration.map_err(Failure::arguments)?;
    configuration.unset =
        unset::keys(&program, unset.iter().map(String::as_str)).map_err(Failure::arguments)?;
    match args {
        Args::Show => show::run(&configuration, &variable, context),
        Args::Check => check::run(&configuration, &given, &variable, context),
    }
}

/// Parses the arguments of a call, completed by the environment and the file.
///
/// # Errors
/// The message of a wrong argument or value.
pub(super) fn parsed(
    args: &[OsString],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Cli, String> {
    let mut program = with_false(Cli::command());
    let applied = apply(&program, args, variable)?;
    let matches = program.try_get_matches_from_mut(&applied.args);
    let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| super::refused::message(&error))
}

/// A configuration file, with the selected profile.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    file: Option<File>,
    profile: Option<String>,
    /// The paths of the keys that `--unset` names: the values of the environment and the file are ignored.
    unset: Vec<String>,
}

impl Configuration {
    /// Reads `path`, or the default file if it exists, and refuses unknown keys.
    pub(super) fn load(
        program: &Command,
        path: Option<String>,
        profile: Option<String>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let given = |name: &str| variable(name).filter(|text| !text.is_empty());
        let profile = profile.or_else(|| given("LSNAP_PROFILE"));
        let path = path.or_else(|| given("LSNAP_CONFIG")).map(PathBuf::from);
        let path = path.or_else(|| default_path(&given));
        let file = path.as_deref().map(file::read).transpose()?;
        if let Some(file) = &file {
            check(file, &keys(program))?;
            schedules::check(&file.path, &file.schedules)?;
        }
        let this = Self {
            file,
            profile,
            unset: Vec::new(),
        };
        this.check_profile()?;
        Ok(this)
    }

    fn check_profile(&self) -> Result<(), String> {
        let Some(wanted) = self.profile.as_deref() else {
            return Ok(());
        };
        let Some(file) = &self.file else {
            return Err(format!(
                "profile {wanted}: there is no configuration file; expected {SYSTEM_FILE}, \
                 ~/.config/lsnap/lsnap.toml or --config FILE (a profile of AWS is named by --aws-profile)"
            ));
        };
        let profiles = file.settings.iter().filter_map(|s| s.profile.as_deref());
        let mut profiles: Vec<&str> = profiles.collect();
        profiles.dedup();
        if profiles.contains(&wanted) {
            return Ok(());
        }
        let hint = nearest(wanted, profiles.iter().copied());
        Err(format!(
            "{}: there is no [profile.{wanted}]{hint}",
            file.path.display()
        ))
    }

    /// Returns the path of the file that was read.
    pub(super) fn path(&self) -> Option<&std::path::Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// Returns the value of a key in the file, if it is one string.
    pub(super) fn text(&self, section: &str, key: &str) -> Option<&str> {
        match &self.find(section, key, None)?.value {
            Value::One(text) => Some(text),
            _ => None,
        }
    }

    /// Returns whether the file has a key of this table.
    pub(super) fn has_section(&self, section: &str) -> bool {
        let settings = self.file.iter().flat_map(|file| &file.settings);
        settings
            .into_iter()
            .any(|setting| setting.section == section)
    }

    /// Returns the names of `[repository.NAME]`, with their URLs.
    pub(super) fn named_repositories(&self) -> Vec<(String, String)> {
        let all = self.repositories().into_iter();
        all.filter_map(|(name, url)| Some((name?, url.to_owned())))
            .collect()
    }

    /// Returns whether `--unset` names the key.
    fn is_unset(&self, key: &Key) -> bool {
        self.unset.contains(&key.path())
    }

    fn find(&self, section: &str, key: &str, instance: Option<&str>) -> Option<&Setting> {
        let path = |name: &String| name.split_once('.').unwrap_or(("", name)) == (section, key);
        if self.unset.iter().any(path) {
            return None;
        }
        let settings = &self.file.as_ref()?.settings;
        let of = |profile: Option<&str>| {
            settings.iter().find(|s| {
                s.section == section
                    && s.key == key
                    && s.instance.as_deref() == instance
                    && s.profile.as_deref() == profile
            })
        };
        let profile = self.profile.as_deref();
        profile.and_then(|name| of(Some(name))).or_else(|| of(None))
    }

    fn place(&self, setting: &Setting) -> Origin {
        self.line(setting.line)
    }

    /// Returns the place of a line of the file.
    fn line(&self, line: usize) -> Origin {
        let path = self
            .path()
            .unwrap_or_else(|| std::path::Path::new("the configuration"));
        Origin::File(format!("{}:{line}", path.display()))
    }

    /// Returns the configured repositories with their URLs; `None` is `[repository]`.
    fn repositories(&self) -> Vec<(repository::Instance, &str)> {
        let settings = self.file.iter().flat_map(|file| &file.settings);
        let urls = settings.filter(|s| s.section == "repository" && s.key == "url");
        let mut names: Vec<_> = urls.map(|s| s.instance.clone()).collect();
        names.sort();
        names.dedup();
        let url =
            |name: &Option<String>| match &self.find("repository", "url", name.as_deref())?.value {
                Value::One(url) => Some(url.as_str()),
                _ => None,
            };
        names
            .into_iter()
            .filter_map(|name| url(&name).map(|url| (name.clone(), url)))
            .collect()
    }
}

/// Returns the system's file, else the user's, if it exists.
fn default_path(given: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let home = || given("HOME").map(|home| PathBuf::from(home).join(".config"));
    let user = given("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
    let user = user.map(|dir| dir.join("lsnap/lsnap.toml"));
    // If this can't be determined, the file is read, which reports the error.
    let may_exist = |path: &PathBuf| !matches!(path.try_exists(), Ok(false));
    [Some(PathBuf::from(SYSTEM_FILE)), user]
        .into_iter()
        .flatten()
        .find(may_exist)
}

/// Words in the names of keys for secrets.
const SECRETS: &[&str] = &["password", "secret", "token", "access-key", "passphrase"];

fn check(file: &File, keys: &[Key]) -> Result<(), String> {
    let known = |s: &Setting| {
        keys.iter()
            .find(|key| key.section == s.section && key.name == s.key)
    };
    for setting in &file.settings {
        let place = format!("{}:{}", file.path.display(), setting.line);
        let is_url = setting.section == "repository" && setting.key == "url";
        let shape = match known(setting) {
            _ if is_url => Shape::One,
            Some(key) if setting.instance.is_none() || setting.section == "repository" => key.shape,
            _ => return Err(format!("{place}: {}", unknown(setting, keys))),
        };
        let fits = match (&setting.value, shape) {
            (Value::Flag(_), Shape::Flag) | (Value::Many(_), Shape::Many) => true,
            (Value::One(_), shape) => shape != Shape::Flag,
            _ => false,
        };
        if !fits {
            let expected = match shape {
                Shape::Flag => "true or false",
                Shape::One => "a string or a number",
                Shape::Many => "a string or a list of strings",
                Shape::Count => "a number",
            };
            return Err(format!("{place}: {}: expected {expected}", setting.path()));
        }
    }
    Ok(())
}

fn unknown(setting: &Setting, keys: &[Key]) -> String {
    let path = setting.path();
    if SECRETS.iter().any(|word| setting.key.contains(word)) {
        return format!(
            "{path}: secrets are not allowed in this file; use server.password-file, encryption.key-file, or the \
             credentials file of the cloud"
        );
    }
    let wanted = match setting.section.as_str() {
        "" => setting.key.clone(),
        section => format!("{section}.{}", setting.key),
    };
    let known: Vec<String> = keys
        .iter()
        .map(Key::path)
        .chain(["repository.url".to_owned()])
        .collect();
    format!(
        "{path}: there is no such key{}",
        nearest(&wanted, known.iter().map(String::as_str))
    )
}

/// Returns `; did you mean ...?`, if a known name is similar.
fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|name| (strsim::jaro_winkler(wanted, name), name));
    let near = near.filter(|(likeness, _)| *likeness > 0.8);
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod commands_page;
#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
