//! A password that can't be printed by accident.

use std::fmt;

/// A password: its `Debug` hides it, it has no `Display`, and only [`Password::expose`] gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself: for the driver, never for a message.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_it() {
        let shown = format!(
            "{:?} {:#?}",
            Password::new("s3cret"),
            Some(Password::new("s3cret"))
        );
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
