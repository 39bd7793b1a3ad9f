//! How a job tells its caller what it is doing. The library never prints: a caller that wants a
//! bar, JSON lines or nothing implements [`Progress`].

/// A stage of a job, in the order in which a person sees them.
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
    /// Verify: bytes that were looked at.
    Verify,
    /// Cloud: objects are stored or fetched.
    Transfer,
}

/// Receives what happens. Calls come from several threads; they must return quickly.
pub trait Progress: Send + Sync {
    /// A phase begins; `total` is the number of bytes it will go through, where known.
    fn phase(&self, phase: Phase, total: Option<u64>) {
        let _ = (phase, total);
    }
    /// `bytes` more of the current phase are done.
    fn advance(&self, phase: Phase, bytes: u64) {
        let _ = (phase, bytes);
    }
    /// Something a person should read once (a decision and its reason).
    fn note(&self, message: &str) {
        let _ = message;
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
