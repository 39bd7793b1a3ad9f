//! One file of the new backup: its pieces in ascending order, wrapped, framed and uploaded, or
//! copied.

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

/// A file while it is written.
pub(super) struct Writer<'a> {
    upload: &'a Upload,
    wrap: Wrap<'a>,
    path: String,
    index: u64,
    /// Length of the stored file so far, in bytes.
    stored: u64,
    /// True if it may share an object with other files.
    packs: bool,
    /// Offset of a hole that is not in an object yet.
    hole: Option<u64>,
    /// Offset of each object in the stored file.
    starts: Vec<u64>,
    ended: bool,
    /// Number of objects that were copied within the store, and their bytes.
    pub(super) copied_objects: u64,
    pub(super) copied_bytes: u64,
    /// Bytes of files that were moved between packs, or out of one.
    pub(super) moved_bytes: u64,
}

impl<'a> Writer<'a> {
    /// Creates a writer; `packs`: small files share objects.
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

    /// Adds a hole from `offset` to the next piece. Only for files that are not wrapped.
    pub(super) fn hole(&mut self, offset: u64) {
        self.hole.get_or_insert(offset);
    }

    /// Adds the next bytes, which are already wrapped.
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

    /// Returns whether the object `entry`, of the same file and with the same wrapping, can be
    /// copied here.
    pub(super) fn fits(&self, entry: &ObjectEntry) -> bool {
        self.wrap.is_none() || entry.at == Some(StoredOffset(self.stored))
    }

    /// Adds a copy of an object that [`Self::fits`]. `stored` is the length of its payload.
    pub(super) fn copy(
        &mut self,
        from: &BackupName,
        entry: &ObjectEntry,
        stored: u64,
        last: bool,
    ) -> Result<(), ConsolidateError> {
        if let Some(begins) = self.hole.take() {
            // The hole is not followed by a range, so it gets an object of its own.
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

    /// Ends the file, which has `bytes` bytes.
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

    /// Ends the file and waits for its objects. If files share objects, it must be called after all
    /// files were added that can be in the same pack, because waiting uploads the pack.
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
