//! One file that is being extracted.
//!
//! Its chunks are written by whichever worker has them, at the place that each says. It is whole when
//! its end has come, nothing of it is on its way, and no byte is missing.

use super::coverage::Track;
use super::error::{ArchiveError, io};
use super::root::Root;
use crate::locked::Locked;
use crate::xbstream::{Chunk, Located, SparseEntry};
use bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard};

/// A file that is written as a whole.
#[derive(Debug)]
pub(super) struct Whole {
    /// Its length.
    pub bytes: u64,
    /// Not synced yet.
    pub file: Arc<File>,
}

/// A file between its first chunk and its end.
#[derive(Debug)]
pub(super) struct Entry {
    name: String,
    state: Mutex<State>,
    file: Mutex<Option<Arc<File>>>,
    /// The file is there already, made by this extraction, and is to be emptied.
    anew: bool,
}

#[derive(Debug, Default)]
struct State {
    track: Track,
    on_the_way: u64,
    ended: bool,
    /// The end is on its way to a worker, or was.
    end_sent: bool,
    done: bool,
}

impl Entry {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: Mutex::default(),
            file: Mutex::default(),
            anew: false,
        }
    }

    /// A file that this extraction has made and that begins anew.
    pub(super) fn anew(name: &str) -> Self {
        Self {
            anew: true,
            ..Self::new(name)
        }
    }

    /// The next chunk stands at `offset`; everything before it has been written.
    pub(super) fn seek(&self, offset: u64) -> Result<(), ArchiveError> {
        let added = self.lock().track.seek(offset);
        added.map_err(|what| self.wrong(what))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    /// A chunk of the file, which fills `range`, is on its way to a worker; false when the file is whole
    /// already.
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
        state.on_the_way += 1;
        state.end_sent |= end;
        drop(state);
        expected.map(|()| true).map_err(|what| self.wrong(what))
    }

    /// Whether the end of the file has come out of the stream, be it written or not.
    pub(super) fn end_sent(&self) -> bool {
        self.lock().end_sent
    }

    /// Makes the file, if nobody has.
    pub(super) fn file(&self, root: &Root) -> Result<Arc<File>, ArchiveError> {
        let mut file = self.file.locked();
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        let made = Arc::new(if self.anew {
            root.empty(&self.name)?
        } else {
            root.create(&self.name)?
        });
        *file = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Whether the file was made by us.
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

    /// Takes in a chunk whose checksum was right; gives the file when it is whole now.
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

    /// As [`Self::apply`] for a payload that is still in its stream; its checksum is looked at while it
    /// is written. When that fails the file is never whole, so that it is removed.
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

    /// What was on its way has arrived; gives the file when it is whole now.
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
        state.on_the_way -= 1;
        if !state.ended || state.on_the_way > 0 || state.track.gap().is_some() {
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

    /// A hole at the end is only a length.
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

    /// Why the file is not whole at the end of the stream.
    pub(super) fn missing(&self) -> Option<String> {
        let state = self.lock();
        match (state.ended, state.track.gap()) {
            (true, Some((from, to))) => Some(format!(
                "bytes {from} to {to} never came, though the file's end did"
            )),
            _ => None,
        }
    }
}
