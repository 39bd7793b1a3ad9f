//! The definition of an option: its name, its argument, and what lsnap does with it.

use std::fmt;

/// The argument of an option, by the rules of MySQL's programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::compat) enum Argument {
    /// None: a flag. `--flag=ON` and its other Boolean values are accepted too.
    Flag,
    /// After `=` only. The next word belongs to another option.
    Optional,
    /// After `=`, or the next word.
    Required,
}

/// The values that an option accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::compat) enum Kind {
    /// `ON` or `OFF`, in all their forms.
    Switch,
    /// Any text.
    Text,
    /// A text that is never shown.
    Secret,
    /// One of these words, in upper or lower case.
    Word(&'static [&'static str]),
    /// A whole number with an optional suffix K, M, G, T, P or E. A number outside of the limits is
    /// replaced by the nearest limit, with a warning.
    Number {
        /// The smallest value.
        min: u64,
        /// The largest value.
        max: u64,
    },
}

/// The table that an option belongs to: it decides in which groups of option files it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::compat) enum Side {
    /// Options of the program: groups `[xtrabackup]` and `[client]`.
    Client,
    /// Options of the server: groups `[xtrabackup]` and `[mysqld]`.
    Server,
}

/// What lsnap does with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::compat) enum State {
    /// It has the effect that the original has.
    Done,
    /// It is accepted without an effect; the reason.
    Accepted(&'static str),
    /// It is an error; the reason.
    Refused(&'static str),
}

/// An option.
#[derive(Debug)]
pub(in crate::compat) struct Spec {
    /// The long name, with `-` between words.
    pub(in crate::compat) name: &'static str,
    /// The one-letter name.
    pub(in crate::compat) short: Option<char>,
    /// Its argument.
    pub(in crate::compat) argument: Argument,
    /// Its values.
    pub(in crate::compat) kind: Kind,
    /// Its table.
    pub(in crate::compat) side: Side,
    /// What lsnap does with it.
    pub(in crate::compat) state: State,
    /// The value without the option, for the help; empty if there is none.
    pub(in crate::compat) default: &'static str,
    /// The help: a sentence.
    pub(in crate::compat) help: &'static str,
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.name)
    }
}

/// Defines the options of a program: an enum with a variant for each, and `TABLE`, which has their
/// [`Spec`]s in the same order.
macro_rules! options {
    ($($variant:ident = $name:literal $($short:literal)?, $argument:ident, $kind:expr, $side:ident, $state:expr,
       $default:literal, $help:literal;)*) => {
        /// An option of the program.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        // Options without an effect are only known, not asked for.
        #[allow(dead_code)]
        pub(in crate::compat) enum Opt {
            $(#[doc = $help] $variant,)*
        }

        impl From<Opt> for usize {
            fn from(option: Opt) -> Self {
                option as Self
            }
        }

        /// The options of the program, in the order of [`Opt`].
        pub(in crate::compat) const TABLE: &[$crate::compat::options::Spec] = &[
            $($crate::compat::options::Spec {
                name: $name,
                short: $crate::compat::options::short(&[$($short)?]),
                argument: $crate::compat::options::Argument::$argument,
                kind: $kind,
                side: $crate::compat::options::Side::$side,
                state: $state,
                default: $default,
                help: $help,
            },)*
        ];
    };
}
pub(in crate::compat) use options;

/// Returns the one-letter name of an option, if it has one.
pub(in crate::compat) const fn short(letters: &[char]) -> Option<char> {
    match letters {
        [letter, ..] => Some(*letter),
        [] => None,
    }
}
