//! Progress reporting. The library never prints: a caller implements [`Progress`] to show a bar,
//! JSON lines or nothing.

/// A phase of a job, in the order in which the phases are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Connecting, checking, finding the base.
    Preparing,
    /// Following the redo log up to the server's position before any page is copied.
    RedoCatchUp,
    /// Reading pages of the tablespaces.
    Copy,
    /// All tablespaces have been read once; no lock on tables is held yet.
    DataCopied,
    /// Files of other engines, under the lock.
    Plain,
    /// The redo log up to the recorded LSN.
    Redo,
    /// Metadata and manifest.
    Finish,
    /// Restore: fetching and writing pages.
    Merge,
    /// Restore: redo application.
    Apply,
    /// Restore: checks and rename into place.
    HandOver,
    /// Verify: bytes that were checked.
    Verify,
    /// Objects or streams are written, read or deleted.
    Transfer,
}

impl Phase {
    /// Returns its name for programs: `redo_catch_up`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::RedoCatchUp => "redo_catch_up",
            Self::Copy => "copy",
            Self::DataCopied => "data_copied",
            Self::Plain => "plain",
            Self::Redo => "redo",
            Self::Finish => "finish",
            Self::Merge => "merge",
            Self::Apply => "apply",
            Self::HandOver => "hand_over",
            Self::Verify => "verify",
            Self::Transfer => "transfer",
        }
    }
}

/// Receives progress events. Calls come from several threads; they must return quickly.
pub trait Progress: Send + Sync {
    /// A phase begins; `total` is the number of bytes that it will process, if known.
    fn phase(&self, phase: Phase, total: Option<u64>) {
        let _ = (phase, total);
    }
    /// `bytes` more of the current phase are done.
    fn advance(&self, phase: Phase, bytes: u64) {
        let _ = (phase, bytes);
    }
    /// A message that a person should read once (a decision and its reason).
    fn note(&self, message: &str) {
        let _ = message;
    }
}

/// Ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
