//! A password that can't be printed accidentally.

use std::fmt;

/// A password. `Debug` hides it, it has no `Display`, and only [`Password::expose`] returns it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the password: for the handshake, never for a message.
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
    fn debug_hides_the_password() {
        let shown = format!(
            "{:?} {:#?}",
            Password::new("s3cret"),
            Some(Password::new("s3cret"))
        );
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
