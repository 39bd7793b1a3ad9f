//! A repository of small backups for tests of all code that reads backups: tablespaces as lists of
//! pages, and backups of them that are written by the real upload and formats.

mod objects;
mod redo;
mod spaces;

pub(crate) use objects::put_file;
use objects::{put_delta, put_image};
pub(crate) use redo::{redo_block, redo_log};
pub(crate) use spaces::{P, Space, page, system};

use crate::innodb::redo::FORMAT;
use crate::innodb::{Lsn, PageSize, SpaceId};
use crate::manifest::{
    BackupKind, BackupName, BaseRef, Binlog, FileEntry, FileRole, LsnRange, Manifest,
    ServerIdentity,
};
use crate::store::Repository;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const LOG_UUID: u32 = 0x5EED_0001;

/// A repository and the backups in it.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) repo: Repository,
    pub(crate) chain: Vec<Manifest>,
    /// Number of pages in one object.
    pub(crate) object_pages: usize,
    /// Bit n: in the n-th backup, tablespace files of one object are packed.
    pub(crate) packs: u32,
    /// A redo log to store instead of a valid one.
    pub(crate) redo: Option<Vec<u8>>,
    /// Further plain files, with their content.
    pub(crate) plain: Vec<(String, String)>,
    /// The LSN from which pages are stored in a delta, if it is not the one in the manifest.
    pub(crate) scan_floor: Option<Lsn>,
    /// Number of backups that are no longer in the chain.
    pub(crate) past: usize,
    /// The day in the names of full backups.
    pub(crate) day: u8,
    /// True if manifests record the floor of each delta.
    pub(crate) floors: bool,
    /// The key of the manifests' MACs.
    pub(crate) mac_key: Option<[u8; 32]>,
    /// Bit n: `to_lsn` of the n-th backup is the checkpoint at its end, as in manifests of earlier
    /// versions.
    pub(crate) ends: u32,
}

/// Returns the start checkpoint of the n-th backup.
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
            day: 1,
            floors: true,
            mac_key: None,
            ends: 0,
        }
    }

    /// Creates a backup: first a full one, then incrementals of the pages that are new enough.
    pub(crate) fn backup(&mut self, spaces: &[Space]) {
        self.backup_with_changes(spaces, |_| {});
    }

    /// Creates a backup and changes its manifest afterwards with `change`. The store would neither
    /// write nor read such a manifest, but the planner must not rely on that.
    pub(crate) fn backup_with_changes(
        &mut self,
        spaces: &[Space],
        change: impl FnOnce(&mut Manifest),
    ) {
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
        let object = (self.object_pages, packs);
        let mut files = Vec::new();
        for space in spaces {
            if number == 0 {
                files.push(put_image(&upload, space, object));
            } else {
                let spaces = base.iter().flat_map(|base| &base.files);
                let known = spaces
                    .filter_map(|file| file.role.space())
                    .any(|known| known.space_id == SpaceId(space.id));
                let of_file = if known { floor } else { Lsn(0) };
                let from = self.scan_floor.unwrap_or(of_file);
                let mut delta = put_delta(&upload, space, from, object);
                if let FileRole::Delta(space) = &mut delta.role {
                    space.floor = self.floors.then_some(of_file);
                }
                files.push(delta);
            }
        }
        // Only now, because `finish_file` uploads the pack of the file.
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
        change(&mut manifest);
        self.chain.push(manifest);
    }

    fn name(&self, number: usize, clock: usize) -> BackupName {
        let text = if number == 0 {
            format!("c-2026-01-{:02}-00:00:00-full", self.day)
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
                redo_format: FORMAT,
                redo_creator: "MySQL 8.4.5".into(),
                redo_log_uuid: LOG_UUID,
                data_file_path: "ibdata1:12M:autoextend".into(),
                lower_case_table_names: 0,
                settings: None,
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

    /// Removes all objects of these backups.
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

    /// Returns the path of an object on disk.
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

/// Decodes `%XX`: local object stores escape some characters of a path.
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

/// Returns all files below a directory with their content.
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
