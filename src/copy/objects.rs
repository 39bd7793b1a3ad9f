//! The objects of a backup in the store, with all digests by which their bytes are checked.

use crate::manifest::{Digest, FileEntry, Finding, object_name};
use crate::store::StoreError;
use std::collections::BTreeMap;
use std::ops::Range;

/// An object in the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredObject<'a> {
    /// Its name in the backup.
    pub(super) name: String,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// Its parts, which cover all of it.
    parts: Vec<Part<'a>>,
}

/// A part of an object: the whole object, or a file in a pack.
#[derive(Debug, PartialEq, Eq)]
struct Part<'a> {
    path: &'a str,
    range: Range<u64>,
    digest: Option<Digest>,
}

/// Returns the objects of the files of a backup, by name. A pack is one object. The manifest was
/// checked: packs have no gaps.
pub(super) fn objects_of(files: &[FileEntry]) -> Vec<StoredObject<'_>> {
    let mut all: BTreeMap<String, StoredObject<'_>> = BTreeMap::new();
    for file in files {
        let path = file.path.as_stored();
        for entry in &file.objects {
            let (name, from) = match &entry.pack {
                None => (object_name(path, entry.index), 0),
                Some(place) => (place.object.clone(), place.from),
            };
            let new = || StoredObject {
                name: name.clone(),
                bytes: 0,
                parts: Vec::new(),
            };
            let object = all.entry(name.clone()).or_insert_with(new);
            object.bytes = object.bytes.saturating_add(entry.bytes);
            object.parts.push(Part {
                path,
                range: from..from.saturating_add(entry.bytes),
                digest: entry.digest,
            });
        }
    }
    all.into_values().collect()
}

impl StoredObject<'_> {
    /// Checks every digest of the object. `key` is its name in an error.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(super) fn check(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let damaged = |what| StoreError::Damaged {
            object: key.to_owned(),
            what,
        };
        if bytes.len() as u64 != self.bytes {
            let found = format!("length found {}", bytes.len());
            return Err(damaged(Finding::new(found, self.bytes)));
        }
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        for part in &self.parts {
            let own = bytes.get(at(part.range.start)..at(part.range.end));
            let found = own.map(Digest::of);
            if found.is_none() || found != part.digest {
                let text = |digest: Option<Digest>| {
                    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
                };
                let found = format!(
                    "digest of {} at byte {} found {}",
                    part.path,
                    part.range.start,
                    text(found)
                );
                return Err(damaged(Finding::new(found, text(part.digest))));
            }
        }
        Ok(())
    }
}
