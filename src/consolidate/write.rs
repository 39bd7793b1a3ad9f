//! One file of the new backup: pieces in ascending order, wrapped, framed and put; or copied.

use super::ConsolidateError;
use crate::manifest::{
    BackupName, FileEntry, FileRole, ObjectEntry, StoredOffset, StoredPath, Wrap, packed,
};
use crate::store::Upload;
use crate::xbstream;
use bytes::Bytes;

/// Compresses and encrypts bytes of the file that is stored as `path`.
pub(super) fn wrapped(wrap: Wrap<'_>, path: &str, data: Bytes) -> Result<Bytes, ConsolidateError> {
    wrap.wrap(data, usize::MAX)
        .map_err(|source| ConsolidateError::Codec {
            path: path.to_owned(),
            source,
        })
}

/// The file as it is being written.
pub(super) struct Writer<'a> {
    upload: &'a Upload,
    wrap: Wrap<'a>,
    path: String,
    index: u64,
    /// Length of the file as stored so far.
    stored: u64,
    /// Whether it may share an object.
    packs: bool,
    /// Where a hole began that no object holds yet.
    hole: Option<u64>,
    /// Where each object begins in the file as stored.
    starts: Vec<u64>,
    ended: bool,
    /// Objects that were copied inside of the store, and their bytes.
    pub(super) copied_objects: u64,
    pub(super) copied_bytes: u64,
    /// Bytes of files that went from pack to pack, or out of one.
    pub(super) moved_bytes: u64,
}

impl<'a> Writer<'a> {
    /// `packs`: small files share objects.
    pub(super) fn new(upload: &'a Upload, wrap: Wrap<'a>, name: &str, packs: bool) -> Self {
        Self {
            upload,
            path: wrap.path(name),
            wrap,
            packs: packs && packed::may_be(name),
            index: 0,
            stored: 0,
            hole: None,
            starts: Vec::new(),
            ended: false,
            copied_objects: 0,
            copied_bytes: 0,
            moved_bytes: 0,
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) const fn wrap(&self) -> Wrap<'a> {
        self.wrap
    }

    /// The next `length` bytes, from `offset` on, are zeros that need no bytes. Only of a file that is
    /// not wrapped.
    pub(super) fn hole(&mut self, offset: u64) {
        self.hole.get_or_insert(offset);
    }

    /// The next bytes, wrapped already.
    pub(super) fn put(
        &mut self,
        offset: u64,
        data: Bytes,
        last: bool,
    ) -> Result<(), ConsolidateError> {
        let begins = self.hole.take().unwrap_or(offset);
        let at = if self.wrap.is_none() {
            offset
        } else {
            self.stored
        };
        let bytes = data.len() as u64;
        let parts =
            xbstream::frame(&self.path, at, offset - begins, data, last).map_err(|source| {
                ConsolidateError::Path {
                    path: self.path.clone(),
                    source,
                }
            })?;
        if self.packs && last && self.index == 0 {
            self.upload.put_packed(&self.path, parts)?;
        } else {
            self.upload.put(&self.path, self.index, begins, parts)?;
        }
        self.next(at, bytes, last);
        Ok(())
    }

    fn next(&mut self, at: u64, bytes: u64, last: bool) {
        self.starts.push(at);
        self.stored += bytes;
        self.index += 1;
        self.ended |= last;
    }

    /// Whether the object `entry`, of the same file and with the same wrapping, could stand here.
    pub(super) fn fits(&self, entry: &ObjectEntry) -> bool {
        self.wrap.is_none() || entry.at == Some(StoredOffset(self.stored))
    }

    /// The next bytes are those of an object that [`Self::fits`]. `stored` is the length of its
    /// payload.
    pub(super) fn copy(
        &mut self,
        from: &BackupName,
        entry: &ObjectEntry,
        stored: u64,
        last: bool,
    ) -> Result<(), ConsolidateError> {
        if let Some(begins) = self.hole.take() {
            // A hole that no range follows: an object of its own.
            self.hole_object(begins, entry.offset, false)?;
        }
        let packed = entry.pack.is_some();
        if packed && self.packs {
            self.upload.repack(&self.path, from, entry)?;
        } else {
            self.upload
                .copy(&self.path, self.index, entry.offset, from, entry)?;
        }
        if packed {
            self.moved_bytes += entry.bytes;
        } else {
            self.copied_objects += 1;
            self.copied_bytes += entry.bytes;
        }
        let at = if self.wrap.is_none() {
            entry.offset
        } else {
            self.stored
        };
        self.next(at, stored, last);
        Ok(())
    }

    fn hole_object(&mut self, from: u64, to: u64, last: bool) -> Result<(), ConsolidateError> {
        self.hole = Some(from);
        self.put(to, Bytes::new(), last)
    }

    /// Ends the file, of `bytes` bytes.
    pub(super) fn end(&mut self, bytes: u64) -> Result<(), ConsolidateError> {
        if self.ended {
            return Ok(());
        }
        let mut data = Bytes::new();
        if self.index == 0 && !self.wrap.is_none() {
            data = wrapped(self.wrap, &self.path, data)?;
        }
        self.put(bytes, data, true)
    }

    /// Ends the file and waits for its objects. When files share objects, not before all were put that may
    /// share one with it: waiting sends what was collected.
    pub(super) fn finish(
        mut self,
        role: FileRole,
        bytes: u64,
    ) -> Result<FileEntry, ConsolidateError> {
        self.end(bytes)?;
        let mut objects = self.upload.finish_file(&self.path)?;
        if !self.wrap.is_none() {
            for (object, start) in objects.iter_mut().zip(self.starts) {
                object.at = Some(StoredOffset(start));
            }
        }
        Ok(FileEntry {
            path: StoredPath::new(self.path),
            role,
            bytes,
            wrapping: self.wrap.wrapping(),
            objects,
        })
    }
}
