//! The destination of a backup's bytes: objects of a repository, or xbstreams; plain, or compressed
//! and encrypted.
//!
//! Pieces of a file are compressed and encrypted concurrently by the workers that read them: each
//! becomes whole frames and whole xbcrypt chunks (`docs/format/wrapping.md`). The offset of a piece
//! in the stored file is known only after all earlier pieces have been wrapped, and readers of a
//! stream expect the chunks of one file in order. So in these cases every piece waits for the
//! earlier ones, after the wrapping and before the output. Ranges are assigned in order, and a
//! waiting worker holds nothing that an earlier one needs, so the wait is short and finite;
//! [`Sink::halt`] wakes all waiting workers if a piece will not come.
//!
//! Files that are neither wrapped nor in a stream have no order, and their pieces don't wait.

use super::error::BackupError;
use super::stream::{Chunk, Streams};
use super::wrap::{Piece, Wrap, WrapMode};
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::innodb::Lsn;
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

/// The destination of the bytes; clones share it.
#[derive(Clone)]
pub(super) struct Sink {
    inner: Arc<Inner>,
}

struct Inner {
    out: Out,
    wrap: Wrap,
    order: Mutex<FileOrder>,
    changed: Condvar,
    /// Whether small files share objects.
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

/// The progress of a file.
#[derive(Default)]
struct FileProgress {
    /// The index of the next piece.
    next: u64,
    /// Length of the file as stored so far, in bytes.
    stored: u64,
    /// The offset of each piece in the stored file, by index (wrapped files in a repository).
    starts: HashMap<u64, u64>,
    /// The pieces written to a stream.
    entries: Vec<ObjectEntry>,
    /// The index of the stream.
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
                order: Mutex::default(),
                changed: Condvar::new(),
                packs: AtomicBool::new(false),
            }),
        }
    }

    /// Sets the compression, unless it was set before. No file may have been put yet.
    pub(super) fn compress(&self, how: Compression) {
        self.inner.wrap.compress(how);
    }

    /// Returns the compression of files.
    pub(super) fn compression(&self) -> Option<Compression> {
        self.inner.wrap.compression()
    }

    /// Returns whether pieces of a file must be put in the order of their indices.
    pub(super) fn ordered(&self) -> bool {
        self.inner.wrap.is_any() || matches!(self.inner.out, Out::Streams(_))
    }

    /// Returns whether holes can be sent as sparse chunks. `mbstream` doesn't support them, and
    /// wrapped files have no holes; objects are read by lsnap or `xbstream`, which support them.
    pub(super) fn takes_holes(&self) -> bool {
        !self.ordered()
    }

    pub(super) fn layout(&self) -> Layout {
        match self.inner.out {
            Out::Objects(_) => Layout::Objects,
            Out::Streams(_) => Layout::Stream,
        }
    }

    /// Returns the directory that the backup is written to; `None` for a store without directory,
    /// and for a stream, whose destination is unknown.
    pub(super) fn directory(&self) -> Option<&Path> {
        match &self.inner.out {
            Out::Objects(upload) => upload.directory(),
            Out::Streams(_) => None,
        }
    }

    /// Packs small tablespace files into shared objects from now on (not in a stream).
    pub(super) fn pack_small_files(&self) {
        self.inner.packs.store(true, Ordering::Release);
    }

    /// Returns whether small files are packed.
    pub(super) fn packs(&self) -> bool {
        self.inner.packs.load(Ordering::Acquire)
    }

    /// Buffers all puts until [`Self::unstage`], in memory and in an unnamed file in `directory`,
    /// so that no put waits for a repository.
    pub(super) fn stage(&self, directory: &Path) {
        if let Out::Objects(upload) = &self.inner.out {
            upload.stage(directory);
        }
    }

    /// Ends [`Self::stage`].
    pub(super) fn unstage(&self) {
        if let Out::Objects(upload) = &self.inner.out {
            upload.unstage();
        }
    }

    /// Compresses and encrypts a piece.
    ///
    /// # Errors
    /// The error of the codec.
    pub(super) fn wrap(&self, wrap_mode: WrapMode, piece: Piece) -> Result<Piece, BackupError> {
        self.inner.wrap.wrap(wrap_mode, piece)
    }

    /// Stores a piece of the file `name`; pieces may come from several threads.
    ///
    /// # Errors
    /// Errors of the codec, the repository or the stream; [`BackupError::Interrupted`] after
    /// [`Self::halt`].
    pub(super) fn put(
        &self,
        name: &str,
        wrap_mode: WrapMode,
        piece: Piece,
    ) -> Result<(), BackupError> {
        let piece = self.wrap(wrap_mode, piece)?;
        self.put_wrapped(name, wrap_mode, piece)
    }

    /// The same as [`Self::put`], for the result of [`Self::wrap`].
    ///
    /// # Errors
    /// The same as [`Self::put`].
    pub(super) fn put_wrapped(
        &self,
        name: &str,
        wrap_mode: WrapMode,
        piece: Piece,
    ) -> Result<(), BackupError> {
        let path = self.inner.wrap.path(name, wrap_mode);
        let wrapped = self.inner.wrap.wrapping(wrap_mode).is_some();
        let bytes = piece.data.len() as u64;
        match &self.inner.out {
            Out::Objects(upload) => {
                let at = if wrapped {
                    self.assign_offset(&path, piece.index, bytes)?
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

    /// Waits for the pieces before `index`, and returns the offset of its `bytes` bytes in the
    /// stored file.
    fn assign_offset(&self, path: &str, index: u64, bytes: u64) -> Result<u64, BackupError> {
        let mut order = self.wait_for(path, index)?;
        let file = order.files.entry(path.to_owned()).or_default();
        let at = file.stored;
        file.starts.insert(index, at);
        file.stored += bytes;
        file.next += 1;
        drop(order);
        self.inner.changed.notify_all();
        Ok(at)
    }

    /// Writes one piece into its file's stream. The next piece waits until it is written.
    fn stream(
        &self,
        streams: &Streams,
        path: &str,
        wrapped: bool,
        mut entry: ObjectEntry,
        last: bool,
        chunk: impl FnOnce(u64) -> Chunk,
    ) -> Result<(), BackupError> {
        let mut order = self.wait_for(path, entry.index)?;
        let file = order.files.entry(path.to_owned()).or_default();
        let at = file.stored;
        let stream = *file.stream.get_or_insert_with(|| streams.assign());
        drop(order);
        if wrapped {
            entry.at = Some(StoredOffset(at));
        }
        let bytes = entry.bytes;
        let written = streams.write(stream, path, &chunk(at), last);
        if let Err(error) = written {
            self.halt();
            return Err(error);
        }
        let mut order = self.lock();
        let file = order.files.entry(path.to_owned()).or_default();
        file.stored += bytes;
        file.next += 1;
        file.entries.push(entry);
        drop(order);
        self.inner.changed.notify_all();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, FileOrder> {
        self.inner.order.locked()
    }

    fn wait_for(&self, path: &str, index: u64) -> Result<MutexGuard<'_, FileOrder>, BackupError> {
        let is_waiting = |order: &mut FileOrder| {
            let next = order.files.get(path).map_or(0, |file| file.next);
            !order.halted && next != index
        };
        let order = self.inner.changed.waited_while(self.lock(), is_waiting);
        if order.halted {
            return Err(BackupError::Interrupted);
        }
        Ok(order)
    }

    /// Wakes all workers that wait for an earlier piece, which will not come.
    pub(super) fn halt(&self) {
        self.lock().halted = true;
        self.inner.changed.notify_all();
    }

    /// Waits until the file `name`, of `bytes` bytes, is stored, and returns its entry.
    ///
    /// # Errors
    /// The first error of the repository.
    pub(super) fn entry(
        &self,
        name: &str,
        wrap_mode: WrapMode,
        role: FileRole,
        bytes: u64,
    ) -> Result<FileEntry, BackupError> {
        let path = self.inner.wrap.path(name, wrap_mode);
        let file = self.lock().files.remove(&path).unwrap_or_default();
        let objects = match &self.inner.out {
            Out::Objects(upload) => {
                let mut objects = upload.finish_file(&path)?;
                for object in &mut objects {
                    object.at = file.starts.get(&object.index).copied().map(StoredOffset);
                }
                objects
            }
            Out::Streams(_) => file.entries,
        };
        Ok(FileEntry {
            path: StoredPath::new(path),
            role,
            bytes,
            wrapping: self.inner.wrap.wrapping(wrap_mode),
            objects,
        })
    }

    /// Puts the manifest, which completes the backup.
    ///
    /// # Errors
    /// Errors of the repository or the stream; the backup is then incomplete.
    pub(super) fn finish(&self, manifest: &Manifest) -> Result<(), BackupError> {
        match &self.inner.out {
            Out::Objects(upload) => Ok(upload.clone().finish(manifest)?),
            Out::Streams(streams) => streams.finish(Some(manifest)),
        }
    }

    /// Completes a stream without a manifest, as a backup of xtrabackup.
    ///
    /// # Errors
    /// Errors of the stream; [`BackupError::LsnInRepository`] in a repository, where no reader would
    /// find the backup.
    pub(super) fn finish_alone(&self, base: Lsn) -> Result<(), BackupError> {
        match &self.inner.out {
            Out::Objects(_) => Err(BackupError::LsnInRepository { lsn: base }),
            Out::Streams(streams) => streams.finish(None),
        }
    }

    /// Ensures that a failed backup doesn't look complete: removes the uploaded objects, or cuts
    /// off the streams.
    pub(super) fn abort(&self) {
        match &self.inner.out {
            Out::Objects(upload) => {
                if let Err(left) = upload.clone().abort() {
                    tracing::error!("{left}");
                }
            }
            Out::Streams(streams) => streams.cut_off(),
        }
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
