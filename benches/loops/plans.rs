//! Work for each file or each member: manifests, and the plan of a restore.

use super::{Loop, Scale};
use lsnap::benching::plan_chain;
use lsnap::innodb::{Lsn, PageSize, SpaceFlags, SpaceId, redo};
use lsnap::manifest::{
    BackupKind, BackupName, BaseRef, Digest, FileEntry, FileRole, LsnRange, Manifest, ObjectEntry,
    ServerIdentity, SpaceFile, StoredPath, manifest_chunks, parse_manifest,
};

const MIB: u64 = 1 << 20;
const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
/// Tablespaces of each member of a chain.
const SPACES: u32 = 4;

pub fn loops(scale: Scale) -> Vec<Loop> {
    let large = member(0, scale.files);
    let chunks = manifest_chunks(&large).expect("a sound manifest");
    // Heads and payloads alternate.
    let payloads = chunks.iter().skip(1).step_by(2);
    let text: Vec<u8> = payloads.flat_map(|part| part.to_vec()).collect();
    let mut chain: Vec<_> = (0..scale.members).map(|n| member(n, SPACES)).collect();
    vec![
        Loop::items("manifest/write, a file", scale.files, move || {
            manifest_chunks(&large).map_or(0, |parts| parts.len())
        }),
        Loop::items("manifest/parse, a file", scale.files, move || {
            let read = parse_manifest(&text).expect("what was written is read");
            read.files.len()
        }),
        Loop::items("chain/plan, a member", scale.members, move || {
            plan_chain(&mut chain).expect("a sound chain")
        }),
    ]
}

/// Returns the member of this number of a chain: a full backup, then incrementals.
fn member(number: u32, spaces: u32) -> Manifest {
    let at = |n: u32| u64::from(n) * 1_000_000 + 1000;
    let name = |n: u32| {
        let text = match n {
            0 => "c-2026-01-01-00:00:00-full".to_owned(),
            n => format!("c-2026-01-01-00:00:00-full.incr/c-{n:06}-incr"),
        };
        BackupName::parse(&text).expect("a name")
    };
    let id = |n: u32| format!("00000000-0000-4000-8000-{n:012}");
    let before = number.checked_sub(1);
    let base = before.map(|n| BaseRef {
        name: name(n),
        id: id(n),
        to_lsn: Lsn(at(n) + 500),
    });
    let mut files: Vec<_> = (0..spaces).map(|n| space(number, n)).collect();
    files.push(file("xtrabackup_logfile", FileRole::Redo, 4 * MIB));
    Manifest {
        lsnap_version: "0.1.0".into(),
        id: id(number),
        kind: match base {
            None => BackupKind::Full,
            Some(_) => BackupKind::Incremental,
        },
        lsn: LsnRange {
            from_lsn: base.as_ref().map_or(Lsn(0), |base| base.to_lsn),
            scan_floor: before.map_or(Lsn(0), |n| Lsn(at(n))),
            start_checkpoint: Lsn(at(number)),
            to_lsn: Lsn(at(number) + 500),
            last_lsn: Lsn(at(number) + 900),
        },
        base,
        server: ServerIdentity {
            uuid: UUID.into(),
            version: "9.7.4".into(),
            flavor: "mysql".into(),
            hostname: "h".into(),
            page_size: PageSize::DEFAULT,
            redo_format: redo::FORMAT,
            redo_creator: "MySQL 9.7.4".into(),
            redo_log_uuid: 1,
            data_file_path: "ibdata1:12M:autoextend".into(),
            lower_case_table_names: 0,
            settings: None,
        },
        files,
        ..Manifest::blank(name(number))
    }
}

/// Returns a tablespace: first the two that every restore needs, then tables.
fn space(member: u32, number: u32) -> FileEntry {
    let (id, name) = match number {
        0 => (SpaceId::SYSTEM, "ibdata1".to_owned()),
        1 => (SpaceId::DICTIONARY, "mysql.ibd".to_owned()),
        n => (SpaceId(n + 10), format!("db{}/table_{n:06}.ibd", n / 1000)),
    };
    let space = SpaceFile {
        name: name.clone(),
        space_id: id,
        node: 0,
        flags: SpaceFlags(0x4021),
        page_size: PageSize::DEFAULT,
        bytes: 16 * MIB,
        undo: false,
        encrypted: false,
        external: None,
        tablespace_name: None,
        floor: None,
        allocated: None,
    };
    match member {
        0 => file(&name, FileRole::Tablespace(space), 16 * MIB),
        _ => file(&format!("{name}.delta"), FileRole::Delta(space), MIB),
    }
}

/// Returns a file in objects of 8 MiB.
fn file(path: &str, role: FileRole, bytes: u64) -> FileEntry {
    let objects = (0..bytes.div_ceil(8 * MIB)).map(|index| ObjectEntry {
        pack: None,
        index,
        offset: index * 8 * MIB,
        at: None,
        bytes: bytes.min(8 * MIB),
        digest: Some(Digest::of(&(index + bytes).to_le_bytes())),
    });
    FileEntry {
        path: StoredPath::new(path),
        role,
        bytes,
        wrapping: None,
        objects: objects.collect(),
    }
}
