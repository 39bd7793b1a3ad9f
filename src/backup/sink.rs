//! Where a backup's bytes go: objects of a repository, or one xbstream; as they are, or compressed
//! and encrypted.
//!
//! Pieces of a file are compressed and encrypted by the workers that read them, beside each other:
//! each becomes whole frames and whole xbcrypt chunks (`docs/format/wrapping.md`). Where a piece begins in the file as
//! stored is known only when all pieces before it have been wrapped, and a stream's readers want the
//! chunks of one file in order. So there every piece waits for its turn, after the work and before
//! the output. Ranges are handed out in order and a worker that waits holds nothing that the one
//! before it needs, so the wait is short and never for ever; [`Sink::halt`] wakes everybody when a
//! piece will not come.
//!
//! What is not wrapped, and not in a stream, has no order and waits for nobody.

use super::error::BackupError;
use super::stream::{Chunk, Streams};
use super::wrap::{Piece, Treat, Wrap};
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::locked::{Locked, Waited};
use crate::manifest::{
    Digest, FileEntry, FileRole, Layout, Manifest, ObjectEntry, StoredOffset, StoredPath, packed,
};
use crate::store::Upload;
use crate::xbstream;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Where the bytes go; clones go to the same place.
#[derive(Clone)]
pub(super) struct Sink {
    inner: Arc<Inner>,
}

struct Inner {
    out: Out,
    wrap: Wrap,
    turns: Mutex<FileOrder>,
    changed: Condvar,
    /// Small files share objects.
    packs: AtomicBool,
}

enum Out {
    Objects(Upload),
    Streams(Streams),
}

#[derive(Default)]
struct FileOrder {
    files: HashMap<String, FileProgress>,
    halted: bool,
}

/// How far a file has come.
#[derive(Default)]
struct FileProgress {
    /// The piece whose turn it is.
    next: u64,
    /// Length of the file as stored so far, in bytes.
    stored: u64,
    /// Where each piece, by its index, begins in it (wrapped files in a repository).
    starts: HashMap<u64, u64>,
    /// What went into a stream.
    entries: Vec<ObjectEntry>,
    /// Which of the streams.
    stream: Option<usize>,
}

impl Sink {
    pub(super) fn objects(
        upload: Upload,
        compression: Option<Compression>,
        key: Option<Key>,
    ) -> Self {
        Self::new(Out::Objects(upload), compression, key)
    }

    pub(super) fn streams(
        streams: Streams,
        compression: Option<Compression>,
        key: Option<Key>,
    ) -> Self {
        Self::new(Out::Streams(streams), compression, key)
    }

    fn new(out: Out, compression: Option<Compression>, key: Option<Key>) -> Self {
        Self {
            inner: Arc::new(Inner {
                out,
                wrap: Wrap::new(compression, key),
                turns: Mutex::default(),
                changed: Condvar::new(),
                packs: AtomicBool::new(false),
            }),
        }
    }

    /// Compresses what is put from now on, unless it was told how before. Nothing may have been put.
    pub(super) fn compress(&self, how: Compression) {
        self.inner.wrap.compress(how);
    }

    /// How files are compressed.
    pub(super) fn compression(&self) -> Option<Compression> {
        self.inner.wrap.compression()
    }

    /// Whether pieces of any file must come in the order of their indices.
    pub(super) fn ordered(&self) -> bool {
        self.inner.wrap.is_any() || matches!(self.inner.out, Out::Streams(_))
    }

    /// Whether holes can be sent as such. `mbstream` knows no sparse chunks, and what is wrapped has
    /// no holes; an object store's reader is lsnap or `xbstream`, which do.
    pub(super) fn takes_holes(&self) -> bool {
        !self.ordered()
    }

    pub(super) fn layout(&self) -> Layout {
        match self.inner.out {
            Out::Objects(_) => Layout::Objects,
            Out::Streams(_) => Layout::Stream,
        }
    }

    /// The directory that the backup is written to. Where a stream goes isn't known here.
    pub(super) fn directory(&self) -> Option<&Path> {
        match &self.inner.out {
            Out::Objects(upload) => upload.directory(),
            Out::Streams(_) => None,
        }
    }

    /// From now on small files of tablespaces share objects, where there are objects.
    pub(super) fn pack_small_files(&self) {
        self.inner.packs.store(true, Ordering::Release);
    }

    /// Whether they do.
    pub(super) fn packs(&self) -> bool {
        self.inner.packs.load(Ordering::Acquire)
    }

    /// From now on, until [`Self::unstage`], nothing that is put waits for a repository: its bytes wait in memory
    /// and in an unnamed file in `directory`.
    pub(super) fn stage(&self, directory: &Path) {
        if let Out::Objects(upload) = &self.inner.out {
            upload.stage(directory);
        }
    }

    /// The opposite of [`Self::stage`].
    pub(super) fn unstage(&self) {
        if let Out::Objects(upload) = &self.inner.out {
            upload.unstage();
        }
    }

    /// Compresses and encrypts a piece.
    ///
    /// # Errors
    /// The error of the codec.
    pub(super) fn wrap(&self, treat: Treat, piece: Piece) -> Result<Piece, BackupError> {
        self.inner.wrap.wrap(treat, piece)
    }

    /// Stores a piece of the file `name`; its pieces may come from several threads.
    ///
    /// # Errors
    /// What the codec, the repository or the stream says; [`BackupError::Interrupted`] after
    /// [`Self::halt`].
    pub(super) fn put(&self, name: &str, treat: Treat, piece: Piece) -> Result<(), BackupError> {
        let piece = self.wrap(treat, piece)?;
        self.put_wrapped(name, treat, piece)
    }

    /// As [`Self::put`], for what [`Self::wrap`] gave.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(super) fn put_wrapped(
        &self,
        name: &str,
        treat: Treat,
        piece: Piece,
    ) -> Result<(), BackupError> {
        let path = self.inner.wrap.path(name, treat);
        let wrapped = self.inner.wrap.wrapping(treat).is_some();
        let bytes = piece.data.len() as u64;
        match &self.inner.out {
            Out::Objects(upload) => {
                let at = if wrapped {
                    self.take_place(&path, piece.index, bytes)?
                } else {
                    piece.offset + piece.hole
                };
                let parts = xbstream::frame(&path, at, piece.hole, piece.data, piece.last)?;
                let whole = piece.last && piece.index == 0;
                if whole && self.packs() && packed::may_be(name) {
                    upload.put_packed(&path, parts)?;
                } else {
                    upload.put(&path, piece.index, piece.offset, parts)?;
                }
                Ok(())
            }
            Out::Streams(streams) => {
                let entry = ObjectEntry {
                    index: piece.index,
                    offset: piece.offset,
                    at: None,
                    pack: None,
                    bytes,
                    digest: Some(Digest::of(&piece.data)),
                };
                let (crc, data) = (xbstream::crc(&piece.data), piece.data);
                let chunk = |at| Chunk { at, crc, data };
                self.stream(streams, &path, wrapped, entry, piece.last, chunk)
            }
        }
    }

    /// Waits for the turn of piece `index` and gives the place where its `bytes` bytes begin.
    fn take_place(&self, path: &str, index: u64, bytes: u64) -> Result<u64, BackupError> {
        let mut turns = self.wait_for(path, index)?;
        let turn = turns.files.entry(path.to_owned()).or_default();
        let at = turn.stored;
        turn.starts.insert(index, at);
        turn.stored += bytes;
        turn.next += 1;
        drop(turns);
        self.inner.changed.notify_all();
        Ok(at)
    }

    /// Writes one piece into its file's stream. The turn is kept until it is written.
    fn stream(
        &self,
        streams: &Streams,
        path: &str,
        wrapped: bool,
        mut entry: ObjectEntry,
        last: bool,
        chunk: impl FnOnce(u64) -> Chunk,
    ) -> Result<(), BackupError> {
        let mut turns = self.wait_for(path, entry.index)?;
        let turn = turns.files.entry(path.to_owned()).or_default();
        let at = turn.stored;
        let stream = *turn.stream.get_or_insert_with(|| streams.assign());
        drop(turns);
        if wrapped {
            entry.at = Some(StoredOffset(at));
        }
        let bytes = entry.bytes;
        let written = streams.write(stream, path, &chunk(at), last);
        if let Err(error) = written {
            self.halt();
            return Err(error);
        }
        let mut turns = self.lock();
        let turn = turns.files.entry(path.to_owned()).or_default();
        turn.stored += bytes;
        turn.next += 1;
        turn.entries.push(entry);
        drop(turns);
        self.inner.changed.notify_all();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, FileOrder> {
        self.inner.turns.locked()
    }

    fn wait_for(&self, path: &str, index: u64) -> Result<MutexGuard<'_, FileOrder>, BackupError> {
        let not_yet = |turns: &mut FileOrder| {
            let next = turns.files.get(path).map_or(0, |turn| turn.next);
            !turns.halted && next != index
        };
        let turns = self.inner.changed.waited_while(self.lock(), not_yet);
        if turns.halted {
            return Err(BackupError::Interrupted);
        }
        Ok(turns)
    }

    /// Wakes everybody who waits for a turn: it will not come.
    pub(super) fn halt(&self) {
        self.lock().halted = true;
        self.inner.changed.notify_all();
    }

    /// Waits until the file `name`, of `bytes` bytes, is stored, and gives its entry.
    ///
    /// # Errors
    /// The first failure of the repository.
    pub(super) fn entry(
        &self,
        name: &str,
        treat: Treat,
        role: FileRole,
        bytes: u64,
    ) -> Result<FileEntry, BackupError> {
        let path = self.inner.wrap.path(name, treat);
        let turn = self.lock().files.remove(&path).unwrap_or_default();
        let objects = match &self.inner.out {
            Out::Objects(upload) => {
                let mut objects = upload.finish_file(&path)?;
                for object in &mut objects {
                    object.at = turn.starts.get(&object.index).copied().map(StoredOffset);
                }
                objects
            }
            Out::Streams(_) => turn.entries,
        };
        Ok(FileEntry {
            path: StoredPath::new(path),
            role,
            bytes,
            wrapping: self.inner.wrap.wrapping(treat),
            objects,
        })
    }

    /// Puts the manifest: now the backup is finished.
    ///
    /// # Errors
    /// Then it is not.
    pub(super) fn finish(&self, manifest: &Manifest) -> Result<(), BackupError> {
        match &self.inner.out {
            Out::Objects(upload) => Ok(upload.clone().finish(manifest)?),
            Out::Streams(streams) => streams.finish(manifest),
        }
    }

    /// Makes sure that nothing of a failed backup looks finished.
    pub(super) fn abort(&self) {
        match &self.inner.out {
            Out::Objects(upload) => {
                if let Err(left) = upload.clone().abort() {
                    tracing::error!("{left}");
                }
            }
            Out::Streams(streams) => streams.spoil(),
        }
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
