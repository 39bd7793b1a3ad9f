//! Which files the restored directory has, and where each of their pages may come from.
//!
//! Tablespace files are followed through the chain by (space id, file of the tablespace): a rename
//! keeps the id, a truncation makes a new one. Only the newest member says which files there are,
//! what they are called and how long they are.

use super::error::RestoreError;
use super::paths::PathSet;
use super::plan::{FilePlan, PlainPlan, SourceKind, SourcePlan};
use crate::innodb::{PageSize, SpaceId};
use crate::store::{FileEntry, FileRole, Manifest, SpaceFile};
use std::collections::HashMap;

/// Metadata files of a backup that stay in the restored directory (spec 3.11: the rest are left out).
pub(crate) const KEPT_METADATA: [&str; 3] = [
    "xtrabackup_info",
    "xtrabackup_binlog_info",
    "xtrabackup_slave_info",
];

/// What the newest member says about one file of a tablespace, or an older one about its pages.
type Key = (SpaceId, u32);

/// Everything that is to be written, but for the redo log.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) files: Vec<FilePlan>,
    pub(crate) plain: Vec<PlainPlan>,
    /// Index of `xtrabackup_logfile` among the newest member's files.
    pub(crate) redo: usize,
}

/// Lays out the target of a checked chain, given newest first.
///
/// # Errors
/// [`RestoreError::Path`] for paths that must not be written, [`RestoreError::Damaged`] for a
/// manifest that contradicts itself or lacks a file.
pub(crate) fn lay_out(newest_first: &[Manifest]) -> Result<Layout, RestoreError> {
    let Some(newest) = newest_first.first() else {
        return Err(damaged("", "", "the chain is empty".to_owned()));
    };
    let indices = newest_first
        .iter()
        .map(space_index)
        .collect::<Result<Vec<_>, _>>()?;
    let backup = newest.name.to_string();
    let mut paths = PathSet::default();
    let mut files = Vec::new();
    let mut plain = Vec::new();
    let mut redo = None;
    for (index, entry) in newest.files.iter().enumerate() {
        match &entry.role {
            FileRole::Tablespace(space) | FileRole::Delta(space) => {
                paths.add(&backup, &space.name)?;
                files.push(follow(newest_first, &indices, space)?);
            }
            FileRole::DeltaMeta => {}
            FileRole::Redo => {
                if redo.replace(index).is_some() {
                    return Err(damaged(
                        &backup,
                        entry.path.as_stored(),
                        "a second redo log".into(),
                    ));
                }
            }
            FileRole::Plain | FileRole::BinaryLog | FileRole::Metadata => {
                paths.add(&backup, entry.plain_path())?;
                plain.push(plain_file(entry, index));
            }
        }
    }
    let redo = redo.ok_or_else(|| {
        damaged(
            &backup,
            "xtrabackup_logfile",
            "the manifest has no redo log".into(),
        )
    })?;
    must_have(&backup, &files)?;
    Ok(Layout { files, plain, redo })
}

fn damaged(backup: &str, path: &str, what: String) -> RestoreError {
    RestoreError::Damaged {
        backup: backup.to_owned(),
        path: path.to_owned(),
        what,
    }
}

fn plain_file(entry: &FileEntry, index: usize) -> PlainPlan {
    let metadata = matches!(entry.role, FileRole::Metadata);
    PlainPlan {
        path: entry.plain_path().to_owned(),
        bytes: entry.bytes,
        metadata,
        entry: index,
    }
}

/// A server starts on nothing less.
fn must_have(backup: &str, files: &[FilePlan]) -> Result<(), RestoreError> {
    for (space, what) in [
        (SpaceId::SYSTEM, "the system tablespace (ibdata1)"),
        (SpaceId::DICTIONARY, "the data dictionary (mysql.ibd)"),
    ] {
        if !files.iter().any(|file| file.space_id == space) {
            return Err(damaged(
                backup,
                "lsnap_manifest.json",
                format!("it does not hold {what}"),
            ));
        }
    }
    Ok(())
}

/// The tablespace files of one member, by identity.
fn space_index(member: &Manifest) -> Result<HashMap<Key, usize>, RestoreError> {
    let mut index = HashMap::new();
    for (number, entry) in member.files.iter().enumerate() {
        let (FileRole::Tablespace(space) | FileRole::Delta(space)) = &entry.role else {
            continue;
        };
        check_entry(member.name.as_str(), entry, space)?;
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
    Ok(index)
}

/// What must hold for one stored tablespace file by itself.
fn check_entry(backup: &str, entry: &FileEntry, space: &SpaceFile) -> Result<(), RestoreError> {
    let fault = |what| Err(damaged(backup, entry.path.as_stored(), what));
    let page = space.page_size.bytes() as u64;
    if !space.bytes.is_multiple_of(page) || space.bytes == 0 {
        return fault(format!(
            "its length {} is not a positive multiple of its page size {page}",
            space.bytes
        ));
    }
    if space.bytes / page > u64::from(u32::MAX) {
        return fault(format!(
            "its length {} is more than 2^32 pages of {page} bytes",
            space.bytes
        ));
    }
    if matches!(entry.role, FileRole::Tablespace(_)) && entry.bytes != space.bytes {
        return fault(format!(
            "it is stored with {} bytes, but the tablespace file has {}",
            entry.bytes, space.bytes
        ));
    }
    check_objects(backup, entry)
}

/// Objects are dense from 0 and ascend; offsets lie within the file.
pub(crate) fn check_objects(backup: &str, entry: &FileEntry) -> Result<(), RestoreError> {
    let fault = |what| Err(damaged(backup, entry.path.as_stored(), what));
    let mut previous: Option<u64> = None;
    for (expected, object) in entry.objects.iter().enumerate() {
        if object.index != expected as u64 {
            return fault(format!(
                "object {expected} is missing: the manifest goes on with object {}",
                object.index
            ));
        }
        if previous.is_none() && object.offset != 0 {
            return fault(format!(
                "its first object begins at offset {}, expected 0",
                object.offset
            ));
        }
        if previous.is_some_and(|before| object.offset <= before && object.offset != entry.bytes)
            || object.offset > entry.bytes
        {
            return fault(format!(
                "object {expected} begins at offset {}, after one at {}, in a file of {} bytes",
                object.offset,
                previous.unwrap_or(0),
                entry.bytes
            ));
        }
        previous = Some(object.offset);
    }
    if previous.is_none() {
        return fault("it has no objects, expected at least the one that ends it".to_owned());
    }
    Ok(())
}

/// Goes from the newest member to the first that has a whole image, or to the member in which the
/// tablespace appeared: there every page that is not zero is in the delta, for it was created after
/// the member before it began, so all of its LSNs are above the scan floor.
fn follow(
    newest_first: &[Manifest],
    indices: &[HashMap<Key, usize>],
    target: &SpaceFile,
) -> Result<FilePlan, RestoreError> {
    let key = (target.space_id, target.node);
    let mut sources = Vec::new();
    let mut whole = false;
    for (number, (member, index)) in newest_first.iter().zip(indices).enumerate() {
        let Some(&entry_no) = index.get(&key) else {
            break;
        };
        let Some(entry) = member.files.get(entry_no) else {
            break;
        };
        let (FileRole::Tablespace(space) | FileRole::Delta(space)) = &entry.role else {
            break;
        };
        same_pages(member.name.as_str(), entry, space.page_size, target)?;
        whole = matches!(entry.role, FileRole::Tablespace(_));
        sources.push(SourcePlan {
            member: number,
            backup: member.name.to_string(),
            path: entry.path.to_string(),
            kind: if whole {
                SourceKind::Image
            } else {
                SourceKind::Delta
            },
            bytes: entry.bytes,
            stored_bytes: entry.objects.iter().map(|object| object.bytes).sum(),
            entry: entry_no,
        });
        if whole {
            break;
        }
    }
    if !whole && sources.len() == newest_first.len() {
        return Err(damaged(
            &newest_first
                .last()
                .map(|base| base.name.to_string())
                .unwrap_or_default(),
            &target.name,
            format!(
                "space {} has no whole image in the full backup",
                target.space_id
            ),
        ));
    }
    never_again(newest_first, indices, key, sources.len(), whole, target)?;
    Ok(FilePlan {
        path: target.name.clone(),
        space_id: target.space_id,
        node: target.node,
        page_size: target.page_size,
        bytes: target.bytes,
        undo: target.undo,
        external: target.external.clone(),
        encrypted: target.encrypted,
        sources,
    })
}

fn same_pages(
    backup: &str,
    entry: &FileEntry,
    page_size: PageSize,
    target: &SpaceFile,
) -> Result<(), RestoreError> {
    if page_size == target.page_size {
        return Ok(());
    }
    Err(damaged(
        backup,
        entry.path.as_stored(),
        format!(
            "its pages have {page_size} bytes, those of {} in the newest member {}",
            target.name, target.page_size
        ),
    ))
}

/// A tablespace that is absent from a member did not exist then. If an older member has the same id,
/// then one of the two is another tablespace or the member is incomplete: an undo tablespace may come
/// round to an old id, for others that is a reason to stop.
fn never_again(
    newest_first: &[Manifest],
    indices: &[HashMap<Key, usize>],
    key: Key,
    used: usize,
    whole: bool,
    target: &SpaceFile,
) -> Result<(), RestoreError> {
    if whole || target.undo {
        return Ok(());
    }
    let Some(older) = (used..newest_first.len())
        .find(|&n| indices.get(n).is_some_and(|index| index.contains_key(&key)))
    else {
        return Ok(());
    };
    let name = |n: usize| {
        newest_first
            .get(n)
            .map(|member| member.name.to_string())
            .unwrap_or_default()
    };
    Err(damaged(
        &name(used),
        &target.name,
        format!(
            "space {} is missing here, though both {} and the member after it have it",
            key.0,
            name(older)
        ),
    ))
}
