//! A fault as two fields: what was found, and what was expected instead.

use std::fmt;

/// A fault: what was found and what was expected instead. Displayed as `FOUND, expected EXPECTED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The found value.
    pub found: String,
    /// The expected value; `None` if it is clear from what was found.
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

    /// Returns the same finding with the place at the end of its text.
    pub(crate) fn found_in(mut self, place: impl fmt::Display) -> Self {
        let last = self.expected.as_mut().unwrap_or(&mut self.found);
        *last = format!("{last} (in {place})");
        self
    }

    /// Returns the same finding with the place before its text.
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
