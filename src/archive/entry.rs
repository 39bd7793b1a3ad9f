//! A file during its extraction.
//!
//! Each worker writes the chunks that it has, at their offsets. The file is complete when its end was
//! received, no chunk of it is in flight, and no byte is missing.

use super::coverage::Track;
use super::error::{ArchiveError, io};
use super::root::Root;
use crate::locked::Locked;
use crate::xbstream::{Chunk, Located, SparseEntry};
use bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard};

/// A completely written file.
#[derive(Debug)]
pub(super) struct Whole {
    /// Its length in bytes.
    pub bytes: u64,
    /// The file, not synced yet.
    pub file: Arc<File>,
}

/// A file between its first chunk and its end.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path in the stream.
    path: String,
    /// The name under which it is written.
    name: String,
    state: Mutex<State>,
    file: Mutex<Option<Arc<File>>>,
    /// Whether the file exists, created by this extraction, and is to be truncated.
    truncate: bool,
}

#[derive(Debug, Default)]
struct State {
    track: Track,
    in_flight: u64,
    ended: bool,
    /// The end chunk was passed to a worker.
    end_sent: bool,
    done: bool,
}

impl Entry {
    pub(super) fn new(path: &str) -> Self {
        Self::named(path, path)
    }

    /// Creates an entry for a file that is written under another name.
    pub(super) fn named(path: &str, name: &str) -> Self {
        Self {
            path: path.to_owned(),
            name: name.to_owned(),
            state: Mutex::default(),
            file: Mutex::default(),
            truncate: false,
        }
    }

    /// Creates an entry for a file that this extraction created and that the stream rewrites.
    pub(super) fn rewritten(name: &str) -> Self {
        Self {
            truncate: true,
            ..Self::new(name)
        }
    }

    /// Sets the position of the next chunk. All chunks before it must have been written.
    pub(super) fn seek(&self, offset: u64) -> Result<(), ArchiveError> {
        let added = self.lock().track.seek(offset);
        added.map_err(|what| self.wrong(what))
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    /// Records that a chunk of the file, with the bytes `range`, is passed to a worker; returns false if the
    /// file is already complete.
    pub(super) fn expect(
        &self,
        end: bool,
        range: Option<(u64, u64)>,
    ) -> Result<bool, ArchiveError> {
        let mut state = self.lock();
        if state.done {
            return Ok(false);
        }
        let expected = range.map_or(Ok(()), |range| state.track.expect(range));
        state.in_flight += 1;
        state.end_sent |= end;
        drop(state);
        expected.map(|()| true).map_err(|what| self.wrong(what))
    }

    /// Returns whether the end of the file was read from the stream.
    pub(super) fn end_sent(&self) -> bool {
        self.lock().end_sent
    }

    /// Returns the file; creates it if necessary.
    pub(super) fn file(&self, root: &Root) -> Result<Arc<File>, ArchiveError> {
        let mut file = self.file.locked();
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        let made = Arc::new(if self.truncate {
            root.empty(&self.name)?
        } else {
            root.create(&self.name)?
        });
        *file = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Returns whether the file was created.
    pub(super) fn is_made(&self) -> bool {
        let file = self.file.locked();
        file.is_some()
    }

    fn wrong(&self, what: String) -> ArchiveError {
        ArchiveError::File {
            path: self.name.clone(),
            what,
        }
    }

    /// Writes a chunk whose checksum was correct; returns the file if it is now complete.
    pub(super) fn apply(&self, root: &Root, chunk: Chunk) -> Result<Option<Whole>, ArchiveError> {
        let file = self.file(root)?;
        let ended = matches!(chunk, Chunk::End { .. });
        match chunk {
            Chunk::Payload { offset, data, .. } => {
                let end = offset + data.len() as u64;
                self.cover(offset, end)?;
                file.write_all_at(&data, offset)
                    .map_err(io("write", &root.shown(&self.name)))?;
            }
            Chunk::Sparse {
                offset, map, data, ..
            } => self.sparse(root, &file, offset, &map, data)?,
            _ => {}
        }
        self.settle(root, &file, ended)
    }

    /// Writes a payload that is still in its stream, and checks its checksum meanwhile. If the checksum is
    /// wrong, the file never becomes complete, so it is removed.
    pub(super) fn copy(
        &self,
        root: &Root,
        chunk: &Located,
        buffer: &mut [u8],
    ) -> Result<Option<Whole>, ArchiveError> {
        let file = self.file(root)?;
        if let Some((from, to)) = chunk.head().range() {
            self.cover(from, to)?;
        }
        let path = root.shown(&self.name);
        chunk.copy(buffer, |at, piece| {
            file.write_all_at(piece, at).map_err(io("write", &path))
        })?;
        self.settle(root, &file, false)
    }

    /// Records that a chunk was written; returns the file if it is now complete.
    fn settle(
        &self,
        root: &Root,
        file: &Arc<File>,
        ended: bool,
    ) -> Result<Option<Whole>, ArchiveError> {
        let mut state = self.lock();
        if ended && state.ended {
            return Err(self.wrong("it ends twice".to_owned()));
        }
        state.ended |= ended;
        state.in_flight -= 1;
        if !state.ended || state.in_flight > 0 || state.track.gap().is_some() {
            return Ok(None);
        }
        state.done = true;
        let bytes = state.track.length();
        drop(state);
        self.close(root, file, bytes)?;
        Ok(Some(Whole {
            bytes,
            file: Arc::clone(file),
        }))
    }

    fn cover(&self, from: u64, to: u64) -> Result<(), ArchiveError> {
        let added = self.lock().track.add(from, to);
        added.map_err(|what| self.wrong(what))
    }

    fn sparse(
        &self,
        root: &Root,
        file: &File,
        offset: u64,
        map: &[SparseEntry],
        mut data: Bytes,
    ) -> Result<(), ArchiveError> {
        let mut at = offset;
        for piece in map {
            at += u64::from(piece.skip);
            let bytes = data.split_to((piece.len as usize).min(data.len()));
            file.write_all_at(&bytes, at)
                .map_err(io("write", &root.shown(&self.name)))?;
            at += bytes.len() as u64;
        }
        self.cover(offset, at)
    }

    /// Closes the file. A hole at its end is made by setting the length.
    fn close(&self, root: &Root, file: &File, length: u64) -> Result<(), ArchiveError> {
        let path = root.shown(&self.name);
        let meta = file.metadata().map_err(io("look at", &path))?;
        if meta.len() < length {
            file.set_len(length)
                .map_err(io("set the length of", &path))?;
        }
        *self.file.locked() = None;
        Ok(())
    }

    /// Returns the missing bytes of a file whose end was received.
    pub(super) fn missing(&self) -> Option<String> {
        let state = self.lock();
        match (state.ended, state.track.gap()) {
            (true, Some((from, to))) => Some(format!(
                "bytes {from} to {to} are missing, but the file's end was received"
            )),
            _ => None,
        }
    }
}
