//! The manifest's entries of the tablespaces: one file each, in an incremental a `.delta` and a `.meta`.

use super::error::BackupError;
use super::open_file::{meta_text, wrap_mode};
use super::sink::Sink;
use super::spaces::CopiedSpace;
use super::wrap::WrapMode;
use crate::datadir::{Tablespace, TablespaceKind};
use crate::manifest::{FileEntry, FileRole, SpaceFile};
use std::os::unix::fs::MetadataExt;

/// The unit of `st_blocks`, in bytes.
const BLOCK: u64 = 512;

/// Waits until the copied tablespaces are stored, and returns their entries.
pub(super) fn space_entries(
    sink: &Sink,
    spaces: &[CopiedSpace],
) -> Result<Vec<FileEntry>, BackupError> {
    let mut files = Vec::with_capacity(spaces.len() * 2);
    for CopiedSpace {
        space,
        floor,
        counts,
    } in spaces
    {
        let wrap_mode = wrap_mode(space);
        let Some(floor) = floor else {
            let role = FileRole::Tablespace(space_file(space));
            files.push(sink.entry(&space.name, wrap_mode, role, counts.stored_bytes)?);
            continue;
        };
        let delta = format!("{}.delta", space.name);
        let role = FileRole::Delta(SpaceFile {
            floor: Some(floor.lsn()),
            ..space_file(space)
        });
        files.push(sink.entry(&delta, wrap_mode, role, counts.stored_bytes)?);
        let meta = format!("{}.meta", space.name);
        let bytes = meta_text(space).len() as u64;
        files.push(sink.entry(&meta, WrapMode::Plain, FileRole::DeltaMeta, bytes)?);
    }
    Ok(files)
}

fn space_file(ts: &Tablespace) -> SpaceFile {
    let page = ts.page_size.bytes() as u64;
    // Pages of a page-compressed table have holes, which the length does not show.
    let allocated = std::fs::metadata(&ts.source).map(|meta| meta.blocks() * BLOCK);
    SpaceFile {
        name: ts.name.clone(),
        space_id: ts.space_id,
        node: ts.node,
        flags: ts.flags,
        page_size: ts.page_size,
        bytes: ts.bytes / page * page,
        undo: ts.kind == TablespaceKind::Undo,
        encrypted: ts.flags.is_encrypted(),
        external: ts.external.as_ref().map(|dir| dir.display().to_string()),
        tablespace_name: ts.tablespace_name.clone(),
        floor: None,
        allocated: allocated.ok().filter(|bytes| *bytes < ts.bytes),
    }
}
