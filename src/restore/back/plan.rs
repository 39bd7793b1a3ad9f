//! The places of the files of a backup.

use super::binary_log;
use super::error::{BackError, directory, io, target};
use super::places::{Places, REDO};
use super::source::{External, Found, Source};
use crate::counted::count;
use crate::restore::prepare::PREPARED;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Files that describe the backup, in any directory of it. (xtrabackup matches the ends of names.)
const DESCRIPTIONS: [&str; 10] = [
    "backup-my.cnf",
    "xtrabackup_logfile",
    "xtrabackup_binary",
    "xtrabackup_binlog_info",
    "xtrabackup_checkpoints",
    "xtrabackup_tablespaces",
    // Older releases have `xtrabackup_` before the name.
    "component_keyring_file.cnf",
    "component_keyring_kmip.cnf",
    "component_keyring_kms.cnf",
    "component_keyring_vault.cnf",
];
/// The begin of the names of lsnap's own files in the top directory.
const OF_LSNAP: &str = "lsnap_";
/// Files of the server that applied the redo log. Its identity would be the same in each copy of the
/// backup.
const OF_THE_APPLIER: [&str; 2] = ["auto.cnf", "ibtmp1"];
/// The directory of temporary tablespaces, which a server makes anew.
const TEMPORARY: &str = "#innodb_temp";
/// Ends of names of files that are not placed.
const ENDS: [&str; 6] = [".qp", ".lz4", ".zst", ".pmap", ".tmp", ".xbcrypt"];
/// Ends of names of files whose content is in another file after `--decompress` and `--decrypt`.
const WRAPPED: [&str; 4] = [".qp", ".lz4", ".zst", ".xbcrypt"];
/// The keys of tablespaces, encrypted with the transition key of xtrabackup.
const KEYS: &str = "xtrabackup_keys";
/// The data dictionary.
const DICTIONARY: &str = "mysql.ibd";

/// The redo log of a backup whose redo log is not applied.
const FIRST_REDO: &str = "#innodb_redo/#ib_redo0";

/// A file and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// The file in the backup.
    pub(super) from: PathBuf,
    /// Its place.
    pub(super) to: PathBuf,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// Placed after all others: the redo log, and then the files without which no server starts.
    pub(super) is_last: bool,
    /// A tablespace outside of the data directory.
    pub(super) is_external: bool,
}

/// A file that is not in the backup.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Made {
    pub(super) to: PathBuf,
    pub(super) text: Vec<u8>,
}

/// The places of all files of a backup.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The files: those that are placed last at the end, with the first file of the system
    /// tablespace as the very last.
    pub(super) files: Vec<Placed>,
    /// Directories without files.
    pub(super) directories: Vec<PathBuf>,
    /// Files that are written anew.
    pub(super) made: Vec<Made>,
    /// Files of the backup that [`Self::made`] replaces.
    pub(super) used_up: Vec<PathBuf>,
    /// What was left out, if that is worth a warning.
    pub(super) warnings: Vec<String>,
}

impl Plan {
    pub(super) fn of(source: &Source, places: &Places) -> Result<Self, BackError> {
        let logs = binary_log::of(source, places);
        let mut plan = Self::default();
        let mut last = Vec::new();
        for file in &source.files {
            if logs.index.as_ref() == Some(&file.name) {
                plan.used_up.push(source.path.join(&file.name));
                continue;
            }
            if is_omitted(&file.name) {
                continue;
            }
            let (to, rank, is_external) = match logs.files.get(&file.name) {
                Some(to) => (to.clone(), None, false),
                None => place(file, source, places)?,
            };
            let placed = Placed {
                from: source.path.join(&file.name),
                to,
                bytes: file.bytes,
                is_last: rank.is_some(),
                is_external,
            };
            match rank {
                None => plan.files.push(placed),
                Some(rank) => last.push((rank, placed)),
            }
        }
        last.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        plan.files
            .extend(last.into_iter().map(|(_, placed)| placed));
        plan.made.extend(logs.made);
        for empty in &source.empty {
            // A server with an empty directory of the redo log starts without one.
            if !empty.starts_with(TEMPORARY) && !empty.starts_with(REDO) {
                plan.directories.push(below(empty, places));
            }
        }
        plan.warn_of_wrapped(source);
        if source.has(Path::new(KEYS)) {
            plan.warnings.push(format!(
                "{KEYS} is in the backup: its keys, which need a transition key, are not used; the server needs the \
                 keyring of the source"
            ));
        }
        plan.unique()?;
        Ok(plan)
    }

    fn warn_of_wrapped(&mut self, source: &Source) {
        let alone: Vec<_> = source
            .files
            .iter()
            .filter(|file| {
                let name = file.name.to_string_lossy();
                let bare = unwrapped(&name);
                let bare = Path::new(bare);
                bare != file.name && !is_omitted(bare) && !source.has(bare)
            })
            .collect();
        if let Some(first) = alone.first() {
            self.warnings.push(format!(
                "{} of the backup, the first of them {}, {} not decompressed or not decrypted, and not placed",
                count(alone.len(), "file"),
                first.name.display(),
                if alone.len() == 1 { "is" } else { "are" }
            ));
        }
    }

    fn unique(&self) -> Result<(), BackError> {
        let mut seen = BTreeSet::new();
        let places = self.files.iter().map(|file| &file.to);
        for to in places.chain(self.made.iter().map(|made| &made.to)) {
            if !seen.insert(to) {
                return Err(directory(
                    to,
                    "two files of the backup have this place; use another backup",
                ));
            }
        }
        Ok(())
    }

    /// Checks that the files without which no server starts, and those that the last step of prepare
    /// left, are in the backup, or in their places since a former run.
    pub(super) fn check_complete(
        &self,
        source: &Source,
        places: &Places,
        continued: bool,
    ) -> Result<(), BackError> {
        let named: BTreeSet<&str> = places.system.iter().map(|(name, _)| &**name).collect();
        let of_backup = source.data_file_path.split(';').map(|file| {
            let path = file.split(':').next().unwrap_or(file);
            path.rsplit('/').next().unwrap_or(path)
        });
        if let Some(other) = of_backup.into_iter().find(|name| !named.contains(name)) {
            return Err(target(
                &source.path,
                format!(
                    "its system tablespace is {:?}, in which {other} is; the given innodb_data_file_path doesn't have it; \
                     correct BackOptions::data_file_path",
                    source.data_file_path
                ),
            ));
        }
        let is_there =
            |name: &str, to: &Path| source.has(Path::new(name)) || (continued && to.is_file());
        let system = places.system.iter().map(|(name, to)| (&**name, to.clone()));
        let dictionary = (DICTIONARY, places.datadir.join(DICTIONARY));
        for (name, to) in system.chain([dictionary]) {
            if !is_there(name, &to) {
                return Err(target(
                    &source.path,
                    format!(
                        "it has no {name}: it is incomplete, or its files were moved already; use another backup"
                    ),
                ));
            }
        }
        let Some(list) = &source.prepared else {
            return Ok(());
        };
        let redo = list.redo_pending.then_some(FIRST_REDO);
        for name in list.files.iter().map(String::as_str).chain(redo) {
            let file = Found {
                name: PathBuf::from(name),
                bytes: 0,
            };
            let (to, ..) = place(&file, source, places)?;
            if !is_there(name, &to) {
                return Err(target(
                    &source.path,
                    format!(
                        "it has no {name}, which it had when it was prepared ({PREPARED}): it is incomplete; use \
                         another backup"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Checks that nothing is in the places. After a former run, the content decides.
    pub(super) fn check_free(&self, continued: bool) -> Result<(), BackError> {
        if continued {
            return Ok(());
        }
        let places = self.files.iter().map(|file| &file.to);
        for to in places.chain(self.made.iter().map(|made| &made.to)) {
            match to.symlink_metadata() {
                Ok(_) => return Err(BackError::Exists { path: to.clone() }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io("look at", to)(error)),
            }
        }
        Ok(())
    }

    /// Returns the directories of all places.
    pub(super) fn parents(&self) -> BTreeSet<&Path> {
        let places = self.files.iter().map(|file| &file.to);
        places
            .chain(self.made.iter().map(|made| &made.to))
            .filter_map(|to| to.parent())
            .collect()
    }

    /// Returns the places of the files that a server applies to its tablespaces at its start.
    pub(super) fn logs(&self) -> Vec<PathBuf> {
        let to = self.files.iter().map(|file| &file.to);
        to.filter(|to| is_log(to)).cloned().collect()
    }

    /// Returns the tablespaces outside of the data directory.
    pub(super) fn external(&self) -> Vec<PathBuf> {
        let files = self.files.iter().filter(|file| file.is_external);
        files.map(|file| file.to.clone()).collect()
    }
}

/// Returns the place of a file; for a file that is placed last, its rank: 0 for the very last; and
/// whether it is a tablespace outside of the data directory.
fn place(
    file: &Found,
    source: &Source,
    places: &Places,
) -> Result<(PathBuf, Option<usize>, bool), BackError> {
    let name = &file.name;
    let top = name.to_str().filter(|name| !name.contains('/'));
    if let Some(top) = top {
        let system = places.system.iter().position(|(system, _)| system == top);
        if let Some(rank) = system {
            return Ok((places.system[rank].1.clone(), Some(rank), false));
        }
        if top == DICTIONARY {
            return Ok((places.datadir.join(name), Some(places.system.len()), false));
        }
        let is_undo = is_numbered(top, "undo_") || top.ends_with(".ibu");
        if is_undo {
            return Ok((places.undo.join(name), None, false));
        }
    }
    if let Some(external) = source.external.iter().find(|other| is_of(other, name)) {
        let to = external_place(external, source, places)?;
        let is_external = !to.starts_with(&places.datadir);
        return Ok((to, None, is_external));
    }
    // A server that finds no redo log takes the tablespaces as they are.
    let rank = name.starts_with(REDO).then_some(places.system.len() + 1);
    Ok((below(name, places), rank, false))
}

/// Returns whether the entry of a tablespace is that of this file of the backup. A table is named
/// `db/t`; the file of a general tablespace has its own name in the backup.
fn is_of(external: &External, name: &Path) -> bool {
    if external.tablespace_type == "UNDO_LOG" || name.extension() != Some("ibd".as_ref()) {
        return false;
    }
    let stem = name.with_extension("");
    if stem.as_os_str() == &*external.tablespace_name {
        return true;
    }
    !external.tablespace_name.contains('/')
        && name.components().count() == 1
        && external.file_name.file_name() == name.file_name()
}

/// Returns the place of a tablespace that the server has outside of its data directory.
fn external_place(
    external: &External,
    source: &Source,
    places: &Places,
) -> Result<PathBuf, BackError> {
    external
        .place(&places.datadir, &source.path)
        .ok_or_else(|| {
            target(
                &source.path,
                format!(
                    "its xtrabackup_tablespaces has the place {} for a tablespace, expected a path that ends with .ibd and \
                     has no `..`; use another backup",
                    external.file_name.display()
                ),
            )
        })
}

/// Returns the place of a file that has none of its own.
fn below(name: &Path, places: &Places) -> PathBuf {
    if name.starts_with(REDO) {
        places.redo.join(name)
    } else {
        places.datadir.join(name)
    }
}

/// Returns whether a file is not placed.
fn is_omitted(name: &Path) -> bool {
    let Some(last) = name.file_name().map(std::ffi::OsStr::to_string_lossy) else {
        return true;
    };
    let is_top = name.components().count() == 1;
    DESCRIPTIONS.iter().any(|end| last.ends_with(end))
        || ENDS.iter().any(|end| last.ends_with(end))
        || is_old_redo(&last)
        || name.starts_with(TEMPORARY)
        || (is_top && (last.starts_with(OF_LSNAP) || OF_THE_APPLIER.contains(&&*last)))
}

/// Returns whether a server applies the file to its tablespaces at its start.
fn is_log(to: &Path) -> bool {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let above = to.parent().and_then(Path::file_name);
    above == Some(REDO.as_ref()) || is_doublewrite(&name)
}

/// Returns whether a name is that of a file of the doublewrite buffer.
pub(super) fn is_doublewrite(name: &str) -> bool {
    name.starts_with("#ib_") && (name.ends_with(".dblwr") || name.ends_with(".bdblwr"))
}

/// Returns whether a name is that of a redo log of older servers.
pub(super) fn is_old_redo(name: &str) -> bool {
    is_numbered(name, "ib_logfile")
}

/// Returns whether a name is `stem` with a number.
fn is_numbered(name: &str, stem: &str) -> bool {
    let digits = name.strip_prefix(stem).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Returns the name of a file after it is decrypted and decompressed.
fn unwrapped(name: &str) -> &str {
    WRAPPED
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .map_or(name, unwrapped)
}
