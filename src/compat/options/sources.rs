//! The sources of options: option files, the login file, the command line, in this order; the last
//! value of an option counts.
//!
//! Some options select the files. They must stand before all others, except `--login-path` and
//! `--defaults-group`, which callers put anywhere.

use super::{OptionError, Origin, Parsed, Spec, login_file, parse};
use crate::server::{Entry, FileChoice, OptionFiles};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The groups of option files that a program reads.
#[derive(Debug, Clone, Copy)]
pub(in crate::compat) struct Groups {
    /// Options of both sides; unknown ones are reported.
    pub(in crate::compat) own: &'static [&'static str],
    /// Options of the client side.
    pub(in crate::compat) client: &'static [&'static str],
    /// Options of the server side.
    pub(in crate::compat) server: &'static [&'static str],
}

/// The options that select sources.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::compat) struct Sources {
    files: FileChoice,
    login_path: Option<String>,
    no_login_paths: bool,
    server_group: Option<String>,
    /// `--print-defaults`: print the options of the files, and end.
    pub(in crate::compat) print_defaults: bool,
}

/// The options of a call.
pub(in crate::compat) struct Read {
    /// All options, with the command line.
    pub(in crate::compat) parsed: Parsed,
    /// The options that select sources.
    pub(in crate::compat) sources: Sources,
    /// The options of the files as arguments, with secrets blanked: for `--print-defaults`.
    pub(in crate::compat) from_files: Vec<String>,
}

/// Reads all sources. `args` are the arguments after the program's name; `home` is the user's home
/// directory.
///
/// # Errors
/// See [`OptionError`].
pub(in crate::compat) fn read(
    table: &'static [Spec],
    groups: &Groups,
    args: &[OsString],
    home: Option<&Path>,
) -> Result<Read, OptionError> {
    let (sources, rest) = Sources::take(args)?;
    let mut parsed = Parsed::new(table);
    let mut from_files = Vec::new();
    let entries = sources.entries(groups, home, &mut parsed.warnings)?;
    for entry in entries {
        let origin = origin(&entry.group, groups, &sources);
        from_files.push(as_argument(table, &entry));
        parse::file_entry(&mut parsed, &entry.name, entry.value.as_deref(), origin)?;
    }
    parse::command_line(&mut parsed, &rest)?;
    Ok(Read {
        parsed,
        sources,
        from_files,
    })
}

fn origin(group: &str, groups: &Groups, sources: &Sources) -> Origin {
    let suffix = sources.files.group_suffix.as_deref().unwrap_or_default();
    let plain = group.strip_suffix(suffix).unwrap_or(group);
    let is_in = |names: &[&str]| names.contains(&group) || names.contains(&plain);
    if is_in(groups.own) {
        Origin::OwnGroup(group.to_owned())
    } else if is_in(groups.server) || sources.server_group.as_deref() == Some(group) {
        Origin::ServerGroup(group.to_owned())
    } else {
        Origin::ClientGroup(group.to_owned())
    }
}

fn as_argument(table: &[Spec], entry: &Entry) -> String {
    let is_secret = table.iter().any(|spec| {
        spec.kind == super::Kind::Secret
            && !entry.name.is_empty()
            && spec.name.starts_with(&*entry.name)
    });
    // An option that isn't known may be a secret of another program.
    let looks_secret = ["password", "key", "secret", "token"]
        .iter()
        .any(|word| entry.name.contains(word));
    match &entry.value {
        None => format!("--{}", entry.name),
        Some(_) if is_secret || looks_secret => format!("--{}=*****", entry.name),
        Some(value) => format!("--{}={value}", entry.name),
    }
}

impl Sources {
    /// Takes the options that select sources out of the arguments.
    fn take(args: &[OsString]) -> Result<(Self, Vec<OsString>), OptionError> {
        let mut sources = Self::default();
        let leading = args.iter().take_while(|word| sources.leading(word)).count();
        let mut rest = Vec::new();
        let mut words = args[leading..].iter();
        let mut ended = false;
        while let Some(word) = words.next() {
            ended |= word == "--";
            let (name, value) = name_of(word);
            match name.as_str() {
                _ if ended => rest.push(word.clone()),
                "login-path" | "defaults-group" => {
                    let value = value.or_else(|| words.next().cloned());
                    sources.anywhere(&name, value)?;
                }
                "defaults-file" => return Err(not_first("defaults-file")),
                "defaults-extra-file" => return Err(not_first("defaults-extra-file")),
                "defaults-group-suffix" => return Err(not_first("defaults-group-suffix")),
                "no-defaults" => return Err(not_first("no-defaults")),
                "print-defaults" => return Err(not_first("print-defaults")),
                _ => rest.push(word.clone()),
            }
        }
        Ok((sources, rest))
    }

    /// Takes an option that must stand first. Returns whether it is one.
    fn leading(&mut self, word: &OsStr) -> bool {
        let (name, value) = name_of(word);
        match (name.as_str(), value) {
            ("no-defaults", None) => self.files.no_defaults = true,
            ("no-login-paths", None) => self.no_login_paths = true,
            ("print-defaults", None) => self.print_defaults = true,
            ("defaults-file", Some(file)) => self.files.defaults_file = Some(PathBuf::from(file)),
            ("defaults-extra-file", Some(file)) => {
                self.files.defaults_extra_file = Some(PathBuf::from(file));
            }
            ("defaults-group-suffix", Some(suffix)) => {
                self.files.group_suffix = Some(suffix.to_string_lossy().into_owned());
            }
            ("login-path", Some(path)) => {
                self.login_path = Some(path.to_string_lossy().into_owned());
            }
            _ => return false,
        }
        true
    }

    fn anywhere(&mut self, name: &str, value: Option<OsString>) -> Result<(), OptionError> {
        let option = if name == "login-path" {
            "login-path"
        } else {
            "defaults-group"
        };
        let value = value.ok_or(OptionError::NeedsValue { option })?;
        let value = value
            .into_string()
            .map_err(|_| OptionError::NotUtf8 { option })?;
        if option == "login-path" {
            self.login_path = Some(value);
        } else {
            self.server_group = Some(value);
        }
        Ok(())
    }

    /// Reads the options of all files, in their order.
    fn entries(
        &self,
        groups: &Groups,
        home: Option<&Path>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Entry>, OptionError> {
        let mut names: Vec<&str> = [groups.own, groups.client, groups.server].concat();
        names.extend(self.server_group.as_deref());
        let read = OptionFiles::read_groups(&self.files, &names, home)?;
        warnings.extend(read.warnings);
        let mut entries = read.entries;
        if self.no_login_paths {
            return Ok(entries);
        }
        let file = std::env::var_os("MYSQL_TEST_LOGIN_FILE").map(PathBuf::from);
        let Some(file) = file.or_else(|| Some(home?.join(".mylogin.cnf"))) else {
            return Ok(entries);
        };
        if let Some(text) = login_file::read(&file, warnings)? {
            names.extend(self.login_path.as_deref());
            entries.extend(OptionFiles::parse_groups(&text, &names)?.entries);
        }
        Ok(entries)
    }
}

fn not_first(option: &'static str) -> OptionError {
    OptionError::NotFirst { option }
}

/// Returns the name of a word `--name` or `--name=value`, with `-` for `_`, and its value.
fn name_of(word: &OsStr) -> (String, Option<OsString>) {
    let Some(long) = word.as_bytes().strip_prefix(b"--") else {
        return (String::new(), None);
    };
    let (name, value) = match long.iter().position(|byte| *byte == b'=') {
        Some(at) => (
            &long[..at],
            Some(OsStr::from_bytes(&long[at + 1..]).to_owned()),
        ),
        None => (long, None),
    };
    (String::from_utf8_lossy(name).replace('_', "-"), value)
}
