//! Options as MySQL's programs have them. A table of [`Spec`]s drives the parser, the help, and the
//! page of the documentation that describes each option.

mod help;
mod login_file;
#[cfg(test)]
pub(in crate::compat) mod page;
mod parse;
mod sources;
mod spec;
mod value;

#[cfg(test)]
mod tests;

pub(in crate::compat) use help::usage;
pub(in crate::compat) use parse::command_line;
pub(in crate::compat) use sources::{Groups, read};
pub(in crate::compat) use spec::{Argument, Kind, Side, Spec, State, options, short};

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Options that can't be accepted.
#[derive(Debug, thiserror::Error)]
pub(in crate::compat) enum OptionError {
    /// A prefix of several options.
    #[error("ambiguous option '--{found}' ({}); give the whole name", candidates.join(", "))]
    Ambiguous {
        /// The prefix.
        found: String,
        /// The names that begin with it.
        candidates: Vec<&'static str>,
    },
    /// A value where none is possible.
    #[error("option '--{option}' cannot take an argument")]
    TakesNone {
        /// The option.
        option: &'static str,
    },
    /// No value where one is needed.
    #[error("option '--{option}' requires an argument")]
    NeedsValue {
        /// The option.
        option: &'static str,
    },
    /// A value that the option doesn't accept.
    #[error("option '--{option}': unknown value '{found}'; expected {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// The value.
        found: String,
        /// The values that are accepted.
        expected: String,
    },
    /// A value that must be UTF-8 and is not.
    #[error("option '--{option}': the value is not UTF-8")]
    NotUtf8 {
        /// The option.
        option: &'static str,
    },
    /// An option that must be the first argument.
    #[error("--{option} must be specified first on the command line")]
    NotFirst {
        /// The option.
        option: &'static str,
    },
    /// An option file that can't be read.
    #[error(transparent)]
    File(#[from] crate::server::ServerError),
    /// A login file that can't be read.
    #[error("login file {}: {problem}", file.display())]
    LoginFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compat) enum Origin {
    /// The command line.
    CommandLine,
    /// A group of an option file that the program itself has: options of both sides.
    OwnGroup(String),
    /// A group of all clients, such as `[client]`.
    ClientGroup(String),
    /// A group of the server, such as `[mysqld]`.
    ServerGroup(String),
}

impl Origin {
    /// Returns whether an option of this side is read from here.
    fn reads(&self, side: Side) -> bool {
        match self {
            Self::CommandLine | Self::OwnGroup(_) => true,
            Self::ClientGroup(_) => side == Side::Client,
            Self::ServerGroup(_) => side == Side::Server,
        }
    }

    /// Returns whether an unknown option is an error here: other programs have options in the groups
    /// that are not the program's own.
    pub(in crate::compat) fn is_strict(&self) -> bool {
        matches!(self, Self::CommandLine | Self::OwnGroup(_))
    }
}

/// An option that was given.
struct Given {
    value: Option<OsString>,
    origin: Origin,
}

/// An option that is not in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compat) struct Unknown {
    /// Its name, without `--`, or `-` and its letter.
    pub(in crate::compat) name: String,
    /// Where it was found.
    pub(in crate::compat) origin: Origin,
    /// Given with `--loose-`: never an error.
    pub(in crate::compat) loose: bool,
}

/// The options of a call: of the option files and of the command line.
pub(in crate::compat) struct Parsed {
    table: &'static [Spec],
    /// By the index in the table, in the order of reading.
    values: Vec<Vec<Given>>,
    /// Options that the table doesn't have.
    pub(in crate::compat) unknown: Vec<Unknown>,
    /// Arguments that belong to no option.
    pub(in crate::compat) stray: Vec<OsString>,
    /// Values that were changed, and files that were not read.
    pub(in crate::compat) warnings: Vec<String>,
}

impl Parsed {
    /// Creates one without options.
    pub(in crate::compat) fn new(table: &'static [Spec]) -> Self {
        Self {
            table,
            values: table.iter().map(|_| Vec::new()).collect(),
            unknown: Vec::new(),
            stray: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Removes all values of an option.
    fn forget(&mut self, at: usize) {
        if let Some(values) = self.values.get_mut(at) {
            values.clear();
        }
    }

    fn last(&self, option: impl Into<usize>) -> Option<&Given> {
        self.values.get(option.into())?.last()
    }

    /// Returns whether the option was given at all.
    pub(in crate::compat) fn is_given(&self, option: impl Into<usize>) -> bool {
        self.last(option).is_some()
    }

    /// Returns a switch: off if it was not given.
    pub(in crate::compat) fn is_on(&self, option: impl Into<usize> + Copy) -> bool {
        self.switch(option).unwrap_or(false)
    }

    /// Returns a switch, if it was given.
    pub(in crate::compat) fn switch(&self, option: impl Into<usize> + Copy) -> Option<bool> {
        let spec = &self.table[option.into()];
        let given = self.last(option)?;
        let Some(value) = &given.value else {
            return Some(true);
        };
        // Checked when it was added.
        let text = value.to_str()?;
        value::switch(spec, text).ok()
    }

    /// Returns a number within the limits of its option, if it was given with a value.
    pub(in crate::compat) fn number(&self, option: impl Into<usize> + Copy) -> Option<u64> {
        let spec = &self.table[option.into()];
        let text = self.last(option)?.value.as_ref()?.to_str()?;
        value::number(spec, text).ok().map(|(number, _)| number)
    }

    /// Returns the word of the option's list, if it was given with a value.
    pub(in crate::compat) fn word(&self, option: impl Into<usize> + Copy) -> Option<&'static str> {
        let spec = &self.table[option.into()];
        let text = self.last(option)?.value.as_ref()?.to_str()?;
        value::word(spec, text).ok()
    }

    /// Returns a text, if the option was given with a value.
    ///
    /// # Errors
    /// [`OptionError::NotUtf8`].
    pub(in crate::compat) fn text(
        &self,
        option: impl Into<usize> + Copy,
    ) -> Result<Option<&str>, OptionError> {
        let spec = &self.table[option.into()];
        match self.last(option).and_then(|given| given.value.as_ref()) {
            Some(value) => utf8(spec, value).map(Some),
            None => Ok(None),
        }
    }

    /// Returns all texts of an option that can be given several times, in the order of reading.
    ///
    /// # Errors
    /// [`OptionError::NotUtf8`].
    pub(in crate::compat) fn texts(
        &self,
        option: impl Into<usize>,
    ) -> Result<Vec<&str>, OptionError> {
        let at = option.into();
        let given = self.values[at].iter();
        let values = given.filter_map(|given| given.value.as_ref());
        values.map(|value| utf8(&self.table[at], value)).collect()
    }

    /// Returns a path, if the option was given with a value. A `~` at its start is the home
    /// directory, as in MySQL's programs.
    pub(in crate::compat) fn path(&self, option: impl Into<usize> + Copy) -> Option<PathBuf> {
        let value = self.last(option)?.value.as_ref()?;
        Some(expanded(value, std::env::var_os("HOME")))
    }

    /// Returns the options that were given, with what lsnap does with them, and whether the group or
    /// the command line is the program's own.
    pub(in crate::compat) fn given(&self) -> impl Iterator<Item = (&'static Spec, bool)> {
        self.table
            .iter()
            .zip(&self.values)
            .filter_map(|(spec, values)| {
                let last = values.last()?;
                Some((spec, last.origin.is_strict()))
            })
    }

    /// Returns the options that were given as text for a log, for one side; secrets are `*`.
    pub(in crate::compat) fn recognised(&self, side: Side) -> String {
        let mut all = String::new();
        for (spec, values) in self.table.iter().zip(&self.values) {
            let Some(given) = values.last().filter(|_| spec.side == side) else {
                continue;
            };
            let value = match (&given.value, spec.kind) {
                (None, _) => "1".to_owned(),
                (Some(_), Kind::Secret) => "*".to_owned(),
                (Some(value), _) => value.to_string_lossy().into_owned(),
            };
            all += &format!("--{}={value} ", spec.name);
        }
        all
    }
}

/// Replaces `~` at the start of a path by the home directory.
fn expanded(value: &OsStr, home: Option<OsString>) -> PathBuf {
    let path = PathBuf::from(value);
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => PathBuf::from(home),
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path,
    }
}

fn utf8<'a>(spec: &Spec, value: &'a OsStr) -> Result<&'a str, OptionError> {
    value
        .to_str()
        .ok_or(OptionError::NotUtf8 { option: spec.name })
}
