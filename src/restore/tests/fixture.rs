//! A hand-built repository: tablespaces as lists of pages, backups of them through the real upload
//! and formats.

use super::super::{
    ApplierKind, ApplierPlan, RestoreError, RestoreOptions, RestorePlan, merge, plain, plan,
};
use crate::delta::DeltaWriter;
use crate::innodb::redo::{self, BLOCK, FileHeader, HEADER};
use crate::innodb::{Lsn, PageNo, PageSize, SpaceFlags, SpaceId};
use crate::manifest::packed::SMALL;
use crate::manifest::{
    BackupKind, BackupName, BaseRef, Binlog, FileEntry, FileRole, LsnRange, Manifest, ObjectEntry,
    ServerIdentity, SpaceFile, StoredPath,
};
use crate::progress::{Phase, Silent};
use crate::reader::counters::{Counters, MemberReport};
use crate::reader::fetch::Fetcher;
use crate::reader::source::Source;
use crate::reader::{chain, layout};
use crate::store::{Repository, Upload};
use crate::xbstream;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Pages of the hand-built tablespaces: small, so that a cluster of a delta (255 pages) is.
pub(crate) const P: usize = 1024;
/// Tables of such pages.
pub(crate) const FLAGS: SpaceFlags = SpaceFlags(0x4023);
pub(crate) const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const LOG_UUID: u32 = 0x5EED_0001;

/// A page as InnoDB heads it.
pub(crate) fn page(space: u32, no: u32, lsn: u64, fill: u8) -> Vec<u8> {
    let mut page = vec![fill; P];
    page[4..8].copy_from_slice(&no.to_be_bytes());
    page[16..24].copy_from_slice(&lsn.to_be_bytes());
    page[24..26].copy_from_slice(&17855u16.to_be_bytes());
    page[34..38].copy_from_slice(&space.to_be_bytes());
    // 1 KiB pages are those of ROW_FORMAT=COMPRESSED
    let crc = |range: std::ops::Range<usize>| crc32c::crc32c(&page[range]);
    let sum = crc(4..16) ^ crc(24..26) ^ crc(34..P);
    page[..4].copy_from_slice(&sum.to_be_bytes());
    page
}

/// A tablespace file: of each page the LSN and what it is filled with; `None` is a zero page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) undo: bool,
    pub(crate) pages: Vec<Option<(u64, u8)>>,
    /// Its pages are those of another tablespace.
    pub(crate) pages_of: Option<u32>,
}

impl Space {
    /// Of that many pages, all written at `lsn`.
    pub(crate) fn new(id: u32, name: &str, pages: usize, lsn: u64) -> Self {
        Self {
            id,
            name: name.to_owned(),
            undo: false,
            pages_of: None,
            pages: vec![Some((lsn, 1)); pages],
        }
    }

    pub(crate) fn write(&mut self, no: usize, lsn: u64, fill: u8) {
        if no >= self.pages.len() {
            self.pages.resize(no + 1, None);
        }
        self.pages[no] = Some((lsn, fill));
    }

    fn image(&self, no: usize) -> Vec<u8> {
        self.pages[no].map_or(vec![0; P], |(lsn, fill)| {
            page(self.pages_of.unwrap_or(self.id), no as u32, lsn, fill)
        })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        (0..self.pages.len())
            .flat_map(|no| self.image(no))
            .collect()
    }

    fn file(&self) -> SpaceFile {
        SpaceFile {
            name: self.name.clone(),
            space_id: SpaceId(self.id),
            node: 0,
            flags: FLAGS,
            page_size: PageSize::new(P as u32).unwrap(),
            bytes: (self.pages.len() * P) as u64,
            undo: self.undo,
            encrypted: false,
            external: None,
            tablespace_name: None,
            floor: None,
            allocated: None,
        }
    }
}

/// Those without which no server starts.
pub(crate) fn system() -> Vec<Space> {
    vec![
        Space::new(0, "ibdata1", 4, 1),
        Space::new(SpaceId::DICTIONARY.0, "mysql.ibd", 4, 1),
    ]
}

/// A repository and what was put into it.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) repo: Repository,
    pub(crate) chain: Vec<Manifest>,
    /// Pages in one object.
    pub(crate) object_pages: usize,
    /// Bit n: files of tablespaces of the n-th backup that are one object are packed.
    pub(crate) packs: u32,
    /// Another redo log than a good one.
    pub(crate) redo: Option<Vec<u8>>,
    /// Further plain files, with their contents.
    pub(crate) plain: Vec<(String, String)>,
    /// Pages from another LSN on than the manifest says go into a delta.
    pub(crate) scan_floor: Option<Lsn>,
    /// Backups that are not in the chain any more.
    pub(crate) past: usize,
    /// Whether manifests record the floor of each delta.
    pub(crate) floors: bool,
    /// What manifests are authenticated with.
    pub(crate) mac_key: Option<[u8; 32]>,
    /// Bit n: `to_lsn` of the n-th backup is the checkpoint at its end, as in manifests of earlier lsnaps.
    pub(crate) ends: u32,
}

/// The start checkpoint of the n-th backup.
pub(crate) const fn start_of(number: usize) -> u64 {
    (number as u64 + 1) * 1_000_000 + 100
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repository::open(dir.path().join("repo").to_str().unwrap()).unwrap();
        Self {
            dir,
            repo,
            chain: Vec::new(),
            object_pages: 3,
            packs: 0,
            redo: None,
            plain: Vec::new(),
            scan_floor: None,
            past: 0,
            floors: true,
            mac_key: None,
            ends: 0,
        }
    }

    /// Backs up: a full one first, then incrementals of those pages that are new enough.
    pub(crate) fn backup(&mut self, spaces: &[Space]) {
        self.backup_bent(spaces, |_| {});
    }

    /// The same, with a manifest that is bent afterwards: the store would neither write nor read it,
    /// but the planner must not rely on that.
    pub(crate) fn backup_bent(&mut self, spaces: &[Space], bend: impl FnOnce(&mut Manifest)) {
        let number = self.chain.len();
        let clock = number + self.past;
        let base = self.chain.last().cloned();
        let name = self.name(number, clock);
        let upload = self.repo.begin(&name, 4).unwrap();
        let floor = base
            .as_ref()
            .map_or(Lsn(0), |base| base.lsn.start_checkpoint);
        let ends = self.ends >> number & 1 == 1;
        let lsn = LsnRange {
            from_lsn: base.as_ref().map_or(Lsn(0), |base| base.lsn.to_lsn),
            scan_floor: floor,
            start_checkpoint: Lsn(start_of(clock)),
            to_lsn: Lsn(start_of(clock) + if ends { 3_000 } else { 0 }),
            last_lsn: Lsn(start_of(clock) + 4_000),
        };
        let packs = self.packs >> number & 1 == 1;
        let mut files = Vec::new();
        for space in spaces {
            if number == 0 {
                files.push(self.put_image(&upload, space, packs));
            } else {
                let spaces = base.iter().flat_map(|base| &base.files);
                let known = spaces
                    .filter_map(|file| file.role.space())
                    .any(|known| known.space_id == SpaceId(space.id));
                let of_file = if known { floor } else { Lsn(0) };
                let from = self.scan_floor.unwrap_or(of_file);
                let object = (self.object_pages, packs);
                let mut delta = put_delta(&upload, space, from, object);
                if let FileRole::Delta(space) = &mut delta.role {
                    space.floor = self.floors.then_some(of_file);
                }
                files.push(delta);
            }
        }
        // Only now: who asks for a file sends its pack.
        for file in &mut files {
            file.objects = upload.finish_file(file.path.as_stored()).unwrap();
        }
        let good = || redo_log(lsn.start_checkpoint, lsn.last_lsn);
        let redo = self.redo.clone().unwrap_or_else(good);
        files.push(put_file(
            &upload,
            "xtrabackup_logfile",
            FileRole::Redo,
            &redo,
        ));
        for (path, role, content) in small_files(number, &lsn) {
            files.push(put_file(&upload, &path, role, content.as_bytes()));
        }
        for (path, content) in &self.plain {
            let content = content.as_bytes();
            files.push(put_file(&upload, path, FileRole::Plain, content));
        }
        let mut manifest = self.manifest(number, name, base.as_ref(), lsn, files);
        if let Some(key) = &self.mac_key {
            manifest.authenticate(key).unwrap();
        }
        upload.finish(&manifest).unwrap();
        bend(&mut manifest);
        self.chain.push(manifest);
    }

    fn name(&self, number: usize, clock: usize) -> BackupName {
        let full = "c-2026-01-01-00:00:00-full";
        let text = if number == 0 {
            full.to_owned()
        } else {
            let full = self.chain[0].name.base();
            format!("{full}.incr/c-2026-01-01-00:00:{clock:02}-incr")
        };
        BackupName::parse(&text).unwrap()
    }

    fn manifest(
        &self,
        number: usize,
        name: BackupName,
        base: Option<&Manifest>,
        lsn: LsnRange,
        files: Vec<FileEntry>,
    ) -> Manifest {
        Manifest {
            format: crate::manifest::packed::format_of(&files),
            lsnap_version: "0.1.0".into(),
            id: format!("00000000-0000-4000-8000-{number:012}"),
            kind: if number == 0 {
                BackupKind::Full
            } else {
                BackupKind::Incremental
            },
            base: base.map(|base| BaseRef {
                name: base.name.clone(),
                id: base.id.clone(),
                to_lsn: base.lsn.to_lsn,
            }),
            started_at: chrono::Utc::now(),
            finished_at: chrono::Utc::now(),
            server: ServerIdentity {
                uuid: UUID.into(),
                version: "8.4.5".into(),
                flavor: "mysql".into(),
                hostname: "h".into(),
                page_size: PageSize::DEFAULT,
                redo_format: redo::FORMAT,
                redo_creator: "MySQL 8.4.5".into(),
                redo_log_uuid: LOG_UUID,
                data_file_path: "ibdata1:12M:autoextend".into(),
                lower_case_table_names: 0,
            },
            lsn,
            binlog: Some(Binlog {
                file: "b.1".into(),
                position: 4,
                gtid_executed: String::new(),
            }),
            files,
            ..Manifest::blank(name)
        }
    }

    fn put_image(&self, upload: &Upload, space: &Space, packs: bool) -> FileEntry {
        let count = space.pages.len();
        let starts: Vec<_> = (0..count).step_by(self.object_pages).collect();
        for (index, &start) in starts.iter().enumerate() {
            let end = (start + self.object_pages).min(count);
            let mut parts = Vec::new();
            for no in start..end {
                let at = (no * P) as u64;
                if space.pages[no].is_none() {
                    parts.push(xbstream::hole_chunk(&space.name, at, P as u64).unwrap());
                } else {
                    parts.extend(payload(&space.name, at, space.image(no).into()));
                }
            }
            if end == count {
                parts.push(xbstream::end_chunk(&space.name).unwrap());
            }
            if packs && starts.len() == 1 {
                upload.put_packed(&space.name, parts).unwrap();
                continue;
            }
            upload
                .put(&space.name, index as u64, (start * P) as u64, parts)
                .unwrap();
        }
        FileEntry {
            wrapping: None,
            path: StoredPath::new(&space.name),
            role: FileRole::Tablespace(space.file()),
            bytes: (count * P) as u64,
            objects: Vec::new(),
        }
    }

    /// Plans and merges the backup of this number (no redo), and returns the directory.
    pub(crate) fn merge(&self, number: usize) -> Result<Merged, RestoreError> {
        self.merge_by(number, 2, 64 << 20)
    }

    /// The same by so many workers, with so many bytes of memory.
    pub(crate) fn merge_by(
        &self,
        number: usize,
        workers: usize,
        memory: u64,
    ) -> Result<Merged, RestoreError> {
        self.merge_plan(self.plan(number)?, workers, memory)
    }

    /// Merges a chain that was read from the repository, the full backup first.
    pub(crate) fn merge_chain(&self, chain: Vec<Manifest>) -> Result<Merged, RestoreError> {
        self.merge_plan(plan_of(chain)?, 1, 64 << 20)
    }

    fn merge_plan(
        &self,
        plan: RestorePlan,
        workers: usize,
        memory: u64,
    ) -> Result<Merged, RestoreError> {
        let out = tempfile::tempdir().unwrap();
        let counters = Counters::new(plan.members.len());
        let fetcher = Fetcher {
            key: None,
            source: Source::Repository(&self.repo),
            progress: &Silent,
            phase: Phase::Merge,
            counters: &counters,
            limit: memory,
            stop: &crate::reader::fetch::NEVER,
        };
        plain::make_directories(&plan, out.path())?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .build()
            .unwrap();
        pool.install(|| {
            let work = tempfile::tempdir().unwrap();
            let places = crate::restore::held::Places::of(work.path(), out.path().to_path_buf());
            plain::copy(
                &fetcher,
                &plan,
                &places,
                None,
                &super::super::RestoreOptions::default(),
            )?;
            crate::restore::syncing::with_syncing(|syncing| {
                merge::merge(&fetcher, &plan, out.path(), workers, syncing)
            })
        })?;
        let names = plan
            .chain
            .iter()
            .map(|m| (m.name.to_string(), m.stored_bytes()));
        Ok(Merged {
            members: counters.members(names),
            dir: out,
        })
    }

    /// The plan for the backup of this number, for no particular program.
    pub(crate) fn plan(&self, number: usize) -> Result<RestorePlan, RestoreError> {
        plan_of(self.chain[..=number].to_vec())
    }

    /// Removes backups with everything under their names.
    pub(crate) fn remove(&self, names: &[BackupName]) {
        for name in names {
            let bucket = self.repo.bucket();
            let mut keys = Vec::new();
            bucket
                .each(name.as_str(), |object, _| {
                    keys.push(format!("{name}/{object}"));
                    true
                })
                .unwrap();
            keys.iter().for_each(|key| bucket.delete(key).unwrap());
        }
    }

    /// Where an object lies on disk.
    pub(crate) fn object(&self, number: usize, path: &str, index: usize) -> PathBuf {
        let name = self.chain[number].name.to_string();
        let wanted = format!("{name}/{path}.{index:020}");
        let repo = self.dir.path().join("repo");
        files_below(&repo)
            .into_iter()
            .find(|(found, _)| decode(found) == wanted)
            .map(|(found, _)| repo.join(found))
            .unwrap_or_else(|| panic!("no object {wanted}"))
    }
}

fn plan_of(mut manifests: Vec<Manifest>) -> Result<RestorePlan, RestoreError> {
    chain::check(&manifests)?;
    manifests.reverse();
    let layout = layout::lay_out(&manifests)?;
    let applier = ApplierPlan {
        kind: ApplierKind::Mysqld,
        program: "/bin/false".into(),
        version: "8.4.5".into(),
        reason: "a test".into(),
    };
    let options = RestoreOptions::default();
    Ok(plan::assemble(manifests, layout, applier, &options))
}

/// Local object stores escape some characters of a path as `%XX`.
fn decode(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        out.push(char::from(u8::from_str_radix(&after[..2], 16).unwrap()));
        rest = &after[2..];
    }
    out + rest
}

/// A merged directory.
pub(crate) struct Merged {
    pub(crate) dir: tempfile::TempDir,
    /// Newest first.
    pub(crate) members: Vec<MemberReport>,
}

impl Merged {
    /// Compares the tablespace files with what they should be, all of them and no others.
    pub(crate) fn expect(&self, spaces: &[Space]) {
        let mut found: BTreeMap<_, _> = files_below(self.dir.path());
        found.retain(|path, _| !path.starts_with("xtrabackup_") && path != "db/t.sdi");
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            spaces
                .iter()
                .map(|space| (&space.name, ()))
                .collect::<BTreeMap<_, ()>>()
                .keys()
                .copied()
                .collect::<Vec<_>>()
        );
        for space in spaces {
            assert!(
                found[&space.name] == space.bytes(),
                "{} differs",
                space.name
            );
        }
    }
}

/// All files below a directory with their content.
pub(crate) fn files_below(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

pub(crate) fn payload(path: &str, at: u64, data: Bytes) -> [Bytes; 2] {
    let crc = xbstream::crc(&data);
    let head = xbstream::payload_head(path, at, data.len() as u64, crc).unwrap();
    [head, data]
}

fn put_delta(
    upload: &Upload,
    space: &Space,
    floor: Lsn,
    (object_pages, packs): (usize, bool),
) -> FileEntry {
    let path = format!("{}.delta", space.name);
    let mut emit = |piece: crate::delta::Piece| {
        let mut parts = payload(&path, piece.offset, piece.data).to_vec();
        if piece.last {
            parts.push(xbstream::end_chunk(&path).unwrap());
        }
        if packs && piece.last && piece.index == 0 {
            return upload.put_packed(&path, parts).unwrap();
        }
        upload.put(&path, piece.index, piece.offset, parts).unwrap();
    };
    let mut writer = DeltaWriter::new(PageSize::new(P as u32).unwrap(), object_pages * P);
    for (no, content) in space.pages.iter().enumerate() {
        if content.is_some_and(|(lsn, _)| lsn >= floor.0) {
            writer.push(PageNo(no as u32), &space.image(no), &mut emit);
        }
    }
    let most = if packs { SMALL } else { 0 };
    let stats = writer.finish_whole(most, &mut emit);
    FileEntry {
        wrapping: None,
        role: FileRole::Delta(space.file()),
        bytes: stats.bytes,
        objects: Vec::new(),
        path: StoredPath::new(path),
    }
}

/// A file in objects of 4096 bytes.
pub(crate) fn put_file(upload: &Upload, path: &str, role: FileRole, content: &[u8]) -> FileEntry {
    let objects: Vec<ObjectEntry> = {
        let pieces: Vec<_> = content.chunks(4096).collect();
        for index in 0..pieces.len().max(1) {
            let at = (index * 4096) as u64;
            let mut parts = Vec::new();
            if let Some(piece) = pieces.get(index) {
                parts.extend(payload(path, at, Bytes::copy_from_slice(piece)));
            }
            if index + 1 >= pieces.len() {
                parts.push(xbstream::end_chunk(path).unwrap());
            }
            upload.put(path, index as u64, at, parts).unwrap();
        }
        upload.finish_file(path).unwrap()
    };
    FileEntry {
        wrapping: None,
        path: StoredPath::new(path),
        role,
        bytes: content.len() as u64,
        objects,
    }
}

fn small_files(number: usize, lsn: &LsnRange) -> Vec<(String, FileRole, String)> {
    let checkpoints = format!(
        "backup_type = {}\nfrom_lsn = {}\nto_lsn = {}\nlast_lsn = {}\nflushed_lsn = 77\nredo_memory = 0\nredo_frames = 0\n",
        if number == 0 {
            "full-backuped"
        } else {
            "incremental"
        },
        lsn.from_lsn,
        lsn.to_lsn,
        lsn.last_lsn
    );
    vec![
        ("db/t.sdi".into(), FileRole::Plain, format!("sdi {number}")),
        ("empty/db.opt".into(), FileRole::Plain, String::new()),
        (
            "xtrabackup_checkpoints".into(),
            FileRole::Metadata,
            checkpoints,
        ),
        (
            "xtrabackup_info".into(),
            FileRole::Metadata,
            format!("uuid = {number}\n"),
        ),
        (
            "xtrabackup_binlog_info".into(),
            FileRole::Metadata,
            "b.1\t4\n".into(),
        ),
        (
            "xtrabackup_tablespaces".into(),
            FileRole::Metadata,
            "{\"version\":2}".into(),
        ),
        (
            "backup-my.cnf".into(),
            FileRole::Metadata,
            "[mysqld]\n".into(),
        ),
    ]
}

/// An `xtrabackup_logfile` with valid blocks from the checkpoint on; like a real one it holds a little
/// more than `last`.
pub(crate) fn redo_log(checkpoint: Lsn, last: Lsn) -> Vec<u8> {
    let mut creator = [0u8; 32];
    creator[..11].copy_from_slice(b"MySQL 8.4.5");
    let header = FileHeader {
        format: redo::FORMAT,
        log_uuid: LOG_UUID,
        start_lsn: Lsn(8192),
        creator,
        flags: 0,
    };
    let mut raw = vec![0u8; HEADER];
    raw[..BLOCK].copy_from_slice(&header.encode());
    raw[BLOCK..2 * BLOCK].copy_from_slice(&redo::encode_checkpoint(checkpoint));
    let mut log = redo::logfile_header(&raw, checkpoint, "260101 00:00:00")
        .unwrap()
        .to_vec();
    let mut at = checkpoint.block_start();
    while at.0 <= last.0 + 600 {
        log.extend(redo_block(at, BLOCK as u16));
        at.0 += BLOCK as u64;
    }
    log
}

/// A valid block.
pub(crate) fn redo_block(lsn: Lsn, data_len: u16) -> Vec<u8> {
    let mut block = vec![0xAB; BLOCK];
    block[..4].copy_from_slice(&redo::hdr_no_of(lsn).to_be_bytes());
    block[4..6].copy_from_slice(&data_len.to_be_bytes());
    block[6..8].copy_from_slice(&12u16.to_be_bytes());
    block[8..12].copy_from_slice(&redo::epoch_of(lsn).to_be_bytes());
    let crc = crc32c::crc32c(&block[..508]);
    block[508..].copy_from_slice(&crc.to_be_bytes());
    block
}
