//! Files on which a recovering program would act are kept out of the directory that it works in.
//!
//! The recovery of a server needs tablespaces, the redo log and the files of tables. All other
//! files of a data directory are configuration: `mysqld.my` contains components to load,
//! `component_*.cnf` contains files and hosts, `mysqld-auto.cnf` sets variables. A backup can come
//! from an untrusted source, so these files are kept separately until the recovery has ended.
//! [`finished`] lists the files that are placed, and those that are moved to their places later.

use super::binary_log::{BinaryLog, Part};
use super::error::{RestoreError, io};
use super::finished::Class;
use super::{ApplierKind, finished, option_file};
use crate::manifest::{FileRole, Manifest};
use crate::reader::layout::KEPT_METADATA;
use crate::reader::{PlainPlan, bare};
use std::path::{Path, PathBuf};

/// The directories of a restore while the redo applier runs.
#[derive(Debug, Clone)]
pub(super) struct WorkDirectories {
    /// The directory that becomes the data directory.
    pub(super) root: PathBuf,
    /// The directory of files that are kept separately.
    pub(super) held: PathBuf,
    /// The directory of the binary log of a recovering server.
    pub(super) binlog: PathBuf,
}

impl WorkDirectories {
    pub(super) fn of(work: &Path, root: PathBuf) -> Self {
        Self {
            root,
            held: work.join("held"),
            binlog: work.join("binlog"),
        }
    }
}

/// How a plain file is placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placement {
    /// Not written.
    Skipped,
    /// Written, and removed if it is not a list of warm pages.
    WarmPages(PathBuf),
    /// Written unchanged.
    Copied(PathBuf),
    /// Written with content that lsnap creates, from the stored content or without it.
    Made(PathBuf, Content),
}

/// Content other than the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// [`BinaryLog::own_index`].
    Index,
    /// [`option_file::safe`].
    Options,
    /// [`finished::components`].
    Components,
}

/// Returns how a plain file is placed; `log` is the backup's binary log, `trusted` is
/// [`finished::trusted`].
pub(super) fn placement(
    file: &PlainPlan,
    role: &FileRole,
    applier: ApplierKind,
    log: Option<&BinaryLog>,
    trusted: bool,
    directories: &WorkDirectories,
) -> Placement {
    let name = file.path.as_str();
    let in_root = directories.root.join(name);
    // A server that is started later reads the binary log from its data directory.
    let for_server = applier == ApplierKind::Mysqld;
    let is_whole = applier != ApplierKind::Xtrabackup;
    if let FileRole::BinaryLog = role {
        return match (log.and_then(|log| log.part(name)), for_server) {
            (Some(Part::File(number)), true) => {
                Placement::Copied(directories.binlog.join(BinaryLog::file(&number)))
            }
            (Some(Part::File(_)), false) => Placement::Copied(in_root),
            (Some(Part::Index), false) => Placement::Made(in_root, Content::Index),
            // A server's own index is written when all files are there.
            _ => Placement::Skipped,
        };
    }
    if file.metadata {
        let kept = match is_whole {
            true => KEPT_METADATA.contains(&name),
            false => finished::is_metadata(name),
        };
        return match name {
            option_file::NAME if kept => Placement::Made(in_root, Content::Options),
            _ if kept => Placement::Copied(in_root),
            _ => Placement::Skipped,
        };
    }
    // An empty db.opt only shows that its schema exists.
    if file.bytes == 0 && name.ends_with("/db.opt") {
        return Placement::Skipped;
    }
    let held = directories.held.join(name);
    match finished::class(name) {
        Class::Data => Placement::Copied(in_root),
        Class::Components if !trusted => Placement::Made(held, Content::Components),
        Class::Components | Class::Configuration if trusted => Placement::Copied(held),
        Class::Unknown => Placement::WarmPages(held),
        _ => Placement::Skipped,
    }
}

/// Moves the separately kept files to their places in the data directory, after the redo applier
/// has ended. A file that already exists stays: a keyring configuration of the caller.
pub(super) fn place_held(directories: &WorkDirectories) -> Result<(), RestoreError> {
    if directories.held.is_dir() {
        move_below(&directories.held, &directories.root)?;
        std::fs::remove_dir_all(&directories.held).map_err(io("remove", &directories.held))?;
    }
    Ok(())
}

fn move_below(from: &Path, to: &Path) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(from).map_err(io("list", from))? {
        let entry = entry.map_err(io("list", from))?;
        let (path, into) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(io("look at", &path))?;
        if kind.is_dir() {
            if !into.exists() {
                super::new_directory::make_directory(&into)?;
            }
            move_below(&path, &into)?;
        } else if std::fs::symlink_metadata(&into).is_err() {
            std::fs::rename(&path, &into).map_err(io("move a file to", &into))?;
        }
    }
    Ok(())
}

/// Copies the caller's component list and keyring configuration into the data directory.
///
/// # Errors
/// [`RestoreError::KeyringConfig`] for a directory with neither.
pub(super) fn copy_keyring(from: &Path, root: &Path) -> Result<(), RestoreError> {
    let refuse = |what: String| RestoreError::KeyringConfig {
        path: from.to_path_buf(),
        what,
    };
    let entries = std::fs::read_dir(from).map_err(|e| refuse(format!("can't be listed: {e}")))?;
    let mut found = 0;
    for entry in entries {
        let entry = entry.map_err(io("list", from))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_keyring_config(name)) else {
            continue;
        };
        let into = root.join(name);
        std::fs::copy(entry.path(), &into).map_err(io("copy to", &into))?;
        found += 1;
    }
    if found == 0 {
        return Err(refuse(
            "has no mysqld.my and no component_keyring_*.cnf, expected at least one of them"
                .to_owned(),
        ));
    }
    Ok(())
}

fn is_keyring_config(name: &str) -> bool {
    name == "mysqld.my" || (name.starts_with("component_keyring_") && name.ends_with(".cnf"))
}

/// Returns the separately kept files of a manifest that locate keys.
pub(super) fn keyring_config(manifest: &Manifest) -> Vec<&str> {
    let files = manifest.files.iter();
    let names = files
        .filter(|file| file.role == FileRole::Plain)
        .map(crate::manifest::FileEntry::plain_path);
    names
        .filter(|name| is_keyring_config(name) && bare::fault(name).is_none())
        .collect()
}

/// Returns the configurations of keyring components that are not in the backup, because they locate
/// the keys.
pub(super) fn keyring_config_left_out(manifest: &Manifest) -> Vec<&str> {
    let names = manifest.left_out.iter().map(|left| left.path.as_str());
    names.filter(|name| is_keyring_config(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement_of(name: &str, trusted: bool, metadata: bool, applier: ApplierKind) -> Placement {
        let directories = WorkDirectories::of(Path::new("/work"), PathBuf::from("/work/data"));
        let file = PlainPlan {
            path: name.to_owned(),
            bytes: 5,
            metadata,
            entry: 0,
        };
        placement(
            &file,
            &FileRole::Plain,
            applier,
            None,
            trusted,
            &directories,
        )
    }

    /// The first server that is started on the directory would act on them.
    #[test]
    fn configuration_is_placed_only_if_the_backup_is_trusted() {
        let held = |name: &str| Placement::Copied(Path::new("/work/held").join(name));
        for applier in [
            ApplierKind::Mysqld,
            ApplierKind::Xtrabackup,
            ApplierKind::Server,
        ] {
            let of = |name: &str, trusted| placement_of(name, trusted, false, applier);
            for name in ["mysqld-auto.cnf", "component_keyring_file.cnf", "ca.pem"] {
                assert_eq!(of(name, false), Placement::Skipped, "{name}");
                assert_eq!(of(name, true), held(name), "{name}");
            }
            let made = Placement::Made("/work/held/mysqld.my".into(), Content::Components);
            assert_eq!(of("mysqld.my", false), made);
            assert_eq!(of("mysqld.my", true), held("mysqld.my"));
            for name in [
                "binlog.index",
                "relay-bin.index",
                "my.cnf",
                "db/t.isl",
                "auto.cnf",
                "ib_logfile0",
            ] {
                assert_eq!(of(name, true), Placement::Skipped, "{name}");
            }
            let data = Placement::Copied("/work/data/db/t.index.MYD".into());
            assert_eq!(of("db/t.index.MYD", false), data);
        }
    }

    #[test]
    fn only_metadata_with_known_names_are_placed() {
        for applier in [ApplierKind::Mysqld, ApplierKind::Xtrabackup] {
            let of = |name: &str| placement_of(name, true, true, applier);
            for name in [
                "my.cnf",
                "mysqld-auto.cnf",
                "db/t.isl",
                "xtrabackup_x.cnf",
                "ib_logfile0",
            ] {
                assert_eq!(of(name), Placement::Skipped, "{name}");
            }
            assert_ne!(of("xtrabackup_info"), Placement::Skipped);
        }
    }

    #[test]
    fn existing_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let directories = WorkDirectories::of(dir.path(), root.clone());
        std::fs::create_dir_all(root.join("db")).unwrap();
        std::fs::create_dir_all(directories.held.join("db")).unwrap();
        std::fs::create_dir_all(directories.held.join("new")).unwrap();
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).unwrap();
        write(root.join("mysqld.my"), "own");
        write(directories.held.join("mysqld.my"), "stored");
        write(directories.held.join("db/x"), "x");
        write(directories.held.join("new/y"), "y");
        place_held(&directories).unwrap();
        let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
        assert_eq!(read("mysqld.my"), "own");
        assert_eq!((read("db/x"), read("new/y")), ("x".into(), "y".into()));
        assert!(!directories.held.exists());
    }
}
