//! An extraction that accepts chunks from any thread.
//!
//! Threads that read streams ([`super::streams`]) or fetch objects write their chunks themselves. Only a file that
//! is unwrapped has a thread of its own. At most [`ExtractOptions::memory`] bytes of chunks are in memory.

use super::error::ArchiveError;
use super::input::Found;
use super::options::{ExtractOptions, ExtractReport};
use super::place::Destination;
use super::shared::Shared;
use super::unsynced::Unsynced;
use crate::xbstream::Unchecked;
use std::sync::Arc;

/// An extraction that receives chunks from any number of threads. The chunks of one file can come in any
/// order, except those of a file that is unwrapped.
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

    /// Opens the directory. Files and directories are synced with `sync`.
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

    /// Checks and writes a chunk, or passes it to the thread that unwraps its file.
    ///
    /// # Errors
    /// The chunk is refused; or [`ArchiveError::Stopped`] after a failure, which [`Self::finish`] returns.
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

    /// Ends the extraction without the remaining chunks: [`Self::finish`] then removes incomplete files and
    /// returns [`ArchiveError::Stopped`].
    pub(crate) fn abandon(&self) {
        self.shared.fail(ArchiveError::Stopped);
    }

    /// Waits until everything is written and synced.
    ///
    /// # Errors
    /// The first failure, also of a sync ([`ArchiveError::Unsynced`]); [`ArchiveError::Incomplete`] if files
    /// lack their end. Incomplete files are removed. [`ArchiveError::NotThere`] if the stream lacks a requested
    /// file; the others were extracted.
    pub(crate) fn finish(self) -> Result<ExtractReport, ArchiveError> {
        self.shared.finish()
    }
}
