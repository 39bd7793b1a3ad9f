//! Counts of the objects under a backup's name.

use crate::counted::count;
use crate::manifest::document::{CLAIM, DELETING, MANIFEST, SUMMARY, is_document};
use crate::manifest::{BackupName, Summary, split_object_name};
use crate::store::listing::foreign;
use crate::store::objects::own::{Belongs, is_xtrabackups};
use chrono::{DateTime, Utc};

pub(super) fn compare(
    summary: &Summary,
    name: &BackupName,
    counts: &ObjectCounts,
    manifest_bytes: u64,
) -> Result<(), String> {
    if summary.name != *name {
        return Err(format!(
            "its manifest is of {}: the directory was renamed or copied, rename it back",
            summary.name
        ));
    }
    if summary.manifest_bytes != manifest_bytes {
        return Err(format!(
            "its {MANIFEST} has {manifest_bytes}, expected {}",
            summary.manifest_bytes,
            manifest_bytes = count(manifest_bytes, "byte")
        ));
    }
    if counts.file_objects < summary.objects || counts.file_bytes < summary.stored_bytes {
        return Err(format!(
            "objects are missing: found {} of {}, expected {} of {}",
            counts.file_objects,
            count(counts.file_bytes, "byte"),
            summary.objects,
            count(summary.stored_bytes, "byte")
        ));
    }
    Ok(())
}

/// The counts of the objects under a backup's name.
#[derive(Debug, Default)]
pub(super) struct ObjectCounts {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) chunks: u64,
    /// Objects of the backup's files, and their bytes. Without lsnap's own documents, which could
    /// hide the loss of the same number of objects.
    pub(super) file_objects: u64,
    pub(super) file_bytes: u64,
    pub(super) manifest_bytes: Option<u64>,
    pub(super) manifest_time: Option<DateTime<Utc>>,
    pub(super) claim: bool,
    pub(super) summary: bool,
    pub(super) deleting: bool,
    /// The manifest is stored as chunks of a stream (`lsnap backup --stream | lsnap cloud put`): it
    /// describes that stream, not these objects.
    pub(super) streamed: bool,
    pub(super) xtrabackup: bool,
    pub(super) tablespaces: bool,
    /// It has a file that xtrabackup or mariadb-backup writes near the end.
    pub(super) info: bool,
    /// It has a tablespace file.
    pub(super) innodb: bool,
    pub(super) newest: Option<DateTime<Utc>>,
    pub(super) plain: foreign::Readable,
    /// The first key that is part of another backup or repository.
    pub(super) nested: Option<String>,
    /// The first key that doesn't belong to any backup.
    pub(super) unknown: Option<String>,
    /// The reason why the directory can't be listed.
    pub(super) unlistable: Option<String>,
    /// The summary of a backup that is not complete.
    pub(super) other_summary: Option<Box<Summary>>,
}

impl ObjectCounts {
    pub(super) fn unlistable(reason: String) -> Self {
        Self {
            unlistable: Some(reason),
            ..Self::default()
        }
    }

    /// Returns whether it has objects that only a backup has.
    pub(super) const fn is_a_backup(&self) -> bool {
        self.manifest_bytes.is_some() || self.claim || self.deleting || self.xtrabackup
    }

    /// For a backup whose manifest is a void: returns whether it has other objects.
    pub(super) const fn has_more_than_a_void(&self) -> bool {
        self.objects > 1
    }

    /// Returns a key that prevents the deletion of all objects under the name.
    pub(super) fn unexplained(&self, name: &BackupName) -> Option<String> {
        let key = self.nested.as_ref().or(self.unknown.as_ref())?;
        Some(format!("{name}/{key}"))
    }

    pub(super) fn add(&mut self, object: &str, bytes: u64, time: DateTime<Utc>) {
        self.objects += 1;
        self.newest = self.newest.max(Some(time));
        self.bytes = self.bytes.saturating_add(bytes);
        match Belongs::of(object, bytes) {
            Belongs::Own | Belongs::DirectoryMarker => {}
            Belongs::Nested => {
                self.nested.get_or_insert_with(|| object.to_owned());
                return;
            }
            Belongs::Unknown => {
                self.unknown.get_or_insert_with(|| object.to_owned());
            }
        }
        let Some((path, index)) = split_object_name(object) else {
            return;
        };
        self.chunks += 1;
        if !is_document(path) {
            self.file_objects += 1;
            self.file_bytes = self.file_bytes.saturating_add(bytes);
        }
        match path {
            MANIFEST if index == 0 => {
                self.manifest_bytes = Some(bytes);
                self.manifest_time = Some(time);
            }
            // lsnap stores its manifest as a single object
            MANIFEST => self.streamed = true,
            CLAIM => self.claim = true,
            SUMMARY => self.summary = true,
            DELETING => self.deleting = true,
            _ => {}
        }
        self.plain.look_at(path, index, bytes);
        self.info |= path.contains("backup_info");
        self.innodb |= path.starts_with("ibdata") || path.contains(".ibd");
        self.xtrabackup |= is_xtrabackups(object);
        self.tablespaces |= object.starts_with("xtrabackup_tablespaces.");
    }
}
