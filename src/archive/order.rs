//! MariaDB's chunks that change earlier files (`crate::xbstream`), called orders: renames, removals, seeks, and
//! payloads that rewrite a file.
//!
//! Workers process several chunks at the same time, so such a chunk waits until all chunks before it are written.
//! Only files that this extraction created are renamed, replaced, truncated or removed.

use super::entry::Entry;
use super::error::ArchiveError;
use super::shared::{File, Shared, State};
use crate::locked::Waited;
use crate::xbstream::Chunk;
use std::sync::{Arc, MutexGuard};

impl Shared {
    /// Waits until no chunk is in flight.
    fn quiet(&self) -> Result<MutexGuard<'_, State>, ArchiveError> {
        let busy = |state: &mut State| state.failure.is_none() && state.tasks > 0;
        let state = self.changed.waited_while(self.lock(), busy);
        if state.failure.is_some() {
            return Err(ArchiveError::Stopped);
        }
        Ok(state)
    }

    /// Applies a chunk for which [`Chunk::is_order`] is true.
    pub(super) fn order(&self, chunk: Chunk) -> Result<(), ArchiveError> {
        let mut state = self.quiet()?;
        let path = chunk.path();
        let wrong = |what: &str| ArchiveError::File {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        let open = state.open.contains_key(path);
        match &chunk {
            Chunk::Seek { offset, .. } => {
                if !open && state.whole.contains(path) {
                    let path = path.to_owned();
                    return Err(ArchiveError::Ended { path });
                }
                let file = state
                    .open
                    .entry(path.to_owned())
                    .or_insert_with(|| File::Placed(Arc::new(Entry::new(path))));
                match file {
                    File::Placed(entry) => entry.seek(*offset),
                    File::Unwrapped { .. } => Err(wrong(
                        "a seek in a file that is compressed or encrypted: extract it without unwrapping",
                    )),
                }
            }
            Chunk::Rename { .. } | Chunk::Remove { .. } if open => {
                Err(wrong("it is renamed or removed before its end"))
            }
            // Ignored, as mbstream does, if the file doesn't exist.
            _ if !state.whole.contains(path) => Ok(()),
            Chunk::Rename { to, .. } => {
                if state.open.contains_key(to) {
                    return Err(wrong("it is renamed to a file that has not ended"));
                }
                let replace = state.whole.contains(to);
                self.root.rename(path, to, replace)?;
                state.report.files -= u64::from(replace);
                state.whole.remove(path);
                state.whole.insert(to.clone());
                Ok(())
            }
            Chunk::Remove { .. } => {
                self.root.remove(path)?;
                state.report.files -= 1;
                state.whole.remove(path);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Prepares a file for a payload that rewrites it, if the file is complete.
    pub(super) fn prepare_rewrite(&self, path: &str) -> Result<(), ArchiveError> {
        let state = self.lock();
        let ended = match state.open.get(path) {
            Some(File::Placed(entry)) => entry.end_sent(),
            Some(File::Unwrapped { .. }) => false,
            None => state.whole.contains(path),
        };
        drop(state);
        if !ended {
            return Ok(());
        }
        let mut state = self.quiet()?;
        if state.whole.remove(path) {
            state.report.files -= 1;
            let entry = Arc::new(Entry::rewritten(path));
            state.open.insert(path.to_owned(), File::Placed(entry));
        }
        Ok(())
    }
}
