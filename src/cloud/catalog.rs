//! The objects of a backup, counted per file: one entry a file, however many objects it has.

use crate::store::BackupFault;
use std::collections::{BTreeMap, BTreeSet};

use super::error::CloudError;
use super::marks_finished;
use crate::counted;
use crate::manifest::{
    BackupName, CLAIM, FileEntry, Layout, MANIFEST, Manifest, is_document, object_name, packed,
    split_object_name,
};
use crate::store::{Repository, ShortNames, StoreError};

/// The objects of one file, as listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Objects {
    pub(super) count: u64,
    /// The highest index.
    pub(super) last: u64,
    /// Length of the largest object, in bytes.
    pub(super) largest: u64,
    /// Bytes of all objects. The sum saturates.
    pub(super) bytes: u64,
}

/// The files of a backup.
#[derive(Debug)]
pub(super) struct Catalog {
    /// Whether the backup is finished: an lsnap backup by its manifest, any other by a file that
    /// marks it.
    pub(super) finished: bool,
    /// The first object whose name is not an object name of a backup.
    pub(super) first_unknown: Option<String>,
    /// The number of such objects.
    pub(super) unknown: u64,
    pub(super) files: BTreeMap<String, Objects>,
    /// The manifest, if lsnap wrote the objects. Every object is compared with it.
    pub(super) manifest: Option<Manifest>,
}

impl Catalog {
    /// Lists the objects of a backup.
    pub(super) fn read(repository: &Repository, name: &BackupName) -> Result<Self, CloudError> {
        let mut files: BTreeMap<String, Objects> = BTreeMap::new();
        let (mut first_unknown, mut unknown) = (None, 0);
        repository.bucket().each(name.as_str(), |object, bytes| {
            let Some((path, index)) = split_object_name(object) else {
                first_unknown.get_or_insert_with(|| object.to_owned());
                unknown += 1;
                return true;
            };
            let file = match files.get_mut(path) {
                Some(file) => file,
                None => files.entry(path.to_owned()).or_default(),
            };
            file.count += 1;
            file.last = file.last.max(index);
            file.largest = file.largest.max(bytes);
            file.bytes = file.bytes.saturating_add(bytes);
            true
        })?;
        if files.is_empty() {
            return Err(StoreError::Backup(BackupFault::NotFound {
                name: name.to_string(),
                url: repository.url().to_owned(),
                hint: format!("there are no objects under {name}/"),
            })
            .into());
        }
        let manifest = own_manifest(repository, name, &files)?;
        if let Some(manifest) = &manifest {
            let paths = manifest.files.iter().map(|f| f.path.as_stored());
            for (short, path) in ShortNames::of(paths).iter() {
                if let Some(objects) = files.remove(short) {
                    files.insert(path.to_owned(), objects);
                }
            }
        }
        let mut catalog = Self {
            // only its manifest finishes a backup that lsnap began
            finished: if files.contains_key(CLAIM) {
                files.contains_key(MANIFEST)
            } else {
                files.keys().any(|path| marks_finished(path))
            },
            files,
            manifest,
            first_unknown,
            unknown,
        };
        catalog.unpack(name)?;
        Ok(catalog)
    }

    /// Replaces packs by the files in them: from here on, a file in a pack counts as a file of one
    /// object. The store finds its bytes in the pack.
    fn unpack(&mut self, name: &BackupName) -> Result<(), CloudError> {
        let Some(manifest) = self.manifest.as_ref().filter(|m| packed::any(&m.files)) else {
            return Ok(());
        };
        let packed = |file: &&FileEntry| file.objects.iter().any(|o| o.pack.is_some());
        let stored = packed::stored_objects(&manifest.files);
        for file in manifest.files.iter().filter(packed) {
            let Some(expected) = stored.get(file.path.as_stored()).and_then(|o| o.first()) else {
                continue;
            };
            let found = self
                .files
                .get(file.path.as_stored())
                .map(|o| (o.last, o.bytes));
            if let Some(found) = found
                && found != (0, *expected)
            {
                return Err(CloudError::BadObject {
                    object: format!("{name}/{}", object_name(file.path.as_stored(), found.0)),
                    what: format!(
                        "{} found, the manifest has one object of {}, which files share",
                        counted::count(found.1, "byte"),
                        counted::count(expected, "byte")
                    ),
                });
            }
        }
        // The files of a missing pack count as missing.
        let is_there = |object: &str| {
            let path = split_object_name(object).map_or("", |(path, _)| path);
            self.files.contains_key(path)
        };
        let mut shared = Vec::new();
        for file in manifest.files.iter().filter(packed) {
            for object in &file.objects {
                if object.pack.as_ref().is_some_and(|p| is_there(&p.object)) {
                    shared.push((file.path.as_stored().to_owned(), object.bytes));
                }
            }
        }
        for (path, bytes) in shared {
            let own = Objects {
                count: 1,
                last: 0,
                largest: bytes,
                bytes,
            };
            self.files.insert(path, own);
        }
        Ok(())
    }

    /// Keeps only the files in `wanted`.
    pub(super) fn pick(&mut self, name: &BackupName, wanted: &[String]) -> Result<(), CloudError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let entries = self.entries();
        for file in wanted {
            if !self.files.contains_key(file) && !entries.contains_key(file.as_str()) {
                let longer = format!("{file}.");
                let near = self.files.keys().find(|path| path.starts_with(&longer));
                return Err(CloudError::NoFile {
                    name: name.clone(),
                    file: file.clone(),
                    hint: near.map_or(String::new(), |path| format!(" (there is {path})")),
                });
            }
        }
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        self.files.retain(|path, _| wanted.contains(path.as_str()));
        if let Some(manifest) = &mut self.manifest {
            manifest
                .files
                .retain(|f| wanted.contains(f.path.as_stored()));
        }
        Ok(())
    }

    /// Checks that every file has all indices from 0 to its highest one.
    pub(super) fn check_dense(
        &self,
        repository: &Repository,
        name: &BackupName,
    ) -> Result<(), CloudError> {
        // keys are distinct, so a count of `last + 1` means that no index is missing
        let sparse = self.files.iter().find(|(_, o)| o.last >= o.count);
        let Some((path, objects)) = sparse else {
            return Ok(());
        };
        let mut found = BTreeSet::new();
        repository.bucket().each(name.as_str(), |object, _| {
            if let Some((of, index)) = split_object_name(object)
                && of == path
            {
                found.insert(index);
            }
            true
        })?;
        let missing = (0..).find(|index| !found.contains(index)).unwrap_or(0);
        Err(CloudError::MissingObject {
            object: format!("{name}/{}", object_name(path, missing)),
            what: format!(
                "{path} has {}, but one with index {}",
                counted::count(objects.count, "object"),
                objects.last
            ),
        })
    }

    /// Checks that the backup has exactly the files of its manifest (of those that were picked)
    /// with as many objects each. Without a manifest, nothing is checked.
    pub(super) fn compare_with_manifest(&self, name: &BackupName) -> Result<(), CloudError> {
        let Some(manifest) = &self.manifest else {
            return Ok(());
        };
        for entry in &manifest.files {
            let (count, last) = self
                .files
                .get(entry.path.as_stored())
                .map_or((0, 0), |o| (o.count, o.last));
            let expected = entry.objects.len() as u64;
            // `check_dense` reports files with missing indices
            if count < expected && last < count.max(1) {
                let object = entry.objects.get(usize::try_from(count).unwrap_or(0));
                return Err(StoreError::Missing {
                    object: packed::named(name, entry, count),
                    bytes: object.map_or(0, |o| o.bytes),
                }
                .into());
            }
        }
        let known: BTreeMap<&str, u64> = manifest
            .files
            .iter()
            .map(|f| (f.path.as_stored(), f.objects.len() as u64))
            .collect();
        for (path, objects) in &self.files {
            let expected = if is_document(path) {
                1
            } else {
                known.get(path.as_str()).copied().unwrap_or(0)
            };
            if objects.last >= expected {
                return Err(CloudError::BadObject {
                    object: format!("{name}/{}", object_name(path, objects.last)),
                    what: format!("the manifest has {expected} object(s) of {path}"),
                });
            }
        }
        Ok(())
    }

    /// Returns the manifest's entries by path.
    pub(super) fn entries(&self) -> BTreeMap<&str, &FileEntry> {
        let files = self.manifest.iter().flat_map(|m| &m.files);
        files.map(|f| (f.path.as_stored(), f)).collect()
    }
}

/// Returns the manifest of a backup that lsnap stored as objects. The manifest of a streamed backup
/// (`lsnap backup --stream | lsnap cloud put`) describes the stream's files, not objects; it is a
/// file like any other, with its end chunk in an object of its own.
fn own_manifest(
    repository: &Repository,
    name: &BackupName,
    files: &BTreeMap<String, Objects>,
) -> Result<Option<Manifest>, CloudError> {
    if files.get(MANIFEST).is_none_or(|objects| objects.last > 0) {
        return Ok(None);
    }
    let manifest = repository.manifest(name)?;
    Ok((manifest.layout == Layout::Objects).then_some(manifest))
}
