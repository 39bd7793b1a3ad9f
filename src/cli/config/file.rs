//! The configuration file, as TOML.
//!
//! ```toml
//! cluster = "shop"
//!
//! [repository]               # the default of all commands
//! url = "s3://backups/mysql"
//! region = "eu-central-1"
//!
//! [repository.offsite]       # with `--repo offsite`
//! url = "gs://offsite/mysql"
//!
//! [backup]
//! compress = "zstd"
//!
//! [profile.weekly.backup]    # with `--profile weekly`: replaces the value above
//! compress = "zstd:9"
//! ```
//!
//! This module parses only the structure: tables of values. [`super::keys`] has the names of tables and keys.

use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest configuration file in bytes.
const MAX: u64 = 1 << 20;

/// A value, in the notation of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A string or a number.
    One(String),
    /// A list of strings or numbers.
    Many(Vec<String>),
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its table; empty without a table.
    pub section: String,
    /// `offsite` of `[repository.offsite]`.
    pub instance: Option<String>,
    /// The key in the table.
    pub key: String,
    /// The value.
    pub value: Value,
    /// Its profile, if it is in one.
    pub profile: Option<String>,
    /// The line, counted from 1.
    pub line: usize,
}

impl Setting {
    /// Returns the key with its tables: `repository.offsite.url`.
    pub(super) fn path(&self) -> String {
        let profile = self.profile.as_ref().map(|name| format!("profile.{name}"));
        let parts = [
            profile.as_deref(),
            Some(self.section.as_str()),
            self.instance.as_deref(),
            Some(self.key.as_str()),
        ];
        let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(".")
    }
}

/// A table of `[[schedule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule {
    /// The line of its begin.
    pub line: usize,
    /// Keys, values and lines, in the order of the file.
    pub settings: Vec<(String, Value, usize)>,
}

/// A configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct File {
    /// The path, for messages.
    pub path: PathBuf,
    /// In the order of the file.
    pub settings: Vec<Setting>,
    /// In the order of the file.
    pub schedules: Vec<Schedule>,
}

/// Reads a file. The text of an error names the file and the line.
pub(super) fn read(path: &Path) -> Result<File, String> {
    let wrong = |what: String| format!("{}: {what}", path.display());
    let text = read_text(path).map_err(|e| wrong(e.to_string()))?;
    let (settings, schedules) =
        parse_all(&text).map_err(|(line, what)| format!("{}:{line}: {what}", path.display()))?;
    let path = path.to_owned();
    Ok(File {
        path,
        settings,
        schedules,
    })
}

fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    // The file names programs that lsnap runs: hooks, mysqld.
    let found = file.metadata()?;
    let mode = found.permissions().mode();
    if found.is_file() && mode & 0o002 != 0 {
        return Err(std::io::Error::other(format!(
            "every user can write to the file (mode {:o}); run `chmod o-w` on it",
            mode & 0o7777
        )));
    }
    if file.take(MAX + 1).read_to_string(&mut text)? as u64 > MAX {
        return Err(std::io::Error::other(
            "the file is longer than 1MiB; expected a configuration of lsnap",
        ));
    }
    Ok(text)
}

type Wrong = (usize, String);

/// Parses a text, and returns its settings without the schedules.
#[cfg(test)]
pub(super) fn parse(text: &str) -> Result<Vec<Setting>, Wrong> {
    parse_all(text).map(|(settings, _)| settings)
}

/// Parses a text. An error has the line and the problem.
pub(super) fn parse_all(text: &str) -> Result<(Vec<Setting>, Vec<Schedule>), Wrong> {
    let at = |span: Option<Range<usize>>| {
        let end = span.map_or(0, |span| span.start).min(text.len());
        1 + text.as_bytes()[..end]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
    };
    let table = DeTable::parse(text).map_err(|e| (at(e.span()), e.message().to_owned()))?;
    let mut parser = Parser {
        line: &at,
        settings: Vec::new(),
        schedules: Vec::new(),
    };
    parser.root(table.get_ref(), None)?;
    // A map has another order.
    parser.settings.sort_by_key(|setting| setting.line);
    Ok((parser.settings, parser.schedules))
}

/// The name of the tables of schedules.
const SCHEDULE: &str = "schedule";

struct Parser<'a> {
    line: &'a dyn Fn(Option<Range<usize>>) -> usize,
    settings: Vec<Setting>,
    schedules: Vec<Schedule>,
}

impl Parser<'_> {
    fn root(&mut self, table: &DeTable<'_>, profile: Option<&str>) -> Result<(), Wrong> {
        for (name, value) in table {
            match value.get_ref() {
                DeValue::Table(profiles) if name.get_ref() == "profile" && profile.is_none() => {
                    for (name, value) in profiles {
                        let table = value.get_ref().as_table().ok_or_else(|| {
                            let what = "expected [profile.NAME] with the tables of that profile";
                            ((self.line)(Some(name.span())), what.to_owned())
                        })?;
                        self.root(table, Some(name.get_ref()))?;
                    }
                }
                _ if name.get_ref() == SCHEDULE => {
                    let wrong = |what: &str| ((self.line)(Some(name.span())), what.to_owned());
                    if profile.is_some() {
                        return Err(wrong(
                            "schedules are not part of a profile; write [[schedule]]",
                        ));
                    }
                    let expected = "write [[schedule]] with two brackets, once for each schedule";
                    let list = value.get_ref().as_array().ok_or_else(|| wrong(expected))?;
                    for one in list.iter() {
                        let table = one.get_ref().as_table().ok_or_else(|| wrong(expected))?;
                        self.schedule(table, one.span())?;
                    }
                }
                DeValue::Table(table) => self.section(name.get_ref(), None, table, profile)?,
                _ => self.setting("", None, name, value, profile)?,
            }
        }
        Ok(())
    }

    fn section(
        &mut self,
        section: &str,
        instance: Option<&str>,
        table: &DeTable<'_>,
        profile: Option<&str>,
    ) -> Result<(), Wrong> {
        for (name, value) in table {
            match value.get_ref() {
                DeValue::Table(table) if instance.is_none() => {
                    self.section(section, Some(name.get_ref()), table, profile)?;
                }
                _ => self.setting(section, instance, name, value, profile)?,
            }
        }
        Ok(())
    }

    fn schedule(&mut self, table: &DeTable<'_>, span: Range<usize>) -> Result<(), Wrong> {
        let mut settings = Vec::new();
        for (key, found) in table {
            let line = (self.line)(Some(key.span()));
            let wrong = || (line, format!("{SCHEDULE}.{}: {EXPECTED}", key.get_ref()));
            let value = value(found.get_ref()).ok_or_else(wrong)?;
            settings.push((key.get_ref().to_string(), value, line));
        }
        settings.sort_by_key(|(_, _, line)| *line);
        let line = (self.line)(Some(span));
        self.schedules.push(Schedule { line, settings });
        Ok(())
    }

    fn setting(
        &mut self,
        section: &str,
        instance: Option<&str>,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        profile: Option<&str>,
    ) -> Result<(), Wrong> {
        let line = (self.line)(Some(key.span()));
        let mut setting = Setting {
            section: section.to_owned(),
            instance: instance.map(str::to_owned),
            key: key.get_ref().to_string(),
            value: Value::Flag(false),
            profile: profile.map(str::to_owned),
            line,
        };
        let value = self::value(value.get_ref());
        setting.value = value.ok_or_else(|| (line, format!("{}: {EXPECTED}", setting.path())))?;
        self.settings.push(setting);
        Ok(())
    }
}

const EXPECTED: &str =
    "expected a string, a whole number, true, false, or a list of strings or numbers";

fn value(found: &DeValue<'_>) -> Option<Value> {
    match found {
        DeValue::Boolean(flag) => Some(Value::Flag(*flag)),
        DeValue::Array(list) => {
            let list = list.iter().map(|value| scalar(value.get_ref()));
            list.collect::<Option<Vec<_>>>().map(Value::Many)
        }
        value => scalar(value).map(Value::One),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Vec<(String, Value, usize)> {
        let settings = parse(text).unwrap().into_iter();
        settings.map(|s| (s.path(), s.value, s.line)).collect()
    }

    fn one(text: &str) -> Value {
        Value::One(text.to_owned())
    }

    #[test]
    fn tables_instances_and_profiles() {
        let text = "cluster = 'shop'\n[repository]\nurl = \"s3://b/p\"\npath-style = true\n\
            [repository.offsite]\nurl = 'gs://o'\n[backup]\nparallel = 8\n[restore]\nmysqld-arg = ['--a', '--b=1']\n\
            [profile.weekly]\ncluster = 'x'\n[profile.weekly.backup]\nparallel = 1_000\n\
            [profile.weekly.repository.offsite]\nregion = 'r'\n";
        assert_eq!(
            of(text),
            [
                ("cluster".into(), one("shop"), 1),
                ("repository.url".into(), one("s3://b/p"), 3),
                ("repository.path-style".into(), Value::Flag(true), 4),
                ("repository.offsite.url".into(), one("gs://o"), 6),
                ("backup.parallel".into(), one("8"), 8),
                (
                    "restore.mysqld-arg".into(),
                    Value::Many(vec!["--a".into(), "--b=1".into()]),
                    10
                ),
                ("profile.weekly.cluster".into(), one("x"), 12),
                ("profile.weekly.backup.parallel".into(), one("1000"), 14),
                (
                    "profile.weekly.repository.offsite.region".into(),
                    one("r"),
                    16
                ),
            ]
        );
    }

    #[test]
    fn errors_have_the_line() {
        for (text, line, what) in [
            ("a = 1\nb = \n", 2, "value"),
            (
                "[backup]\nparallel = 1.5\n",
                2,
                "backup.parallel: expected a string",
            ),
            (
                "[backup]\n\nwhen = 2026-11-30\n",
                3,
                "backup.when: expected",
            ),
            (
                "[backup]\nparallel = 0x10\n",
                2,
                "backup.parallel: expected",
            ),
            ("[repository.a.b]\nc = 1\n", 1, "repository.a.b: expected"),
            ("[profile]\nx = 1\n", 2, "[profile.NAME]"),
            ("a = 1\na = 2\n", 2, "duplicate"),
        ] {
            let (found, message) = parse(text).unwrap_err();
            assert!(
                found == line && message.contains(what),
                "{text:?}: {found}: {message}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]a-c.='\"{}, \n0-9]{0,60}") {
            let lines = text.split('\n').count();
            match parse(&text) {
                Ok(settings) => prop_assert!(settings.iter().all(|s| (1..=lines).contains(&s.line))),
                Err((line, what)) => prop_assert!((1..=lines).contains(&line) && !what.is_empty()),
            }
        }
    }
}
