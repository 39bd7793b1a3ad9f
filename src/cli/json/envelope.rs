//! The document around each result.

use super::{ErrorDocument, SCHEMA};
use serde::Serialize;

/// The document of a command: its result, its error, or both if a report was made and the command failed (for
/// example, because `verify` found damage).
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Envelope<'a, T> {
    /// The version of lsnap.
    pub(in crate::cli) lsnap: &'static str,
    /// The number of the format.
    pub(in crate::cli) schema: u32,
    /// The words of the command: `backup`, `cloud put`; empty if the arguments don't contain a command.
    pub(in crate::cli) command: &'a str,
    /// The result; missing if the command failed before it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) result: Option<T>,
    /// The error; missing if the command succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) error: Option<&'a ErrorDocument>,
}

impl<'a, T> Envelope<'a, T> {
    pub(in crate::cli) const fn new(
        command: &'a str,
        result: Option<T>,
        error: Option<&'a ErrorDocument>,
    ) -> Self {
        Self {
            lsnap: env!("CARGO_PKG_VERSION"),
            schema: SCHEMA,
            command,
            result,
            error,
        }
    }
}
