//! The files of the restored directory, and the sources of their pages.
//!
//! Tablespace files are tracked through the chain by (space id, file of the tablespace): a rename
//! keeps the id, a truncation creates a new one. Which files exist, and their names and lengths, is
//! determined by the newest member alone.

use super::file_plan::{FilePlan, PlainPlan, SourceKind, SourcePlan};
use super::paths::PathSet;
use super::server_names;
use super::spaces::{Indexed, Key, Spaces, damaged};
use crate::innodb::{Lsn, PageSize, SpaceId};
use crate::manifest::{FileEntry, FileRole, Manifest, SpaceFile};
use crate::reader::error::ReadError;
use std::collections::HashSet;

/// Metadata files of a backup that stay in the restored directory
/// (`docs/format/checkpoints.md#files-after-a-restore`; the others are omitted).
pub(crate) const KEPT_METADATA: [&str; 3] = [
    "xtrabackup_info",
    "xtrabackup_binlog_info",
    "xtrabackup_slave_info",
];

/// All files to be written, except for the redo log.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) files: Vec<FilePlan>,
    pub(crate) plain: Vec<PlainPlan>,
    /// Index of `xtrabackup_logfile` among the newest member's files.
    pub(crate) redo: usize,
}

/// Returns the files of a checked chain, given newest first.
///
/// # Errors
/// [`ReadError::Path`] for paths that must not be written; [`ReadError::Damaged`] for a manifest
/// that contradicts itself or lacks a file.
pub(crate) fn lay_out(newest_first: &[Manifest]) -> Result<Layout, ReadError> {
    let spaces = newest_first
        .iter()
        .map(Spaces::of)
        .collect::<Result<Vec<_>, _>>()?;
    let members: Vec<_> = newest_first
        .iter()
        .zip(&spaces)
        .map(|(manifest, spaces)| Indexed { manifest, spaces })
        .collect();
    lay_out_indexed(&members)
}

/// Like [`lay_out`], for callers that already have the members' tablespace files.
///
/// # Errors
/// The same as those of [`lay_out`].
pub(crate) fn lay_out_indexed(newest_first: &[Indexed<'_>]) -> Result<Layout, ReadError> {
    let Some(newest) = newest_first.first().map(|member| member.manifest) else {
        return Err(damaged("", "", "the chain is empty"));
    };
    let directories = directories(newest);
    let backup = newest.name.to_string();
    let mut paths = PathSet::default();
    let mut files = Vec::new();
    let mut plain = Vec::new();
    let mut redo = None;
    for (index, entry) in newest.files.iter().enumerate() {
        match &entry.role {
            FileRole::Tablespace(space) | FileRole::Delta(space) => {
                paths.add(&backup, &space.name)?;
                if !server_names::is_tablespace(space) {
                    return Err(ReadError::Path {
                        backup,
                        path: space.name.clone(),
                        why: "which is not the name of a tablespace file",
                    });
                }
                files.push(follow(newest_first, space)?);
            }
            FileRole::DeltaMeta => {}
            FileRole::Redo => {
                if redo.replace(index).is_some() {
                    return Err(damaged(
                        &backup,
                        entry.path.as_stored(),
                        "a second redo log",
                    ));
                }
            }
            // If a schema has the same name, the file is omitted: it only describes the backup.
            FileRole::Metadata if directories.contains(entry.plain_path()) => {}
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
            "the manifest has no redo log",
        )
    })?;
    must_have(&backup, &files)?;
    Ok(Layout { files, plain, redo })
}

/// Returns the top-level directories with files of the server; most of them are schemas.
fn directories(newest: &Manifest) -> HashSet<&str> {
    let paths = newest.files.iter().filter_map(|file| match &file.role {
        FileRole::Tablespace(space) | FileRole::Delta(space) => Some(space.name.as_str()),
        FileRole::Plain => Some(file.plain_path()),
        _ => None,
    });
    let tops = paths.filter_map(|path| path.split_once('/'));
    tops.map(|(directory, _)| directory).collect()
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

/// Checks that the files without which a server doesn't start are there.
fn must_have(backup: &str, files: &[FilePlan]) -> Result<(), ReadError> {
    for (space, what) in [
        (SpaceId::SYSTEM, "the system tablespace (ibdata1)"),
        (SpaceId::DICTIONARY, "the data dictionary (mysql.ibd)"),
    ] {
        if !files.iter().any(|file| file.space_id == space) {
            return Err(damaged(
                backup,
                "lsnap_manifest.json",
                format!("it does not contain {what}"),
            ));
        }
    }
    Ok(())
}

/// Collects the sources of a file, from the newest member to the first that has all of it: a whole
/// image, or a delta with the floor 0 (the member before it did not contain the tablespace, or
/// contained another file with the same id). In manifests without floors, the delta of the member
/// in which the tablespace appeared is such a delta.
fn follow(newest_first: &[Indexed<'_>], target: &SpaceFile) -> Result<FilePlan, ReadError> {
    let key = (target.space_id, target.node);
    let mut sources = Vec::new();
    let (mut whole, mut floor) = (false, None);
    for (number, Indexed { manifest, spaces }) in newest_first.iter().enumerate() {
        let Some(entry_no) = spaces.get(key) else {
            break;
        };
        let Some(entry) = manifest.files.get(entry_no) else {
            break;
        };
        let Some(space) = entry.role.space() else {
            break;
        };
        same_pages(manifest.name.as_str(), entry, space.page_size, target)?;
        let source = source(number, manifest, entry, entry_no);
        whole = source.kind == SourceKind::Image || space.floor == Some(Lsn(0));
        floor = space.floor;
        sources.push(source);
        if whole {
            break;
        }
    }
    if !whole && sources.len() == newest_first.len() {
        return Err(damaged(
            &name_of(newest_first, newest_first.len() - 1),
            &target.name,
            format!(
                "space {} has no whole image in the full backup",
                target.space_id
            ),
        ));
    }
    if !whole {
        match floor {
            Some(floor) => return Err(no_base(newest_first, sources.len(), floor, target)),
            None => check_not_in_older(newest_first, key, sources.len(), target)?,
        }
    }
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

fn source(member: usize, manifest: &Manifest, entry: &FileEntry, index: usize) -> SourcePlan {
    let stored = entry.objects.iter();
    SourcePlan {
        member,
        backup: manifest.name.to_string(),
        path: entry.path.to_string(),
        kind: match entry.role {
            FileRole::Tablespace(_) => SourceKind::Image,
            _ => SourceKind::Delta,
        },
        bytes: entry.bytes,
        stored_bytes: stored.fold(0, |sum, object| sum.saturating_add(object.bytes)),
        entry: index,
    }
}

fn same_pages(
    backup: &str,
    entry: &FileEntry,
    page_size: PageSize,
    target: &SpaceFile,
) -> Result<(), ReadError> {
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

/// Returns the name of the n-th member.
fn name_of(newest_first: &[Indexed<'_>], n: usize) -> String {
    let member = newest_first.get(n);
    member.map_or_else(String::new, |member| member.manifest.name.to_string())
}

/// Returns the error for a delta that omits pages of its base, if the base doesn't contain the
/// file.
fn no_base(newest_first: &[Indexed<'_>], used: usize, floor: Lsn, target: &SpaceFile) -> ReadError {
    let of = name_of(newest_first, used.saturating_sub(1));
    damaged(
        &name_of(newest_first, used),
        &target.name,
        format!(
            "space {} is missing here, but its delta in {of} has only pages from LSN {floor} on",
            target.space_id
        ),
    )
}

/// Checks, for manifests without floors, that no older member has a file that a newer one lacks. A
/// tablespace that is absent from a member did not exist at that time. If an older member has the
/// same id, then either these are two tablespaces or the member is incomplete. Undo tablespaces can
/// reuse an old id; for others it is an error.
fn check_not_in_older(
    newest_first: &[Indexed<'_>],
    key: Key,
    used: usize,
    target: &SpaceFile,
) -> Result<(), ReadError> {
    if target.undo {
        return Ok(());
    }
    let has = |n: usize| {
        let member = newest_first.get(n);
        member.is_some_and(|member| member.spaces.get(key).is_some())
    };
    let Some(older) = (used..newest_first.len()).find(|&n| has(n)) else {
        return Ok(());
    };
    Err(damaged(
        &name_of(newest_first, used),
        &target.name,
        format!(
            "space {} is missing here, though both {} and the member after it have it",
            key.0,
            name_of(newest_first, older)
        ),
    ))
}
