//! The JSON documents of the program: the parts that all commands share.
//!
//! With `--json`, a command prints one document, an [`Envelope`]. Only [`super::output`] creates it, so a command
//! passes its result to [`super::Context::print`] and returns its failure.

mod envelope;
mod failure;

pub(super) use envelope::Envelope;
pub(super) use failure::{ErrorDocument, FailureKind};

/// The number of the documents' format. `docs/reference/json.md` says which changes increment it.
pub(super) const SCHEMA: u32 = 1;
