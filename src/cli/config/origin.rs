//! The origin of a value.

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line.
    Option,
    /// The environment variable of this name.
    Environment(String),
    /// `FILE:LINE`.
    File(String),
    /// The default of the option.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Option => write!(f, "option"),
            Self::Environment(name) => write!(f, "environment ({name})"),
            Self::File(place) => write!(f, "{place}"),
            Self::Default => write!(f, "default"),
        }
    }
}
