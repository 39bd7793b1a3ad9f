//! A stored file of a chain, and the memory that its objects need.

use super::ReadError;
use crate::manifest::{FileEntry, Finding, Manifest, ObjectEntry, SpaceFile};
use crate::store::windows;
use std::error::Error;

/// A file of one member of the chain.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a> {
    /// The number of the member, counted from the newest.
    pub(crate) member: usize,
    /// Its manifest.
    pub(crate) manifest: &'a Manifest,
    /// The file in it.
    pub(crate) entry: &'a FileEntry,
}

impl<'a> Stored<'a> {
    /// Returns an error about this file.
    pub(crate) fn damaged(&self, finding: impl Into<Finding>) -> ReadError {
        ReadError::damaged(&self.manifest.name, &self.entry.path, finding)
    }

    /// Returns an error about this file that was caused by an error of a lower layer.
    pub(crate) fn undecodable(&self, error: impl Error + Send + Sync + 'static) -> ReadError {
        self.damaged(error.to_string()).because(error)
    }

    /// Returns the object with this index.
    pub(crate) fn object(&self, index: usize) -> Result<&ObjectEntry, ReadError> {
        self.entry
            .objects
            .get(index)
            .ok_or_else(|| self.damaged(format!("object {index} is not in the manifest")))
    }

    /// Returns the tablespace file that the file is, or is a delta of.
    pub(crate) fn space(&self) -> Result<&'a SpaceFile, ReadError> {
        let space = self.entry.role.space();
        space.ok_or_else(|| self.damaged("it is not a file of a tablespace"))
    }

    /// Returns whether all objects have digests, which prove that the bytes are those that were
    /// stored.
    pub(crate) fn is_proven(&self) -> bool {
        let mut objects = self.entry.objects.iter();
        objects.all(|object| object.digest.is_some())
    }

    /// Returns the memory that an object needs in bytes: its stored bytes, and its unwrapped bytes.
    fn weight(&self, index: usize, object: &ObjectEntry) -> u64 {
        let plain = match self.entry.wrapping {
            Some(_) => self.end_of(index).saturating_sub(object.offset),
            None => 0,
        };
        object.bytes.saturating_add(plain)
    }

    /// Returns the offset of the end of an object in bytes: where the next one begins, or the end
    /// of the file.
    pub(crate) fn end_of(&self, index: usize) -> u64 {
        self.entry
            .objects
            .get(index + 1)
            .map_or(self.entry.bytes, |next| next.offset)
    }
}

/// Returns the memory that the largest object of these backups needs in bytes (at least 1).
pub(crate) fn heaviest<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> u64 {
    let files = manifests.into_iter().flat_map(|manifest| {
        let stored = |entry| Stored {
            member: 0,
            manifest,
            entry,
        };
        manifest.files.iter().map(stored)
    });
    let weights = files.flat_map(|stored| {
        let objects = stored.entry.objects.iter().enumerate();
        objects.map(move |(index, object)| stored.weight(index, object))
    });
    weights.max().unwrap_or(1).max(1)
}

/// Returns how many workers can each hold the largest object of these backups twice: the store may
/// hold the bytes that it receives while a worker holds those that it returned. The memory that the
/// store reserves for packs is not available to workers.
pub(crate) fn fitting<'m>(
    manifests: impl IntoIterator<Item = &'m Manifest> + Clone,
    memory: u64,
) -> usize {
    let available = memory.saturating_sub(windows::reserved_bytes(manifests.clone(), memory));
    usize::try_from(available / heaviest(manifests).saturating_mul(2))
        .unwrap_or(usize::MAX)
        .max(1)
}
