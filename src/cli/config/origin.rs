//! Where the value of a key comes from.

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was typed.
    Option,
    /// A variable of this name.
    Environment(String),
    /// `FILE:LINE`.
    File(String),
    /// Nothing was said.
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
