//! `lsnap config show`: prints every key with its value and origin, in the format of the file.

use super::file::Value;
use super::keys::{Key, keys};
use super::origin::Origin;
use super::{Configuration, File};
use crate::cli::exit::Failure;
use crate::cli::hooks::without_path;
use crate::cli::{Cli, Context, headers, output};
use clap::CommandFactory as _;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A key of the configuration.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "ConfigKey"))]
pub(in crate::cli) struct Row {
    /// The table and the name: `backup.parallel`.
    pub(super) key: String,
    /// In the notation of the option; null if it is not set.
    value: Option<Vec<String>>,
    /// The origin of the value: the environment, the file with a line, or the default.
    origin: String,
    /// The option.
    pub(super) option: String,
    /// The environment variable.
    pub(super) variable: String,
    #[serde(skip)]
    text: Option<String>,
}

/// The JSON document.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "ConfigShowDocument"))]
pub(in crate::cli) struct Document<'a> {
    /// Every key.
    keys: &'a [Row],
    /// The schedules of the agent: the keys that are set, in the notation of an option.
    schedules: Vec<BTreeMap<&'a str, Vec<String>>>,
}

pub(super) fn run(
    configuration: &Configuration,
    variable: &dyn Fn(&str) -> Option<String>,
    context: &Context,
) -> Result<(), Failure> {
    let rows = rows(configuration, variable);
    if context.json {
        let schedules = configuration.written_schedules().iter();
        let schedules = schedules.map(|schedule| {
            let settings = schedule.settings.iter();
            settings
                .map(|(key, value, _)| (key.as_str(), words(&without_secrets(value))))
                .collect()
        });
        output::json(&Document {
            keys: &rows,
            schedules: schedules.collect(),
        });
    } else {
        output::out(&text(configuration, &rows));
    }
    Ok(())
}

pub(super) fn rows(
    configuration: &Configuration,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Vec<Row> {
    let keys = keys(&Cli::command());
    let mut rows: Vec<Row> = keys
        .iter()
        .map(|key| row(configuration, key, None, variable))
        .collect();
    let names: Vec<String> = configuration
        .repositories()
        .into_iter()
        .filter_map(|(name, _)| name)
        .collect();
    let of_repository = keys.iter().filter(|key| key.section == "repository");
    let url = Key::url();
    for key in std::iter::once(&url).chain(of_repository) {
        if key.name == url.name {
            rows.push(row(configuration, key, None, variable));
        }
        for name in &names {
            let row = row(configuration, key, Some(name), &|_| None);
            rows.extend((row.origin != Origin::Default.to_string()).then_some(row));
        }
    }
    rows.sort_by(|a, b| table(&a.key).cmp(&table(&b.key)));
    rows
}

/// Returns the table and the name of a key. Keys without a table sort first.
fn table(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

fn row(
    configuration: &Configuration,
    key: &Key,
    instance: Option<&str>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Row {
    let from_environment = key
        .in_environment(variable)
        .filter(|_| !configuration.is_unset(key));
    let found = from_environment.map(|(value, name)| (value, Origin::Environment(name)));
    let found = found.or_else(|| {
        let setting = configuration.find(&key.section, &key.name, instance)?;
        Some((setting.value.clone(), configuration.place(setting)))
    });
    let path = match instance {
        Some(name) => format!("{}.{name}.{}", key.section, key.name),
        None => key.path(),
    };
    let (value, origin) = found.unzip();
    let value = value.map(|value| shown(key, value));
    let (text, value) = match &value {
        Some(value) => (Some(literal(value)), Some(words(value))),
        None => (
            key.default.clone(),
            key.default.clone().map(|text| vec![text]),
        ),
    };
    Row {
        key: path,
        value,
        origin: origin.unwrap_or(Origin::Default).to_string(),
        option: format!("--{}", key.option),
        variable: key.variable(),
        text,
    }
}

/// Returns a value without what can be secret: the values of headers, and the paths of URLs of hooks.
fn shown(key: &Key, value: Value) -> Value {
    // The path of a URL can be a secret.
    let hide = match (key.section.as_str(), key.name.as_str()) {
        ("hooks", _) => without_path,
        (_, "header") => headers::masked,
        _ => return value,
    };
    match value {
        Value::Flag(flag) => Value::Flag(flag),
        Value::One(text) => Value::One(hide(&text)),
        Value::Many(all) => Value::Many(all.iter().map(|text| hide(text)).collect()),
    }
}

/// Returns a value of a schedule, without arguments that are refused, because they can be secret.
fn without_secrets(value: &Value) -> Value {
    let is_secret = |text: &String| super::schedules::is_refused(text);
    match value {
        Value::One(text) if is_secret(text) => Value::One("***".to_owned()),
        Value::Many(all) if all.iter().any(is_secret) => Value::Many(vec!["***".to_owned()]),
        value => value.clone(),
    }
}

fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Flag(flag) => vec![flag.to_string()],
        Value::One(text) => vec![text.clone()],
        Value::Many(list) => list.clone(),
    }
}

/// Formats the value as TOML.
fn literal(value: &Value) -> String {
    // A TOML string without control characters is a JSON string.
    let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
    match value {
        Value::Flag(flag) => flag.to_string(),
        Value::One(text) if text.parse::<i64>().is_ok() => text.clone(),
        Value::One(text) => quoted(text),
        Value::Many(list) => format!(
            "[{}]",
            list.iter().map(quoted).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn text(configuration: &Configuration, rows: &[Row]) -> String {
    let mut out = match &configuration.file {
        Some(File { path, .. }) => format!("# from {}\n", path.display()),
        None => "# no configuration file\n".to_owned(),
    };
    let mut last = "";
    for row in rows {
        let (section, name) = table(&row.key);
        if section != last {
            let _ = writeln!(out, "\n[{section}]");
            last = section;
        }
        let _ = match (&row.text, row.origin == Origin::Default.to_string()) {
            (Some(text), false) => writeln!(out, "{name} = {text}  # {}", row.origin),
            (Some(text), true) => writeln!(out, "# {name}: {text} (default)"),
            (None, _) => writeln!(out, "# {name}: not set"),
        };
    }
    for schedule in configuration.written_schedules() {
        out += "\n[[schedule]]\n";
        for (key, value, line) in &schedule.settings {
            let origin = configuration.line(*line);
            let _ = writeln!(
                out,
                "{key} = {}  # {origin}",
                literal(&without_secrets(value))
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::file;

    #[test]
    fn values_of_headers_are_not_shown() {
        let text_of_file = "[repository]\nurl = 's3://b'\nheader = ['X-A: s3cret', 's3cret']\n\
            [repository.o]\nurl = 's3://o'\nheader = 'X-B: s3cret'\n";
        let configuration = Configuration {
            file: Some(File {
                path: "/etc/x.toml".into(),
                settings: file::parse(text_of_file).unwrap(),
                schedules: Vec::new(),
            }),
            ..Configuration::default()
        };
        for variable in [None, Some("X-C: s3cret")] {
            let variable = |name: &str| {
                variable
                    .filter(|_| name == "LSNAP_REPOSITORY_HEADER")
                    .map(str::to_owned)
            };
            let rows = rows(&configuration, &variable);
            let shown = text(&configuration, &rows) + &serde_json::to_string(&rows).unwrap();
            assert!(!shown.contains("s3cret"), "{shown}");
            assert!(shown.contains("X-B: ***"), "{shown}");
        }
    }

    #[test]
    fn the_paths_of_the_urls_of_hooks_are_not_shown() {
        let text_of_file = "[hooks]\nsuccess = ['https://h/s3cret', 'cmd']\nfailure = '@/etc/f'\n";
        let configuration = Configuration {
            file: Some(File {
                path: "/etc/x.toml".into(),
                settings: file::parse(text_of_file).unwrap(),
                schedules: Vec::new(),
            }),
            ..Configuration::default()
        };
        let variable =
            |name: &str| (name == "LSNAP_HOOKS_START").then(|| "http://h/s3cret".to_owned());
        let rows = rows(&configuration, &variable);
        let shown = text(&configuration, &rows) + &serde_json::to_string(&rows).unwrap();
        assert!(!shown.contains("s3cret"), "{shown}");
        for words in ["https://h/...", "http://h/...", "cmd", "@/etc/f"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
    }

    #[test]
    fn the_output_is_a_file_with_the_same_values() {
        let text_of_file = "cluster = 'a \"b\"'\n[repository]\nurl = 's3://b/p'\n[repository.o]\nurl = 'gs://o'\n\
            [restore]\nmysqld-arg = ['--a=b', '--c']\n[backup]\nparallel = 3\n";
        let text_of_file = text_of_file.to_owned()
            + "[[schedule]]\nname = 'n'\narguments = ['--a=\"b\"']\nkeep = 3\n[[schedule]]\nname = 'm'\n";
        let (settings, schedules) = file::parse_all(&text_of_file).unwrap();
        let path = "/etc/x.toml".into();
        let configuration = Configuration {
            file: Some(File {
                path,
                settings,
                schedules,
            }),
            ..Configuration::default()
        };
        let variable = |name: &str| (name == "LSNAP_BACKUP_MEMORY").then(|| "1GiB".to_owned());
        let shown = text(&configuration, &rows(&configuration, &variable));
        for line in [
            "# from /etc/x.toml",
            "memory = \"1GiB\"  # environment (LSNAP_BACKUP_MEMORY)",
            "parallel = 3  # /etc/x.toml:9",
            "[repository.o]",
            "# timeout: 120 (default)",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
        let (mut again, schedules) = file::parse_all(&shown).unwrap();
        let values = |schedules: &[file::Schedule]| {
            let values = |schedule: &file::Schedule| {
                let settings = schedule.settings.iter();
                settings
                    .map(|(key, value, _)| (key.clone(), value.clone()))
                    .collect::<Vec<_>>()
            };
            schedules.iter().map(values).collect::<Vec<_>>()
        };
        assert_eq!(
            values(&schedules),
            values(configuration.written_schedules())
        );
        assert_eq!(schedules.len(), 2);
        assert_eq!(again.len(), 6, "{shown}");
        again.retain(|setting| setting.key != "memory");
        let without_lines = |settings: &[file::Setting]| {
            let mut all: Vec<_> = settings
                .iter()
                .map(|s| (s.path(), s.value.clone()))
                .collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        };
        let before = configuration.file.unwrap().settings;
        assert_eq!(without_lines(&again), without_lines(&before));
    }
}
