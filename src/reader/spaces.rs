//! The tablespace files of one member, each checked separately.

use super::error::ReadError;
use crate::counted::count;
use crate::delta::Meta;
use crate::innodb::SpaceId;
use crate::manifest::{FileEntry, FileRole, Finding, Manifest, SpaceFile, check_order};
use std::collections::HashMap;

/// A tablespace and the file within it.
pub(super) type Key = (SpaceId, u32);

/// The tablespace files of one member: the index of each in the list of its files.
#[derive(Debug)]
pub(crate) struct Spaces(HashMap<Key, usize>);

/// A member of a chain with its tablespace files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Indexed<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) spaces: &'a Spaces,
}

pub(super) fn damaged(backup: &str, path: &str, what: impl Into<Finding>) -> ReadError {
    ReadError::damaged(backup, path, what)
}

impl Spaces {
    /// Collects those of a member, and checks each separately.
    ///
    /// # Errors
    /// [`ReadError::Damaged`].
    pub(crate) fn of(member: &Manifest) -> Result<Self, ReadError> {
        let mut index = HashMap::new();
        let mut sizes = HashMap::new();
        for (number, entry) in member.files.iter().enumerate() {
            let Some(space) = entry.role.space() else {
                continue;
            };
            check_entry(member.name.as_str(), entry, space)?;
            sizes.insert(space.name.as_str(), space);
            if let Some(other) = index.insert((space.space_id, space.node), number) {
                let other = member
                    .files
                    .get(other)
                    .map_or("", |file| file.path.as_stored());
                return Err(damaged(
                    member.name.as_str(),
                    entry.path.as_stored(),
                    format!(
                        "space {} (file {}) is also stored as {other}",
                        space.space_id, space.node
                    ),
                ));
            }
        }
        metas(member, &sizes)?;
        Ok(Self(index))
    }

    /// Returns whether the member contains this file.
    pub(crate) fn has(&self, space: &SpaceFile) -> bool {
        self.0.contains_key(&(space.space_id, space.node))
    }

    pub(super) fn get(&self, key: Key) -> Option<usize> {
        self.0.get(&key).copied()
    }
}

/// Checks that each `.meta` has the length of the text for its tablespace. A restore doesn't read
/// these files, but xtrabackup does.
fn metas(member: &Manifest, spaces: &HashMap<&str, &SpaceFile>) -> Result<(), ReadError> {
    let metas = member
        .files
        .iter()
        .filter(|file| file.role == FileRole::DeltaMeta);
    for entry in metas {
        let name = entry.plain_path().strip_suffix(".meta");
        let Some(space) = name.and_then(|name| spaces.get(name)) else {
            continue;
        };
        let expected = Meta::of(space.space_id, space.flags, space.page_size)
            .encode()
            .len() as u64;
        if entry.bytes != expected {
            return Err(damaged(
                member.name.as_str(),
                entry.path.as_stored(),
                Finding::new(format!("it has {}", count(entry.bytes, "byte")), expected),
            ));
        }
    }
    Ok(())
}

/// Checks one stored tablespace file.
fn check_entry(backup: &str, entry: &FileEntry, space: &SpaceFile) -> Result<(), ReadError> {
    let fault = |what: String| Err(damaged(backup, entry.path.as_stored(), what));
    let page = space.page_size.bytes() as u64;
    if !space.bytes.is_multiple_of(page) || space.bytes == 0 {
        return fault(format!(
            "its length {} is not a positive multiple of its page size {page}",
            space.bytes
        ));
    }
    if space.bytes / page > u64::from(u32::MAX) {
        return fault(format!(
            "its length {} is more than 2^32 pages of {page}",
            space.bytes,
            page = count(page, "byte")
        ));
    }
    if matches!(entry.role, FileRole::Tablespace(_)) && entry.bytes != space.bytes {
        return fault(format!(
            "it is stored with {}, but the tablespace file has {}",
            count(entry.bytes, "byte"),
            space.bytes
        ));
    }
    check_objects(backup, entry)
}

/// Checks that the objects are dense from 0, and that their offsets rise and are within the file.
pub(crate) fn check_objects(backup: &str, entry: &FileEntry) -> Result<(), ReadError> {
    check_order(&entry.objects, Some(entry.bytes))
        .map_err(|what| damaged(backup, entry.path.as_stored(), what))
}
