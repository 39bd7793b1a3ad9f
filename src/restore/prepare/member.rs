//! The backups of a step: the target, and the incremental.

use super::error::PrepareError;
use super::files::{self, Files, io};
use super::journal::MemberId;
use crate::innodb::redo::{BLOCK, FileHeader, HEADER};
use crate::innodb::{Lsn, redo};
use crate::manifest::{
    CHECKPOINTS, Checkpoints, FileEntry, FileRole, MANIFEST, Manifest, StoredPath, line_value,
};
use crate::reader::{directory, foreign, opened, server_names};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The redo log of a backup.
pub(super) const LOGFILE: &str = "xtrabackup_logfile";
const INFO: &str = "xtrabackup_info";
/// The description of the backup whose pages the target has, between two steps: a manifest
/// without objects.
pub(crate) const STATE: &str = "lsnap_prepare_state.json";

/// Longest checkpoints file that is read, in bytes.
const LONGEST: u64 = 64 << 10;
/// Longest state that is read, in bytes.
const LONGEST_STATE: u64 = 1 << 30;

/// The beginning of the creator in the header of a redo log that was not used yet.
const UNUSED: &str = "xtrabkup";
/// Offset and length of the creator in the header of a redo log, in bytes.
const CREATOR: (u64, usize) = (16, 32);

/// A backup in a directory.
pub(super) struct Member {
    pub(super) directory: PathBuf,
    pub(super) manifest: Manifest,
    /// True if there is no manifest of lsnap.
    pub(super) foreign: bool,
    pub(super) warnings: Vec<String>,
}

/// Reads `xtrabackup_checkpoints`.
pub(super) fn checkpoints(directory: &Path) -> Result<Checkpoints, PrepareError> {
    let path = directory.join(CHECKPOINTS);
    let wrong = |why: String| PrepareError::Checkpoints {
        path: path.clone(),
        why,
    };
    let text = files::read(&path, LONGEST).map_err(|error| {
        wrong(format!(
            "{error}; expected the directory of a backup that was extracted, decrypted and decompressed"
        ))
    })?;
    Checkpoints::parse(&text).map_err(wrong)
}

/// Returns the identity of an incremental.
pub(super) fn id(directory: &Path) -> Result<MemberId, PrepareError> {
    let checkpoints = checkpoints(directory)?;
    let path = directory.join(INFO);
    let info = match files::read(&path, LONGEST_STATE) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(io("read", &path)(error).into()),
    };
    Ok(MemberId {
        path: directory.display().to_string(),
        id: line_value(&info, "uuid").unwrap_or_default().to_owned(),
        from_lsn: checkpoints.from_lsn.0,
        to_lsn: checkpoints.to_lsn.0,
        last_lsn: checkpoints.last_lsn.0,
    })
}

/// Opens the target of a step: by its state, if there was a step before, else by its manifest.
pub(super) fn open_target(target: &Path) -> Result<Member, PrepareError> {
    let checkpoints = checkpoints(target)?;
    // As long as its manifest is there, nothing was changed, and it has the lengths of the files.
    let state = match target.join(MANIFEST).exists() {
        true => None,
        false => state(target)?,
    };
    let member = match state {
        Some(manifest) => Member {
            directory: target.to_path_buf(),
            manifest,
            foreign: false,
            warnings: Vec::new(),
        },
        None => open(target)?,
    };
    if used(target)? {
        return Err(PrepareError::Used {
            path: target.to_path_buf(),
        });
    }
    agrees(&member, &checkpoints)?;
    Ok(member)
}

/// Opens the incremental of a step.
pub(super) fn open_incremental(directory: &Path) -> Result<Member, PrepareError> {
    let checkpoints = checkpoints(directory)?;
    if used(directory)? {
        return Err(PrepareError::Used {
            path: directory.to_path_buf(),
        });
    }
    let member = open(directory)?;
    agrees(&member, &checkpoints)?;
    Ok(member)
}

fn open(path: &Path) -> Result<Member, PrepareError> {
    wrapped(path, 0)?;
    let mut opened = directory::open_plain(path)?;
    if opened.foreign {
        if !path.join("xtrabackup_tablespaces").exists() {
            return Err(PrepareError::State {
                path: path.to_path_buf(),
                why: "it has no xtrabackup_tablespaces, which is written last: the backup is incomplete".to_owned(),
            });
        }
        foreign::list(path, &mut opened.manifest)?;
    }
    Ok(Member {
        directory: path.to_path_buf(),
        manifest: opened.manifest,
        foreign: opened.foreign,
        warnings: opened.warnings,
    })
}

/// Checks that the checkpoints, which decide on the step, are those of the manifest.
fn agrees(member: &Member, checkpoints: &Checkpoints) -> Result<(), PrepareError> {
    let lsn = &member.manifest.lsn;
    for (key, found, expected) in [
        ("to_lsn", checkpoints.to_lsn, lsn.to_lsn),
        ("last_lsn", checkpoints.last_lsn, lsn.last_lsn),
    ] {
        if found != expected {
            return Err(PrepareError::Checkpoints {
                path: member.directory.join(CHECKPOINTS),
                why: format!(
                    "it has {key} = {found}, the description of the backup has {expected}; extract the backup again"
                ),
            });
        }
    }
    Ok(())
}

/// Reads the header of the redo log of a directory.
fn header(directory: &Path) -> Result<Vec<u8>, PrepareError> {
    let path = directory.join(LOGFILE);
    let head = files::read(&path, HEADER as u64).map_err(io("read", &path))?;
    if head.len() < HEADER {
        return Err(PrepareError::State {
            path,
            why: format!("it is cut off: expected at least the {HEADER} bytes of its header"),
        });
    }
    Ok(head)
}

/// Returns whether the redo log of a directory was applied already.
fn used(directory: &Path) -> Result<bool, PrepareError> {
    let header =
        FileHeader::parse_unsealed(&header(directory)?).map_err(|error| PrepareError::State {
            path: directory.join(LOGFILE),
            why: error.to_string(),
        })?;
    Ok(!header.creator_str().starts_with(UNUSED))
}

/// Returns the LSN at which the redo log of a directory begins.
pub(super) fn log_start(directory: &Path) -> Result<Lsn, PrepareError> {
    let head = header(directory)?;
    [BLOCK, 3 * BLOCK]
        .into_iter()
        .filter_map(|at| redo::parse_checkpoint(head.get(at..at + BLOCK)?))
        .max()
        .ok_or_else(|| PrepareError::State {
            path: directory.join(LOGFILE),
            why: "it has no valid checkpoint in its header".to_owned(),
        })
}

/// Marks the redo log of a directory as used: its creator is overwritten, as xtrabackup does.
pub(super) fn mark_used(directory: &Path, files: &Files<'_>) -> Result<(), PrepareError> {
    use std::os::unix::fs::FileExt as _;
    files.budget.spend()?;
    let path = directory.join(LOGFILE);
    let file = open_log(directory)?;
    file.write_all_at(&[b' '; CREATOR.1], CREATOR.0)
        .map_err(io("write", &path))?;
    Ok(file.sync_all().map_err(io("sync", &path))?)
}

/// Opens the redo log of a directory for [`mark_used`]: a directory that can't be written is found
/// before the step begins.
pub(super) fn open_log(directory: &Path) -> Result<std::fs::File, PrepareError> {
    let path = directory.join(LOGFILE);
    let file = std::fs::OpenOptions::new().write(true).open(&path);
    Ok(file.map_err(io("open for writing", &path))?)
}

/// Reads the state that a step left; `None` if there is none.
pub(super) fn state(target: &Path) -> Result<Option<Manifest>, PrepareError> {
    let path = target.join(STATE);
    let text = match files::read(&path, LONGEST_STATE) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read", &path)(error).into()),
    };
    let mut manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| PrepareError::State {
            path: path.clone(),
            why: format!("it can't be read ({error}); extract the backup again"),
        })?;
    for entry in &mut manifest.files {
        crate::reader::paths::check("state", entry.path.as_stored())?;
        if entry.role == FileRole::Redo {
            let log = target.join(LOGFILE);
            entry.bytes = std::fs::metadata(&log).map_err(io("look at", &log))?.len();
            entry.objects = opened::ranges(&entry.role, entry.bytes);
        }
    }
    Ok(Some(manifest))
}

/// Writes the state after a step: the target has the files of `manifest`.
pub(super) fn write_state(manifest: &Manifest, files: &Files<'_>) -> Result<(), PrepareError> {
    let mut state = manifest.without_files();
    state.id.clone_from(&manifest.id);
    state.files = manifest.files.iter().filter_map(described).collect();
    let text = serde_json::to_vec(&state).map_err(|error| PrepareError::State {
        path: files.path(STATE),
        why: error.to_string(),
    })?;
    Ok(files.replace(STATE, &text)?)
}

/// Returns a file of the target, which is plain and whole.
fn described(entry: &FileEntry) -> Option<FileEntry> {
    let (path, role) = match &entry.role {
        FileRole::DeltaMeta => return None,
        FileRole::Delta(space) | FileRole::Tablespace(space) => (
            space.name.clone(),
            FileRole::Tablespace(crate::manifest::SpaceFile {
                floor: None,
                ..space.clone()
            }),
        ),
        other => (entry.plain_path().to_owned(), other.clone()),
    };
    Some(FileEntry {
        path: StoredPath::new(path),
        role,
        bytes: entry.bytes,
        wrapping: None,
        objects: Vec::new(),
    })
}

/// Refuses files of a backup that are still compressed or encrypted.
fn wrapped(at: &Path, depth: usize) -> Result<(), PrepareError> {
    for entry in std::fs::read_dir(at).map_err(io("list", at))? {
        let entry = entry.map_err(io("list", at))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(io("look at", &path))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with(['#', '.']) {
            continue;
        }
        if kind.is_dir() {
            if depth == 0 {
                wrapped(&path, 1)?;
            }
            continue;
        }
        let Some((plain, layer)) = unwrapped(&name) else {
            continue;
        };
        if is_of_backup(plain) && !at.join(plain).exists() {
            let layer = match name.strip_suffix(".xbcrypt") {
                // It was decrypted already.
                Some(decrypted) if at.join(decrypted).exists() => "decompress",
                _ => layer,
            };
            return Err(PrepareError::Wrapped { path, layer });
        }
    }
    Ok(())
}

/// Returns the plain name of a file, and the option that unpacks it first.
fn unwrapped(name: &str) -> Option<(&str, &'static str)> {
    let (inner, option) = match name.strip_suffix(".xbcrypt") {
        Some(inner) => (inner, "decrypt"),
        None => (name, "decompress"),
    };
    let plain = [".zst", ".lz4", ".qp"]
        .iter()
        .find_map(|suffix| inner.strip_suffix(suffix))
        .unwrap_or(inner);
    (plain != name).then_some((plain, option))
}

/// Returns whether it is the name of a file of a backup: other files of the directory are the
/// caller's.
fn is_of_backup(name: &str) -> bool {
    let file = [".delta", ".meta"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    file != name
        || file.ends_with(".ibd")
        || file.ends_with(".ibu")
        || file.starts_with("ibdata")
        || file.starts_with("xtrabackup_")
        || file == "backup-my.cnf"
        || server_names::is_implicit_undo(file)
        || server_names::is_table(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_still_wrapped_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(dir.path().join(name), "x").unwrap();
        let check = || wrapped(dir.path(), 0).map_err(|e| e.to_string());
        std::fs::create_dir(dir.path().join("db")).unwrap();
        // The caller's own files.
        put("copy.log.zst");
        put("notes.xbcrypt");
        check().unwrap();
        put("db/t.ibd.zst");
        assert!(check().unwrap_err().contains(": decompress the"));
        // The plain file counts.
        put("db/t.ibd");
        check().unwrap();
        put("ibdata1.zst.xbcrypt");
        assert!(check().unwrap_err().contains(": decrypt the"));
        put("ibdata1.zst");
        assert!(check().unwrap_err().contains(": decompress the"));
        put("ibdata1");
        put("xtrabackup_info.xbcrypt");
        assert!(check().unwrap_err().contains(": decrypt the"));
        put("xtrabackup_info");
        put("undo_001.delta.lz4");
        assert!(check().unwrap_err().contains("undo_001.delta.lz4"));
    }
}
