//! The arguments of a program, by the rules of MySQL's programs (`my_getopt`; the manual's "Using
//! Options on the Command Line" and "Program Option Modifiers"):
//!
//! - `_` and `-` are the same in long names; an unambiguous prefix of a name is the name, and an
//!   exact name has precedence over the longer ones;
//! - `--name=value`; `--name value` if the argument is required. An optional argument is only taken
//!   after `=`;
//! - one-letter names take the rest of the word (`-S/tmp/x`), or, if required, the next word; flags
//!   can be joined (`-xv`);
//! - `--skip-`, `--disable-` and `--enable-` before a switch; `--loose-` before any option: an
//!   unknown one is then a warning; `--maximum-` is accepted and ignored;
//! - `--` ends the options;
//! - the last value of an option counts.

use super::spec::{Argument, Kind, Spec};
use super::{Given, OptionError, Origin, Parsed, Unknown};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Parses arguments and adds them to what `parsed` has: options of files first, then the command
/// line.
///
/// # Errors
/// See [`OptionError`]. Unknown options are no errors here: they are listed in `parsed`.
pub(in crate::compat) fn command_line(
    parsed: &mut Parsed,
    args: &[OsString],
) -> Result<(), OptionError> {
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            parsed.stray.extend(words.cloned());
            return Ok(());
        }
        if let Some(long) = bytes.strip_prefix(b"--") {
            let (name, value) = split(long);
            let next = || words.clone().next().cloned();
            if long_option(parsed, &name, value, Origin::CommandLine, next)? {
                words.next();
            }
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            let next = || words.clone().next().cloned();
            if letters(parsed, &bytes[1..], next)? {
                words.next();
            }
        } else {
            parsed.stray.push(word.clone());
        }
    }
    Ok(())
}

/// Adds an option of an option file. A value that is needed and is not there is an error.
pub(super) fn file_entry(
    parsed: &mut Parsed,
    name: &str,
    value: Option<&str>,
    origin: Origin,
) -> Result<(), OptionError> {
    let value = value.map(OsString::from);
    long_option(parsed, name, value, origin, || None).map(|_| ())
}

/// Splits `name=value`; `_` in the name becomes `-`.
fn split(long: &[u8]) -> (String, Option<OsString>) {
    let (name, value) = match long.iter().position(|byte| *byte == b'=') {
        Some(at) => (
            &long[..at],
            Some(OsString::from_vec(long[at + 1..].to_vec())),
        ),
        None => (long, None),
    };
    (String::from_utf8_lossy(name).replace('_', "-"), value)
}

/// A name as it is meant: after its modifiers.
struct Meant {
    at: usize,
    /// What `--skip-` and its like say.
    switched: Option<bool>,
    ignored: bool,
}

/// Returns whether the next word was used as the value.
fn long_option(
    parsed: &mut Parsed,
    name: &str,
    value: Option<OsString>,
    origin: Origin,
    next: impl Fn() -> Option<OsString>,
) -> Result<bool, OptionError> {
    let meant = match find(parsed, name, &origin)? {
        Found::Option(meant) => meant,
        Found::Unknown { loose } => {
            parsed.unknown.push(Unknown {
                name: name.to_owned(),
                origin,
                loose,
            });
            return Ok(false);
        }
    };
    let spec = &parsed.table[meant.at];
    let mut used = false;
    let value = match (spec.argument, meant.switched, value) {
        // `--skip-password`: an empty one.
        (_, Some(false), None) if spec.kind == Kind::Secret => Some(OsString::new()),
        // `--skip-log-bin`, `--skip-history`: as if it had not been given; `--enable-history`: without a value.
        (_, Some(false), None) if !takes_numbers(spec) => {
            parsed.forget(meant.at);
            return Ok(false);
        }
        (_, Some(true), None) if !takes_numbers(spec) => None,
        (_, Some(on), None) => Some(OsString::from(if on { "1" } else { "0" })),
        (_, Some(_), Some(_)) => return Err(OptionError::TakesNone { option: spec.name }),
        (Argument::Required, None, None) => {
            used = true;
            Some(next().ok_or(OptionError::NeedsValue { option: spec.name })?)
        }
        (Argument::Flag, None, Some(_)) if spec.kind != Kind::Switch => {
            return Err(OptionError::TakesNone { option: spec.name });
        }
        (_, None, value) => value,
    };
    if !meant.ignored {
        parsed.add(meant.at, value, origin)?;
    }
    Ok(used)
}

/// Returns whether 0 and 1 are values that switch the option off and on.
fn takes_numbers(spec: &Spec) -> bool {
    match spec.kind {
        Kind::Text => false,
        Kind::Word(words) => words.contains(&"0"),
        Kind::Switch | Kind::Secret | Kind::Number { .. } => true,
    }
}

enum Found {
    Option(Meant),
    Unknown { loose: bool },
}

fn find(parsed: &Parsed, name: &str, origin: &Origin) -> Result<Found, OptionError> {
    if let Some(at) = by_name(parsed, name, origin)? {
        return Ok(Found::Option(Meant {
            at,
            switched: None,
            ignored: false,
        }));
    }
    let modifiers = [
        ("skip-", Some(false)),
        ("disable-", Some(false)),
        ("enable-", Some(true)),
        ("maximum-", None),
    ];
    for (modifier, switched) in modifiers {
        let Some(rest) = name.strip_prefix(modifier) else {
            continue;
        };
        let Some(at) = by_name(parsed, rest, origin)? else {
            continue;
        };
        let spec = &parsed.table[at];
        let takes_switch = spec.kind == Kind::Switch || spec.argument == Argument::Optional;
        if switched.is_some() && !takes_switch {
            continue;
        }
        return Ok(Found::Option(Meant {
            at,
            switched,
            ignored: switched.is_none(),
        }));
    }
    match name.strip_prefix("loose-") {
        Some(rest) => match find(parsed, rest, origin)? {
            Found::Unknown { .. } => Ok(Found::Unknown { loose: true }),
            found @ Found::Option(_) => Ok(found),
        },
        None => Ok(Found::Unknown { loose: false }),
    }
}

/// Returns the option with this name, or the only one that begins with it. In the groups of other
/// programs only whole names count: their other options have any names.
fn by_name(parsed: &Parsed, name: &str, origin: &Origin) -> Result<Option<usize>, OptionError> {
    let visible = |spec: &Spec| origin.reads(spec.side);
    let mut found = None;
    let mut candidates = Vec::new();
    for (at, spec) in parsed.table.iter().enumerate() {
        if !visible(spec) || !spec.name.starts_with(name) {
            continue;
        }
        if spec.name == name {
            return Ok(Some(at));
        }
        if !origin.is_strict() {
            continue;
        }
        candidates.push(spec.name);
        found = Some(at);
    }
    if candidates.len() > 1 {
        return Err(OptionError::Ambiguous {
            found: name.to_owned(),
            candidates,
        });
    }
    Ok(found.filter(|_| !name.is_empty()))
}

/// Reads the options of a word that begins with one `-`. Returns whether the next word was used.
fn letters(
    parsed: &mut Parsed,
    word: &[u8],
    next: impl Fn() -> Option<OsString>,
) -> Result<bool, OptionError> {
    for (place, letter) in word.iter().enumerate() {
        let letter = char::from(*letter);
        let at = parsed
            .table
            .iter()
            .position(|spec| spec.short == Some(letter));
        let Some(at) = at else {
            parsed.unknown.push(Unknown {
                name: format!("-{letter}"),
                origin: Origin::CommandLine,
                loose: false,
            });
            return Ok(false);
        };
        let spec = &parsed.table[at];
        let rest = &word[place + 1..];
        let glued = || Some(OsStr::from_bytes(rest).to_owned()).filter(|rest| !rest.is_empty());
        match spec.argument {
            Argument::Flag => parsed.add(at, None, Origin::CommandLine)?,
            Argument::Optional => {
                parsed.add(at, glued(), Origin::CommandLine)?;
                return Ok(false);
            }
            Argument::Required => {
                let (value, used) = match glued() {
                    Some(value) => (value, false),
                    None => (
                        next().ok_or(OptionError::NeedsValue { option: spec.name })?,
                        true,
                    ),
                };
                parsed.add(at, Some(value), Origin::CommandLine)?;
                return Ok(used);
            }
        }
    }
    Ok(false)
}

impl Parsed {
    /// Records a value after a check of its kind.
    fn add(
        &mut self,
        at: usize,
        value: Option<OsString>,
        origin: Origin,
    ) -> Result<(), OptionError> {
        let spec = &self.table[at];
        if let Some(value) = &value {
            check(spec, value, &mut self.warnings)?;
        }
        self.values[at].push(Given { value, origin });
        Ok(())
    }
}

fn check(spec: &Spec, value: &OsStr, warnings: &mut Vec<String>) -> Result<(), OptionError> {
    let text = || super::utf8(spec, value);
    match spec.kind {
        Kind::Text | Kind::Secret => {}
        Kind::Switch => {
            super::value::switch(spec, text()?)?;
        }
        // A switch before an optional word: `--skip-lock-ddl`.
        Kind::Word(_) => {
            super::value::word(spec, text()?)?;
        }
        Kind::Number { .. } => {
            let (number, changed) = super::value::number(spec, text()?)?;
            if changed {
                warnings.push(format!(
                    "option '{}': value {} adjusted to {number}",
                    spec.name,
                    text()?
                ));
            }
        }
    }
    Ok(())
}
