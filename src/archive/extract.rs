//! An extraction that takes chunks from whoever has them.
//!
//! Threads do themselves what their chunks say: those that read streams ([`super::streams`]), and those that fetch
//! objects. Only a file that is unwrapped has a thread of its own. At most [`ExtractOptions::memory`] bytes of chunks are
//! held.

use super::error::ArchiveError;
use super::input::Found;
use super::options::{ExtractOptions, ExtractReport};
use super::place::Destination;
use super::shared::Shared;
use super::unsynced::Unsynced;
use crate::xbstream::Unchecked;
use std::sync::Arc;

/// An extraction that is fed chunk by chunk, from any number of threads. The chunks of one file may
/// come in any order; those of one that is unwrapped in theirs.
#[derive(Debug)]
pub(crate) struct Extraction {
    shared: Arc<Shared>,
}

impl Extraction {
    /// Opens the directory.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub(crate) fn open(options: ExtractOptions) -> Result<Self, ArchiveError> {
        Self::with_sync(options, Unsynced::sync)
    }

    /// Opens the directory; what is to be on the disk in the end goes through `sync`.
    pub(super) fn with_sync(
        options: ExtractOptions,
        sync: impl Fn(&Unsynced) -> Result<(), ArchiveError> + Send + Sync + 'static,
    ) -> Result<Self, ArchiveError> {
        let shared = Shared::open(options, sync)?;
        Ok(Self { shared })
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Checks and writes a chunk, or hands it to the thread that unwraps its file.
    ///
    /// # Errors
    /// The chunk can't be taken, or [`ArchiveError::Stopped`] when something failed: [`Self::finish`] says what.
    pub(crate) fn chunk(&self, chunk: Unchecked) -> Result<(), ArchiveError> {
        let path = chunk.path().to_owned();
        match self.shared.admit(&path, Found::Here(chunk))? {
            Some((Destination::Entry(entry), task)) => {
                self.shared.apply(&entry, task, &mut Vec::new());
            }
            Some((Destination::Thread(sender), task)) => {
                sender.send(task).map_err(|_| ArchiveError::Stopped)?;
            }
            None => {}
        }
        if self.shared.has_failed() {
            return Err(ArchiveError::Stopped);
        }
        Ok(())
    }

    /// No more chunks will come, though files lack their end: [`Self::finish`] then removes them and
    /// says [`ArchiveError::Stopped`].
    pub(crate) fn abandon(&self) {
        self.shared.fail(ArchiveError::Stopped);
    }

    /// Waits until all is written and on the disk.
    ///
    /// # Errors
    /// The first failure, [`ArchiveError::Unsynced`] is one; [`ArchiveError::Incomplete`] when files lack
    /// their end. What is not whole is removed. [`ArchiveError::NotThere`] when something that was asked for
    /// never came; the rest is there.
    pub(crate) fn finish(self) -> Result<ExtractReport, ArchiveError> {
        self.shared.finish()
    }
}
