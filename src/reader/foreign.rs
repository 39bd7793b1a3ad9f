//! Backup directories of xtrabackup (`docs/format/checkpoints.md`), read into a manifest as far as
//! a restore needs it.
//!
//! A full backup of xtrabackup has the same pages as one of lsnap, so the recovery of a server can
//! apply its redo log. The incrementals of xtrabackup begin where the last backup ended instead of
//! where it began, so a chain of them is prepared step by step by xtrabackup itself
//! (`docs/design.md#stepwise`); of these only the LSNs are read, and their files are not listed.
//! This was not run against a real xtrabackup: the tests create its files by hand, from that page.

use super::error::{ReadError, io};
use super::opened::{Opened, ranges};
use super::server_names::is_implicit_undo;
use crate::counted::count;
use crate::delta::{ClusterHeader, Meta, pages_per_cluster};
use crate::innodb::redo::{BLOCK, FileHeader, HEADER};
use crate::innodb::{Lsn, PageSize, SpaceHeader, SpaceId, data_files, redo};
use crate::manifest::{
    BackupKind, BackupName, BackupType, Binlog, CHECKPOINTS, Checkpoints, FileEntry, FileRole,
    Layout, LsnRange, Manifest, ServerIdentity, SpaceFile, StoredPath, line_value,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const LOGFILE: &str = "xtrabackup_logfile";
const INFO: &str = "xtrabackup_info";
const BINLOG_INFO: &str = "xtrabackup_binlog_info";
const OPTIONS: &str = "backup-my.cnf";

/// Longest small file that is read, in bytes: a GTID set can be long.
const LONGEST: u64 = 16 << 20;

/// Files that `--lock-ddl=REDUCED` leaves for `--prepare`
/// (`docs/format/delta.md#files-of-lock-ddlreduced`).
const REDUCED: [&str; 6] = [".del", ".ren", ".new", ".crpt", ".new.delta", ".new.meta"];

/// Ends of the names of compressed and encrypted files.
const STORED: [&str; 4] = [".zst", ".lz4", ".qp", ".xbcrypt"];

/// Opens the backup in a directory without lsnap's manifest.
///
/// # Errors
/// [`ReadError::NoBackup`] if it is not a backup, or one that lsnap can't restore.
pub(crate) fn open(directory: &Path) -> Result<Opened, ReadError> {
    let refuse = |why: String| ReadError::NoBackup {
        path: directory.to_path_buf(),
        why,
    };
    let Some(text) = small(directory, CHECKPOINTS)? else {
        return Err(refuse(why_not(directory)));
    };
    let checkpoints =
        Checkpoints::parse(&text).map_err(|what| refuse(format!("{CHECKPOINTS}: {what}")))?;
    let kind = match checkpoints.kind {
        BackupType::Full => BackupKind::Full,
        BackupType::Incremental => BackupKind::Incremental,
        prepared => {
            return Err(refuse(format!(
                "its redo log was applied already (backup_type = {prepared}): continue with the program that applied it"
            )));
        }
    };
    wrapped(directory).map_err(refuse)?;
    let info = small(directory, INFO)?.unwrap_or_default();
    let info = String::from_utf8_lossy(&info).into_owned();
    if value(&info, "tool_name").is_some_and(|tool| tool.contains("maria")) {
        return Err(refuse(
            "mariadb-backup made it: only its own --prepare can apply the redo log of MariaDB"
                .to_owned(),
        ));
    }
    let (header, start) = log(directory).map_err(refuse)?;
    let options = small(directory, OPTIONS)?.unwrap_or_default();
    let options = String::from_utf8_lossy(&options).into_owned();
    let server = server(&info, &options, &header).map_err(refuse)?;
    let binlog = small(directory, BINLOG_INFO)?.and_then(|text| binlog(&text));
    let manifest = Manifest {
        id: value(&info, "uuid").unwrap_or_default(),
        kind,
        server,
        lsn: LsnRange {
            from_lsn: checkpoints.from_lsn,
            scan_floor: checkpoints.from_lsn,
            start_checkpoint: start,
            to_lsn: checkpoints.to_lsn,
            last_lsn: checkpoints.last_lsn,
        },
        binlog,
        layout: Layout::Stream,
        ..Manifest::blank(name_of(directory))
    };
    Ok(Opened {
        manifest,
        foreign: true,
        warnings: vec![format!(
            "{} was not made by lsnap: there are no digests, so pages are checked one by one, and other files \
             are not checked",
            directory.display()
        )],
    })
}

/// Lists the files of a backup, for a restore without xtrabackup. The length of a tablespace file of
/// an incremental is not recorded: it is that of its first page, if the delta has it, and has at
/// least all pages of the delta.
///
/// # Errors
/// [`ReadError::NoBackup`] if there are files that only xtrabackup can process.
pub(crate) fn list(directory: &Path, manifest: &mut Manifest) -> Result<(), ReadError> {
    let files = files(directory, &manifest.server, manifest.binlog.as_ref());
    manifest.files = files.map_err(|why| match why {
        FilesError::Refused(why) => ReadError::NoBackup {
            path: directory.to_path_buf(),
            why,
        },
        FilesError::Io(error) => error,
    })?;
    Ok(())
}

/// Returns why a directory may lack `xtrabackup_checkpoints`.
fn why_not(directory: &Path) -> String {
    if directory.join("mariadb_backup_checkpoints").exists() {
        return "mariadb-backup made it: only its own --prepare can apply the redo log of MariaDB"
            .to_owned();
    }
    format!(
        "it has neither lsnap_manifest.json nor {CHECKPOINTS}: name a directory to which a backup was extracted, \
         or, if it is a repository, the backup in it"
    )
}

/// Refuses files that are still compressed or encrypted, because their content can't be read.
fn wrapped(directory: &Path) -> Result<(), String> {
    for (suffix, command) in [
        (".xbcrypt", "decrypt the files of the directory first"),
        (".zst.xbcrypt", "decrypt the files of the directory first"),
        (".lz4.xbcrypt", "decrypt the files of the directory first"),
        (".zst", "decompress the files of the directory first"),
        (".lz4", "decompress the files of the directory first"),
        (
            ".qp",
            "run `xtrabackup --decompress` on the directory first",
        ),
    ] {
        for name in [LOGFILE, INFO, "ibdata1"] {
            let wrapped = format!("{name}{suffix}");
            if !directory.join(name).exists() && directory.join(&wrapped).exists() {
                return Err(format!("{wrapped} was found instead of {name}: {command}"));
            }
        }
    }
    Ok(())
}

/// Reads a small file of the directory; `None` if it doesn't exist.
fn small(directory: &Path, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
    let path = directory.join(name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read", &path)(error)),
    };
    let mut text = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut text)
        .map_err(io("read", &path))?;
    Ok(Some(text))
}

fn value(text: &str, key: &str) -> Option<String> {
    line_value(text, key).map(str::to_owned)
}

/// Reads the header of the redo log and its checkpoint.
fn log(directory: &Path) -> Result<(FileHeader, Lsn), String> {
    let mut head = Vec::new();
    let read = File::open(directory.join(LOGFILE))
        .and_then(|file| file.take(HEADER as u64).read_to_end(&mut head));
    read.map_err(|error| format!("{LOGFILE}, the redo log, cannot be read: {error}"))?;
    if head.len() < HEADER {
        return Err(format!(
            "{LOGFILE} has {}, expected at least the {HEADER} of its header",
            count(head.len(), "byte")
        ));
    }
    let header = FileHeader::parse_unsealed(&head).map_err(|e| format!("{LOGFILE}: {e}"))?;
    if !header.creator_str().starts_with("xtrabkup") {
        return Err(format!(
            "{LOGFILE} was made by {:?}, expected xtrabkup: its redo was applied already, or it is not a \
             backup of xtrabackup",
            header.creator_str()
        ));
    }
    let checkpoint = [BLOCK, 3 * BLOCK]
        .into_iter()
        .filter_map(|at| redo::parse_checkpoint(head.get(at..at + BLOCK)?))
        .max()
        .ok_or_else(|| format!("{LOGFILE} has no valid checkpoint in its header"))?;
    Ok((header, checkpoint))
}

fn server(info: &str, options: &str, header: &FileHeader) -> Result<ServerIdentity, String> {
    let version = value(info, "server_version").ok_or_else(|| {
        format!(
            "{INFO} has no server_version, which determines the program that can apply the redo log"
        )
    })?;
    let page_size = value(options, "innodb_page_size").unwrap_or_else(|| "16384".to_owned());
    let page_size = page_size
        .parse()
        .ok()
        .and_then(|bytes| PageSize::new(bytes).ok())
        .ok_or_else(|| format!("{OPTIONS}: innodb_page_size={page_size} is not a page size"))?;
    let flavor = value(info, "server_flavor").unwrap_or_else(|| {
        // Percona's versions end with a number of their own: 8.0.36-28.
        let percona = version.split_once('-').is_some_and(|(_, build)| {
            build
                .split('.')
                .next()
                .is_some_and(|n| n.parse::<u32>().is_ok())
        });
        if percona { "Percona Server" } else { "MySQL" }.to_owned()
    });
    let release = version.split(['-', '+', ' ']).next().unwrap_or(&version);
    Ok(ServerIdentity {
        uuid: value(options, "server_uuid").unwrap_or_default(),
        redo_creator: format!("MySQL {release}"),
        version,
        flavor,
        hostname: String::new(),
        page_size,
        redo_format: redo::FORMAT,
        redo_log_uuid: header.log_uuid,
        data_file_path: value(options, "innodb_data_file_path")
            .unwrap_or_else(|| "ibdata1:12M:autoextend".to_owned()),
        lower_case_table_names: 0,
        settings: None,
    })
}

/// Parses `file<TAB>position[<TAB>gtid_executed]`.
fn binlog(text: &[u8]) -> Option<Binlog> {
    let text = String::from_utf8_lossy(text);
    let mut fields = text.trim_end().split('\t');
    Some(Binlog {
        file: fields.next()?.to_owned(),
        position: fields.next()?.parse().ok()?,
        gtid_executed: fields.next().unwrap_or_default().to_owned(),
    })
}

/// Returns the name of the backup in messages: that of the directory, if it is a valid backup name.
fn name_of(directory: &Path) -> BackupName {
    let name = directory
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let named = name.and_then(|name| BackupName::parse(&name).ok());
    named.unwrap_or_else(BackupName::unnamed)
}

/// The reason why the files can't be listed.
enum FilesError {
    Refused(String),
    Io(ReadError),
}

impl From<String> for FilesError {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl From<ReadError> for FilesError {
    fn from(error: ReadError) -> Self {
        Self::Io(error)
    }
}

fn files(
    directory: &Path,
    server: &ServerIdentity,
    binlog: Option<&Binlog>,
) -> Result<Vec<FileEntry>, FilesError> {
    let mut names = BTreeSet::new();
    walk(directory, "", &mut names)?;
    let kept = stored_forms(&names)?;
    names
        .iter()
        .filter(|name| !kept.contains(*name))
        .map(|name| entry(directory, name, server, binlog))
        .collect()
}

/// Returns the compressed and encrypted forms of files that were kept next to the plain ones, which count.
fn stored_forms(names: &BTreeSet<String>) -> Result<BTreeSet<String>, FilesError> {
    let mut kept = BTreeSet::new();
    for name in names {
        let mut plain = name.as_str();
        while let Some(inner) = STORED.iter().find_map(|end| plain.strip_suffix(end)) {
            plain = inner;
        }
        if plain == name {
            continue;
        }
        if !names.contains(plain) {
            return Err(FilesError::Refused(format!(
                "{name} was found without {plain}: decrypt and decompress the files of the directory first"
            )));
        }
        kept.insert(name.clone());
    }
    Ok(kept)
}

/// Lists the files of the directory and of the schemas in it; there are only two levels.
fn walk(directory: &Path, below: &str, names: &mut BTreeSet<String>) -> Result<(), FilesError> {
    let at = directory.join(below);
    for found in std::fs::read_dir(&at).map_err(io("list", &at))? {
        let found = found.map_err(io("list", &at))?;
        let name = found
            .file_name()
            .into_string()
            .map_err(|name| format!("the name of {} is not UTF-8", at.join(name).display()))?;
        let kind = found.file_type().map_err(io("look at", &found.path()))?;
        let path = format!("{below}{name}");
        if REDUCED.iter().any(|suffix| name.ends_with(suffix)) {
            return Err(FilesError::Refused(format!(
                "{path} is a record of DDL during the backup (--lock-ddl=REDUCED of xtrabackup), which only xtrabackup can \
                 apply: set RestoreOptions::applier to xtrabackup"
            )));
        }
        if kind.is_dir() && below.is_empty() {
            if !name.starts_with('#') {
                walk(directory, &format!("{name}/"), names)?;
            }
        } else if kind.is_file() {
            names.insert(path);
        } else {
            return Err(FilesError::Refused(format!(
                "{path} is neither a file nor a schema's directory"
            )));
        }
    }
    Ok(())
}

fn entry(
    directory: &Path,
    name: &str,
    server: &ServerIdentity,
    binlog: Option<&Binlog>,
) -> Result<FileEntry, FilesError> {
    let path = directory.join(name);
    let bytes = std::fs::metadata(&path)
        .map_err(io("look at", &path))?
        .len();
    let logs = |binlog: &Binlog| {
        let stem = binlog.file.rsplit_once('.').map_or("", |(stem, _)| stem);
        name == binlog.file || name.strip_suffix(".index") == Some(stem)
    };
    let role = if name == LOGFILE {
        FileRole::Redo
    } else if let Some(of) = name.strip_suffix(".delta") {
        FileRole::Delta(delta(directory, of, server)?)
    } else if name.ends_with(".meta") && directory.join(meta_delta(name)).exists() {
        FileRole::DeltaMeta
    } else if let Some(space) = space(&path, name, bytes, server)? {
        FileRole::Tablespace(space)
    } else if binlog.is_some_and(logs) {
        FileRole::BinaryLog
    } else if name == OPTIONS || name.starts_with("xtrabackup_") {
        FileRole::Metadata
    } else {
        FileRole::Plain
    };
    Ok(FileEntry {
        path: StoredPath::new(name),
        objects: ranges(&role, bytes),
        role,
        bytes,
        wrapping: None,
    })
}

/// Returns the name of the delta to which a `.meta` file belongs.
fn meta_delta(name: &str) -> String {
    let stem = name.strip_suffix(".meta").unwrap_or(name);
    format!("{stem}.delta")
}

/// Reads the `.meta` of a delta, and the extent of its tablespace file.
fn delta(directory: &Path, of: &str, server: &ServerIdentity) -> Result<SpaceFile, FilesError> {
    let meta = small(directory, &format!("{of}.meta"))?
        .ok_or_else(|| format!("{of}.delta has no {of}.meta, which describes its tablespace"))?;
    let meta = Meta::parse(&String::from_utf8_lossy(&meta))
        .map_err(|error| format!("{of}.meta: {error}"))?;
    let path = directory.join(format!("{of}.delta"));
    let file = File::open(&path).map_err(io("read", &path))?;
    let single = data_files(&server.data_file_path).count() == 1;
    let is_whole = meta.space_id != SpaceId::SYSTEM || single;
    let pages =
        extent(&file, meta.page_size, is_whole).map_err(|error| format!("{of}.delta: {error}"))?;
    let node = data_files(&server.data_file_path).position(|(file, _)| file == of);
    Ok(SpaceFile {
        name: of.to_owned(),
        space_id: meta.space_id,
        node: match meta.space_id {
            SpaceId::SYSTEM => node.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            _ => 0,
        },
        flags: meta.space_flags,
        page_size: meta.page_size,
        bytes: pages.max(1) * meta.page_size.bytes() as u64,
        undo: is_undo(of),
        encrypted: meta.space_flags.is_encrypted(),
        external: None,
        tablespace_name: None,
        floor: None,
        allocated: None,
    })
}

/// Returns the number of pages that a tablespace file has at least, by its delta. `is_whole`: it is
/// the only file of its tablespace, whose first page has the number of pages.
fn extent(delta: &File, size: PageSize, is_whole: bool) -> Result<u64, String> {
    let mut page = vec![0; size.bytes()];
    let (mut at, mut pages) = (0, 0);
    loop {
        let read = delta.read_exact_at(&mut page, at);
        read.map_err(|error| format!("the header of the cluster at byte {at}: {error}"))?;
        let header = ClusterHeader::parse(&page, size, at).map_err(|error| error.to_string())?;
        for (number, listed) in (1..).zip(&header.pages) {
            pages = pages.max(u64::from(listed.0) + 1);
            if is_whole && listed.0 == 0 {
                let first = at + number * size.bytes() as u64;
                let read = delta.read_exact_at(&mut page, first);
                read.map_err(|error| format!("page 0 at byte {first}: {error}"))?;
                if let Ok(header) = SpaceHeader::parse(&page) {
                    pages = pages.max(u64::from(header.size_pages));
                }
            }
        }
        if header.last {
            return Ok(pages);
        }
        at += (u64::from(pages_per_cluster(size)) + 1) * size.bytes() as u64;
    }
}

/// Returns whether it is the name of a file of an undo tablespace; they are not in the directories of schemas.
fn is_undo(name: &str) -> bool {
    !name.contains('/') && (name.ends_with(".ibu") || is_implicit_undo(name))
}

/// Returns the tablespace that a file belongs to; `None` if it is not a tablespace file.
fn space(
    path: &Path,
    name: &str,
    bytes: u64,
    server: &ServerIdentity,
) -> Result<Option<SpaceFile>, FilesError> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let system = data_files(&server.data_file_path).position(|(file, _)| file == name);
    let undo = is_undo(name);
    if !(last.ends_with(".ibd") || undo || system.is_some()) {
        return Ok(None);
    }
    let node = system.unwrap_or(0);
    let header = if node == 0 {
        let mut head = Vec::new();
        let file = File::open(path).map_err(io("read", path))?;
        file.take(1024)
            .read_to_end(&mut head)
            .map_err(io("read", path))?;
        Some(SpaceHeader::parse(&head).map_err(|e| format!("{name}: {e}"))?)
    } else {
        None
    };
    let flags = header.map(|header| header.flags).unwrap_or_default();
    let page_size = match header {
        Some(header) => (header.flags.physical_page_size()).map_err(|e| format!("{name}: {e}"))?,
        None => server.page_size,
    };
    Ok(Some(SpaceFile {
        name: name.to_owned(),
        space_id: header.map_or(SpaceId::SYSTEM, |header| header.space_id),
        node: u32::try_from(node).unwrap_or(u32::MAX),
        flags,
        page_size,
        bytes,
        undo,
        encrypted: flags.is_encrypted(),
        external: None,
        tablespace_name: None,
        floor: None,
        allocated: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::is_undo;

    #[test]
    fn only_files_outside_of_schemas_are_undo_tablespaces() {
        for name in ["undo_001", "undo_127", "more.ibu"] {
            assert!(is_undo(name), "{name}");
        }
        for name in [
            "db/undo_log.ibd",
            "db/undo_001",
            "undo_x.ibd",
            "undo_1_trunc.log",
        ] {
            assert!(!is_undo(name), "{name}");
        }
    }
}
