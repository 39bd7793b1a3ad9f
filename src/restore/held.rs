//! Files of a backup that a recovering program would act on are not in the directory that it works in.
//!
//! The recovery of a server needs tablespaces, the redo log and the files of tables. Everything else in a
//! data directory is configuration: `mysqld.my` names components to load, `component_*.cnf` names files
//! and hosts, `mysqld-auto.cnf` sets variables. A backup may come from somebody else, so these files are
//! kept apart until the recovery has ended. [`finished`] lists what is let in, and what comes to its place later.

use super::binary_log::{BinaryLog, Part};
use super::error::{RestoreError, io};
use super::finished::Class;
use super::{ApplierKind, finished, option_file};
use crate::manifest::{FileRole, Manifest};
use crate::reader::layout::KEPT_METADATA;
use crate::reader::{PlainPlan, bare};
use std::path::{Path, PathBuf};

/// Where files of a restore lie while the redo applier runs.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The directory that becomes the data directory.
    pub(super) root: PathBuf,
    /// The directory of what is kept apart.
    pub(super) held: PathBuf,
    /// The directory of the binary log of a recovering server.
    pub(super) binlog: PathBuf,
}

impl Places {
    pub(super) fn of(work: &Path, root: PathBuf) -> Self {
        Self {
            root,
            held: work.join("held"),
            binlog: work.join("binlog"),
        }
    }
}

/// What becomes of a plain file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not written.
    Skipped,
    /// Written, and removed again unless it is a list of warm pages.
    WarmPages(PathBuf),
    /// Written as it is.
    Copied(PathBuf),
    /// Written with a content that lsnap makes of the stored one, or without it.
    Made(PathBuf, Content),
}

/// A content that is not the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// [`BinaryLog::own_index`].
    Index,
    /// [`option_file::safe`].
    Options,
    /// [`finished::components`].
    Components,
}

/// Decides on a plain file; `log` is the backup's binary log, `trusted` is [`finished::trusted`].
pub(super) fn fate(
    file: &PlainPlan,
    role: &FileRole,
    applier: ApplierKind,
    log: Option<&BinaryLog>,
    trusted: bool,
    places: &Places,
) -> Fate {
    let name = file.path.as_str();
    let in_root = places.root.join(name);
    let for_server = applier == ApplierKind::Mysqld;
    if let FileRole::BinaryLog = role {
        return match (log.and_then(|log| log.part(name)), for_server) {
            (Some(Part::File(number)), true) => {
                Fate::Copied(places.binlog.join(BinaryLog::file(&number)))
            }
            (Some(Part::File(_)), false) => Fate::Copied(in_root),
            (Some(Part::Index), false) => Fate::Made(in_root, Content::Index),
            // A server's own index is made when all files are there.
            _ => Fate::Skipped,
        };
    }
    if file.metadata {
        let kept = match for_server {
            true => KEPT_METADATA.contains(&name),
            false => finished::is_metadata(name),
        };
        return match name {
            option_file::NAME if kept => Fate::Made(in_root, Content::Options),
            _ if kept => Fate::Copied(in_root),
            _ => Fate::Skipped,
        };
    }
    // An empty db.opt only says that its schema exists.
    if file.bytes == 0 && name.ends_with("/db.opt") {
        return Fate::Skipped;
    }
    let held = places.held.join(name);
    match finished::class(name) {
        Class::Data => Fate::Copied(in_root),
        Class::Components if !trusted => Fate::Made(held, Content::Components),
        Class::Components | Class::Configuration if trusted => Fate::Copied(held),
        Class::Unknown => Fate::WarmPages(held),
        _ => Fate::Skipped,
    }
}

/// Brings what was kept apart to its place in the data directory, when the redo applier has ended. A file
/// that is there already stays: a person's own keyring configuration.
pub(super) fn bring(places: &Places) -> Result<(), RestoreError> {
    if places.held.is_dir() {
        bring_below(&places.held, &places.root)?;
        std::fs::remove_dir_all(&places.held).map_err(io("remove", &places.held))?;
    }
    Ok(())
}

fn bring_below(from: &Path, to: &Path) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(from).map_err(io("list", from))? {
        let entry = entry.map_err(io("list", from))?;
        let (path, into) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(io("look at", &path))?;
        if kind.is_dir() {
            if !into.exists() {
                super::new_directory::make_directory(&into)?;
            }
            bring_below(&path, &into)?;
        } else if std::fs::symlink_metadata(&into).is_err() {
            std::fs::rename(&path, &into).map_err(io("move a file to", &into))?;
        }
    }
    Ok(())
}

/// Copies a person's own component manifest and keyring configuration into the data directory.
///
/// # Errors
/// [`RestoreError::KeyringConfig`] for a directory that has neither.
pub(super) fn bring_keyring(from: &Path, root: &Path) -> Result<(), RestoreError> {
    let refuse = |what: String| RestoreError::KeyringConfig {
        path: from.to_path_buf(),
        what,
    };
    let entries = std::fs::read_dir(from).map_err(|e| refuse(format!("cannot be listed: {e}")))?;
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

/// The files of a manifest that are kept apart and say where keys are.
pub(super) fn keyring_config(manifest: &Manifest) -> Vec<&str> {
    let files = manifest.files.iter();
    let names = files
        .filter(|file| file.role == FileRole::Plain)
        .map(crate::manifest::FileEntry::plain_path);
    names
        .filter(|name| is_keyring_config(name) && bare::fault(name).is_none())
        .collect()
}

/// The configurations of keyring components that the backup does not hold, because they are a way to the keys.
pub(super) fn keyring_config_left_out(manifest: &Manifest) -> Vec<&str> {
    let names = manifest.left_out.iter().map(|left| left.path.as_str());
    names.filter(|name| is_keyring_config(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate_of(name: &str, trusted: bool, metadata: bool, applier: ApplierKind) -> Fate {
        let places = Places::of(Path::new("/work"), PathBuf::from("/work/data"));
        let file = PlainPlan {
            path: name.to_owned(),
            bytes: 5,
            metadata,
            entry: 0,
        };
        fate(&file, &FileRole::Plain, applier, None, trusted, &places)
    }

    /// The first server that is started on the directory would act on them.
    #[test]
    fn what_a_server_acts_on_is_placed_for_whoever_vouches_for_it() {
        let held = |name: &str| Fate::Copied(Path::new("/work/held").join(name));
        for applier in [ApplierKind::Mysqld, ApplierKind::Xtrabackup] {
            let of = |name: &str, trusted| fate_of(name, trusted, false, applier);
            for name in ["mysqld-auto.cnf", "component_keyring_file.cnf", "ca.pem"] {
                assert_eq!(of(name, false), Fate::Skipped, "{name}");
                assert_eq!(of(name, true), held(name), "{name}");
            }
            let made = Fate::Made("/work/held/mysqld.my".into(), Content::Components);
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
                assert_eq!(of(name, true), Fate::Skipped, "{name}");
            }
            let data = Fate::Copied("/work/data/db/t.index.MYD".into());
            assert_eq!(of("db/t.index.MYD", false), data);
        }
    }

    #[test]
    fn metadata_have_the_names_of_metadata() {
        for applier in [ApplierKind::Mysqld, ApplierKind::Xtrabackup] {
            let of = |name: &str| fate_of(name, true, true, applier);
            for name in [
                "my.cnf",
                "mysqld-auto.cnf",
                "db/t.isl",
                "xtrabackup_x.cnf",
                "ib_logfile0",
            ] {
                assert_eq!(of(name), Fate::Skipped, "{name}");
            }
            assert_ne!(of("xtrabackup_info"), Fate::Skipped);
        }
    }

    #[test]
    fn what_is_there_already_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let places = Places::of(dir.path(), root.clone());
        std::fs::create_dir_all(root.join("db")).unwrap();
        std::fs::create_dir_all(places.held.join("db")).unwrap();
        std::fs::create_dir_all(places.held.join("new")).unwrap();
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).unwrap();
        write(root.join("mysqld.my"), "own");
        write(places.held.join("mysqld.my"), "stored");
        write(places.held.join("db/x"), "x");
        write(places.held.join("new/y"), "y");
        bring(&places).unwrap();
        let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
        assert_eq!(read("mysqld.my"), "own");
        assert_eq!((read("db/x"), read("new/y")), ("x".into(), "y".into()));
        assert!(!places.held.exists());
    }
}
