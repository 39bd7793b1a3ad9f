//! A fault in two fields: what was found, and what was expected in its place.

use std::fmt;

/// What was found, and what was expected in its place. Shown as `FOUND, expected EXPECTED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub found: String,
    /// What was expected; `None` if that is clear from what was found.
    pub expected: Option<String>,
}

impl Finding {
    /// Returns a finding with both fields.
    pub fn new(found: impl Into<String>, expected: impl fmt::Display) -> Self {
        Self {
            found: found.into(),
            expected: Some(expected.to_string()),
        }
    }

    /// Returns the same finding with the place at the end of its sentence.
    pub(crate) fn found_in(mut self, place: impl fmt::Display) -> Self {
        let last = self.expected.as_mut().unwrap_or(&mut self.found);
        *last = format!("{last} (in {place})");
        self
    }

    /// Returns the same finding with a text before what was found.
    pub(crate) fn within(mut self, place: impl fmt::Display) -> Self {
        self.found = format!("{place}: {}", self.found);
        self
    }
}

impl From<String> for Finding {
    fn from(found: String) -> Self {
        Self {
            found,
            expected: None,
        }
    }
}

impl From<&str> for Finding {
    fn from(found: &str) -> Self {
        found.to_owned().into()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.found)?;
        match &self.expected {
            Some(expected) => write!(f, ", expected {expected}"),
            None => Ok(()),
        }
    }
}
