//! Completes the arguments of a call by the environment and the file.
//!
//! Values from the environment or the file are appended to the arguments as options, so that every value is
//! parsed and checked by the same code. A typed option is unchanged.

use super::file::{Setting, Value};
use super::keys::{self, Key, Shape, WHOLE};
use super::origin::Origin;
use super::{Configuration, repository, unset};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The appended arguments: for each option (without dashes), the key and the origin of its value.
pub(crate) type Added = BTreeMap<String, (String, Origin)>;

/// The complete arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub args: Vec<OsString>,
    pub added: Added,
}

/// Lets flags be set to false (`--path-style=false`), so that an option can override a file.
pub(crate) fn with_false(program: Command) -> Command {
    fn flags(path: &[String], command: Command) -> Command {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let command = command.mut_args(|arg| {
            if matches!(arg.get_action(), ArgAction::SetTrue) && keys::place(&names, &arg).is_some()
            {
                arg.action(ArgAction::Set)
                    .num_args(0..=1)
                    .require_equals(true)
                    .value_parser(clap::value_parser!(bool))
                    .default_value("false")
                    .default_missing_value("true")
            } else {
                arg
            }
        });
        command.mut_subcommands(|sub| {
            let path = [path, &[sub.get_name().to_owned()]].concat();
            flags(&path, sub)
        })
    }
    flags(&[], program)
}

/// Returns the path of a call's command, the command and its arguments.
fn leaf<'a>(
    program: &'a Command,
    matches: &'a ArgMatches,
) -> (Vec<&'a str>, &'a Command, &'a ArgMatches) {
    let (mut path, mut command, mut matches) = (Vec::new(), program, matches);
    while let Some((name, inner)) = matches.subcommand() {
        let Some(sub) = command.find_subcommand(name) else {
            break;
        };
        path.push(name);
        (command, matches) = (sub, inner);
    }
    (path, command, matches)
}

fn option<'a>(program: &'a Command, command: &'a Command, long: &str) -> Option<&'a Arg> {
    let has = |arg: &&Arg| arg.get_long() == Some(long);
    command.get_arguments().find(has).or_else(|| {
        program
            .get_arguments()
            .find(|arg| arg.is_global_set() && has(arg))
    })
}

fn is_typed(matches: &ArgMatches, arg: &Arg) -> bool {
    matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
}

/// Completes `args`; `variable` returns the environment. Wrong arguments and a request for help are returned
/// unchanged: the next parser reports them.
pub(crate) fn apply(
    program: &Command,
    args: &[OsString],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Applied, String> {
    let as_typed = || Applied {
        args: args.to_vec(),
        added: Added::new(),
    };
    // The file can have a value that a typed option requires.
    let wrong = program.clone().try_get_matches_from(args).err();
    if wrong.is_some_and(|e| e.kind() != ErrorKind::MissingRequiredArgument) {
        return Ok(as_typed());
    }
    let mut lenient = program.clone().ignore_errors(true);
    lenient.build();
    let Ok(matches) = lenient.try_get_matches_from_mut(args) else {
        return Ok(as_typed());
    };
    let (path, command, matches) = leaf(&lenient, &matches);
    let one = |id: &str| matches.try_get_one::<String>(id).ok().flatten().cloned();
    let mut configuration = Configuration::load(program, one("config"), one("profile"), variable)?;
    let unset = matches.try_get_many::<String>("unset").ok().flatten();
    let unset = unset.into_iter().flatten().map(String::as_str);
    configuration.unset = unset::keys(program, unset)?;
    let call = Call {
        program: &lenient,
        command,
        matches,
        configuration: &configuration,
        variable,
    };
    let found = call.values(&keys::keys(program), &path.join(" "))?;
    Ok(completed(args, found))
}

/// The key of the second repository of `copy`.
const INTO: &str = "copy.into";

/// Returns whether the value of an option is a repository, which has options of its own.
fn is_repository(key: &Key) -> bool {
    matches!(key.path().as_str(), "repo" | INTO)
}

struct Call<'a> {
    program: &'a Command,
    command: &'a Command,
    matches: &'a ArgMatches,
    configuration: &'a Configuration,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

/// An option that was not typed, with its value.
struct Found {
    key: Key,
    value: Value,
    origin: Origin,
}

impl Call<'_> {
    fn values(&self, keys: &[Key], command: &str) -> Result<Vec<Found>, String> {
        let mut found = Vec::new();
        let instance = match keys
            .iter()
            .find(|key| key.path() == "repo" && self.takes(key, command))
        {
            Some(key) => {
                let is_set = !self.configuration.is_unset(key);
                let variable = key.in_environment(self.variable);
                let chosen = repository::choose(
                    self.configuration,
                    self.typed(key).as_deref(),
                    variable.filter(|_| is_set),
                )?;
                if let Some(chosen) = &chosen
                    && let Some(url) = &chosen.add
                {
                    let (value, origin) = (Value::One(url.clone()), chosen.origin.clone());
                    found.push(Found {
                        key: key.clone(),
                        value,
                        origin,
                    });
                }
                chosen.and_then(|chosen| chosen.instance)
            }
            None => None,
        };
        found.extend(self.target(keys, command)?);
        for key in keys
            .iter()
            .filter(|key| !is_repository(key) && self.takes(key, command))
        {
            let Some(arg) = option(self.program, self.command, &key.option) else {
                continue;
            };
            if is_typed(self.matches, arg)
                || self.is_closed(key, arg)
                || self.configuration.is_unset(key)
            {
                continue;
            }
            if let Some((value, name)) = key.in_environment(self.variable) {
                found.push(Found {
                    key: key.clone(),
                    value,
                    origin: Origin::Environment(name),
                });
            } else if !self.is_replaced(keys, key)
                && let Some(setting) = self.configuration.setting(key, instance.as_ref())
            {
                let (value, origin) = (setting.value.clone(), self.configuration.place(setting));
                found.push(Found {
                    key: key.clone(),
                    value,
                    origin,
                });
            }
        }
        Ok(found)
    }

    /// Returns the URL of the second repository of `copy`, and its options in the file. Those that
    /// are typed, or in the environment, are options of the first repository.
    fn target(&self, keys: &[Key], command: &str) -> Result<Vec<Found>, String> {
        let is_target = |key: &&Key| key.path() == INTO && self.takes(key, command);
        let Some(key) = keys.iter().find(is_target) else {
            return Ok(Vec::new());
        };
        let setting = self.configuration.find(&key.section, &key.name, None);
        let chosen = repository::choose_target(
            self.configuration,
            self.typed(key).as_deref(),
            key.in_environment(self.variable),
            setting,
        )?;
        let Some(chosen) = chosen else {
            return Ok(Vec::new());
        };
        let url = chosen.add.map(|url| Found {
            key: key.clone(),
            value: Value::One(url),
            origin: chosen.origin.clone(),
        });
        let options = chosen.instance.into_iter().flat_map(|instance| {
            let of_store = keys.iter().filter(|key| key.section == "repository");
            of_store.filter_map(move |key| {
                self.configuration
                    .find("repository", &key.name, instance.as_deref())
            })
        });
        let pairs = options.flat_map(|setting| {
            let words = match &setting.value {
                Value::Flag(flag) => vec![flag.to_string()],
                Value::One(text) => vec![text.clone()],
                Value::Many(list) => list.clone(),
            };
            words
                .into_iter()
                .map(|word| format!("{}={word}", setting.key))
        });
        let configured = Found {
            key: Key {
                option: "into-configured".to_owned(),
                shape: Shape::Many,
                ..key.clone()
            },
            value: Value::Many(pairs.collect()),
            origin: chosen.origin,
        };
        Ok(url.into_iter().chain([configured]).collect())
    }

    fn takes(&self, key: &Key, command: &str) -> bool {
        key.commands
            .iter()
            .any(|name| name == command || name.is_empty())
    }

    fn typed(&self, key: &Key) -> Option<String> {
        let arg = option(self.program, self.command, &key.option)?;
        let value = self
            .matches
            .try_get_raw(arg.get_id().as_str())
            .ok()
            .flatten()?
            .next_back()?;
        is_typed(self.matches, arg).then(|| value.to_string_lossy().into_owned())
    }

    /// Returns whether the call excludes the option: by a conflicting option, or because its flag is missing.
    fn is_closed(&self, key: &Key, arg: &Arg) -> bool {
        // A conflict is declared by one of the two options.
        let conflicts = |one: &Arg, other: &Arg| {
            let of = self.command.get_arg_conflicts_with(one);
            of.iter().any(|found| found.get_id() == other.get_id())
        };
        let gate = key
            .gate()
            .and_then(|flag| option(self.program, self.command, flag));
        self.command
            .get_arguments()
            .filter(|other| is_typed(self.matches, other))
            .any(|other| conflicts(arg, other) || conflicts(other, arg))
            || gate.is_some_and(|flag| !is_typed(self.matches, flag))
    }

    /// Returns whether a typed option or a variable replaces the whole section of `key`.
    fn is_replaced(&self, keys: &[Key], key: &Key) -> bool {
        let Some((section, names)) = WHOLE.iter().find(|(section, _)| *section == key.section)
        else {
            return false;
        };
        let belongs = |other: &Key| {
            other.section == *section && (names.is_empty() || names.contains(&other.name.as_str()))
        };
        belongs(key)
            && keys.iter().filter(|other| belongs(other)).any(|other| {
                self.typed(other).is_some()
                    || (!self.configuration.is_unset(other)
                        && other.in_environment(self.variable).is_some())
            })
    }
}

/// Returns the arguments that set a key's value.
pub(super) fn typed(key: &Key, value: &Value) -> Vec<OsString> {
    let option = &key.option;
    let with = |text: &dyn std::fmt::Display| OsString::from(format!("--{option}={text}"));
    match value {
        Value::Flag(flag) => vec![with(flag)],
        Value::One(count) if key.shape == Shape::Count => match count.parse::<u8>() {
            Ok(n) => vec![OsString::from(format!("--{option}")); usize::from(n)],
            // The parser reports the error.
            Err(_) => vec![with(count)],
        },
        Value::One(text) => vec![with(text)],
        Value::Many(list) => list.iter().map(|text| with(text)).collect(),
    }
}

fn completed(args: &[OsString], found: Vec<Found>) -> Applied {
    let end = args
        .iter()
        .position(|arg| arg == "--")
        .unwrap_or(args.len());
    let mut all = args[..end].to_vec();
    let mut added = Added::new();
    for Found { key, value, origin } in found {
        all.extend(typed(&key, &value));
        added.insert(key.option.clone(), (key.path(), origin));
    }
    all.extend_from_slice(&args[end..]);
    Applied { args: all, added }
}

impl Configuration {
    /// Returns the setting of a key in the file.
    fn setting(&self, key: &Key, instance: Option<&repository::Instance>) -> Option<&Setting> {
        match key.section.as_str() {
            "repository" => self.find("repository", &key.name, instance?.as_deref()),
            section => self.find(section, &key.name, None),
        }
    }
}
