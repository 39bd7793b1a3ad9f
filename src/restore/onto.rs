//! Merges one plain delta into one plain file, for tests (`tests/peers.rs`), by the same merge as
//! every restore, without a chain, a manifest or a redo log. With it, deltas of programs whose
//! backups lsnap doesn't restore (`mariadb-backup`) can be compared with the results of those
//! programs.

use super::applier::{ApplierKind, ApplierPlan};
use super::error::{RestoreError, io};
use super::plan::{MergeMethod, RestorePlan};
use super::{merge, syncing};
use crate::cancel::Cancel;
use crate::delta::Meta;
use crate::innodb::PageSize;
use crate::manifest::{
    BackupName, Digest, FileEntry, FileRole, Layout, Manifest, ServerIdentity, SpaceFile,
    StoredPath,
};
use crate::progress::{Phase, Silent};
use crate::reader::counters::Counters;
use crate::reader::fetch::Fetcher;
use crate::reader::source::Source;
use crate::reader::{FilePlan, SourceKind, SourcePlan, opened};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Creates the file `out` with a length of `bytes`: the pages of `delta`, whose `.meta` is `meta`,
/// and all other pages from `base`, if it is given. The checksums of the pages are not checked,
/// because other servers use other algorithms. Only for tests; the interface is not stable.
///
/// # Errors
/// [`ReadError::Damaged`](crate::reader::ReadError::Damaged) for a delta that is invalid, truncated
/// or has a page twice, and for a first page of another tablespace; [`RestoreError::Read`], also if
/// `out` exists.
pub fn merge_onto(
    base: Option<&Path>,
    delta: &Path,
    meta: &Meta,
    bytes: u64,
    out: &Path,
) -> Result<(), RestoreError> {
    let space = SpaceFile {
        name: name(out),
        space_id: meta.space_id,
        node: 0,
        flags: meta.space_flags,
        page_size: meta.page_size,
        bytes,
        undo: false,
        encrypted: false,
        external: None,
        tablespace_name: None,
        floor: None,
        allocated: None,
    };
    let mut members = vec![(delta, FileRole::Delta(space.clone()), SourceKind::Delta)];
    members.extend(base.map(|base| (base, FileRole::Tablespace(space.clone()), SourceKind::Image)));
    let mut chain = Vec::new();
    let mut sources = Vec::new();
    let mut directories = Vec::new();
    for (member, (path, role, kind)) in members.into_iter().enumerate() {
        let entry = entry(path, role)?;
        sources.push(SourcePlan {
            member,
            backup: String::new(),
            path: entry.path.to_string(),
            kind,
            bytes,
            stored_bytes: entry.bytes,
            entry: 0,
        });
        chain.push(manifest(entry, meta.page_size));
        directories.push(parent(path));
    }
    let file = FilePlan {
        path: space.name,
        space_id: space.space_id,
        node: 0,
        page_size: space.page_size,
        bytes,
        undo: false,
        encrypted: false,
        external: None,
        sources,
    };
    let counters = Counters::new(chain.len());
    let fetcher = Fetcher {
        source: Source::Directories(&directories),
        progress: &Silent,
        phase: Phase::Merge,
        counters: &counters,
        key: None,
        limit: u64::MAX,
        cancel: &Cancel::new(),
    };
    syncing::with_syncing(|syncing| {
        merge::merge(
            &fetcher,
            &plan(file, chain),
            &parent(out),
            1,
            syncing,
            merge::Output::New,
        )
    })
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

/// Creates the entry of the file with digests of its current ranges: the checksums of pages with
/// digests are not checked.
fn entry(path: &Path, role: FileRole) -> Result<FileEntry, RestoreError> {
    let data = std::fs::read(path).map_err(io("read", path))?;
    let bytes = data.len() as u64;
    let mut objects = opened::ranges(&role, bytes);
    for object in &mut objects {
        let from = usize::try_from(object.offset).unwrap_or(usize::MAX);
        let range = data.get(from..).unwrap_or_default();
        let length = usize::try_from(object.bytes).unwrap_or(usize::MAX);
        let range = &range[..range.len().min(length)];
        object.digest = Some(Digest::of(range));
    }
    Ok(FileEntry {
        path: StoredPath::new(name(path)),
        role,
        bytes,
        wrapping: None,
        objects,
    })
}

fn manifest(file: FileEntry, page_size: PageSize) -> Manifest {
    Manifest {
        server: ServerIdentity {
            page_size,
            ..ServerIdentity::blank()
        },
        files: vec![file],
        layout: Layout::Stream,
        ..Manifest::blank(BackupName::unnamed())
    }
}

fn plan(file: FilePlan, chain: Vec<Manifest>) -> RestorePlan {
    RestorePlan {
        target: file.path.clone(),
        datadir: PathBuf::new(),
        members: Vec::new(),
        way: MergeMethod::Merge,
        // The redo applier is not used.
        applier: ApplierPlan {
            kind: ApplierKind::Mysqld,
            program: PathBuf::new(),
            version: String::new(),
            reason: String::new(),
        },
        files: vec![file],
        plain: Vec::new(),
        settings: Vec::new(),
        redo_bytes: 0,
        fetch_bytes: 0,
        write_bytes: 0,
        warnings: Vec::new(),
        not_placed: Vec::new(),
        directories: Vec::new(),
        streams: Arc::default(),
        chain: Arc::new(chain),
        redo: 0,
    }
}
