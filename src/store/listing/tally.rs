//! Counting the objects under a backup's name.

use crate::counted::count;
use crate::manifest::document::{CLAIM, DELETING, MANIFEST, SUMMARY, is_document};
use crate::manifest::{BackupName, Summary, split_object_name};
use crate::store::listing::foreign;
use crate::store::objects::own::{Belongs, is_xtrabackups};
use chrono::{DateTime, Utc};

pub(super) fn compare(
    summary: &Summary,
    name: &BackupName,
    tally: &Tally,
    manifest_bytes: u64,
) -> Result<(), String> {
    if summary.name != *name {
        return Err(format!(
            "it says that it is {}: the directory was renamed or copied, give it its name back",
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
    if tally.file_objects < summary.objects || tally.file_bytes < summary.stored_bytes {
        return Err(format!(
            "objects are missing: found {} of {}, expected {} of {}",
            tally.file_objects,
            count(tally.file_bytes, "byte"),
            summary.objects,
            count(summary.stored_bytes, "byte")
        ));
    }
    Ok(())
}

/// What was counted under one backup's name.
#[derive(Debug, Default)]
pub(in crate::store) struct Tally {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) chunks: u64,
    /// Objects of the backup's files, and their bytes: lsnap's own documents would make up in number
    /// for lost ones.
    pub(super) file_objects: u64,
    pub(super) file_bytes: u64,
    pub(super) manifest_bytes: Option<u64>,
    pub(super) manifest_time: Option<DateTime<Utc>>,
    pub(super) claim: bool,
    pub(super) summary: bool,
    pub(super) deleting: bool,
    /// The manifest lies here as chunks of a stream (`lsnap backup --stream | lsnap cloud put`): it
    /// describes that stream, not these objects.
    pub(super) streamed: bool,
    pub(super) xtrabackup: bool,
    pub(super) tablespaces: bool,
    /// Something that xtrabackup, or mariadb-backup, writes when it is nearly done.
    pub(super) info: bool,
    /// A tablespace file.
    pub(super) innodb: bool,
    pub(super) newest: Option<DateTime<Utc>>,
    pub(super) plain: foreign::Readable,
    /// The first key that is part of another backup or repository.
    pub(super) nested: Option<String>,
    /// The first key that is nobody's.
    pub(super) strange: Option<String>,
    /// Why the rest is not known.
    pub(super) unlistable: Option<String>,
    /// The summary of a backup that is not whole.
    pub(super) said: Option<Box<Summary>>,
}

impl Tally {
    pub(in crate::store) fn unlistable(reason: String) -> Self {
        Self {
            unlistable: Some(reason),
            ..Self::default()
        }
    }

    /// Whether it has what only a backup has, at its own top.
    pub(super) const fn is_a_backup(&self) -> bool {
        self.manifest_bytes.is_some() || self.claim || self.deleting || self.xtrabackup
    }

    /// Of a backup whose manifest is a void: whether there is anything besides.
    pub(super) const fn has_more_than_a_void(&self) -> bool {
        self.objects > 1
    }

    /// What forbids to delete everything under the name.
    pub(super) fn unexplained(&self, name: &BackupName) -> Option<String> {
        let key = self.nested.as_ref().or(self.strange.as_ref())?;
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
            Belongs::Strange => {
                self.strange.get_or_insert_with(|| object.to_owned());
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
            // one that lsnap stores is a single object
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
