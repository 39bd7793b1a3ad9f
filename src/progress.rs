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
    /// Cloud: objects are uploaded or downloaded.
    Transfer,
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
