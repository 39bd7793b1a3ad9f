//! The two-level scan of a data directory: its entries, and those of each schema's directory.
//!
//! A running server creates and removes files continuously, so a file that has disappeared after
//! the listing was temporary and is ignored. Missing files are detected by the server's lists, not
//! by this scan.
//!
//! Symbolic links are followed: a schema's directory may be one (documented for MySQL on Unix), and
//! also the files of a MyISAM table with `DATA DIRECTORY`. The backup contains the files at the
//! usual path, where a restored server finds them. A broken link is an error, because its target
//! would be missing from the backup.

use super::classify::{self, FileClass, Level};
use super::{DatadirError, LeftOut, PlainFile, ServerPaths, place};
use std::fs::{DirEntry, FileType, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The result of the scan.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Files that look like tablespaces, with their path relative to the data directory.
    pub candidates: Vec<Candidate>,
    pub plain: Vec<PlainFile>,
    pub schemas: Vec<String>,
    pub left_out: Vec<LeftOut>,
}

/// A file that is a tablespace if the server's lists contain it.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub source: PathBuf,
    pub undo: bool,
    pub level: Level,
}

/// Scans the data directory, and the undo directory if it is a different one.
pub(super) fn scan(paths: &ServerPaths) -> Result<Seen, DatadirError> {
    let mut seen = Seen::default();
    let own = OwnDirectories::of(paths);
    let datadir = &paths.datadir;
    for entry in entries(datadir)? {
        let name = utf8(&entry)?;
        let Some((kind, metadata)) =
            metadata_or_left_out(&entry, &name, &name, Level::Root, &mut seen)?
        else {
            continue;
        };
        if kind.is_dir() {
            root_directory(&entry.path(), &name, &own, &mut seen)?;
        } else {
            file(
                &entry.path(),
                &name,
                &name,
                Level::Root,
                (kind, metadata),
                &mut seen,
            );
        }
    }
    own.scan_for_undo(&mut seen)?;
    Ok(seen)
}

fn root_directory(
    path: &Path,
    name: &str,
    own: &OwnDirectories,
    seen: &mut Seen,
) -> Result<(), DatadirError> {
    if let Some(reason) = classify::directory(name).or_else(|| own.reason(path)) {
        seen.left_out.push(LeftOut {
            path: format!("{name}/"),
            reason,
        });
        return Ok(());
    }
    seen.schemas.push(name.to_owned());
    for entry in entries(path)? {
        let file_name = utf8(&entry)?;
        let shown = format!("{name}/{file_name}");
        let Some((kind, metadata)) =
            metadata_or_left_out(&entry, &file_name, &shown, Level::Schema, seen)?
        else {
            continue;
        };
        if kind.is_dir() {
            seen.left_out.push(LeftOut {
                path: format!("{shown}/"),
                reason: "a directory within a schema: the server creates none",
            });
        } else {
            file(
                &entry.path(),
                &file_name,
                &shown,
                Level::Schema,
                (kind, metadata),
                seen,
            );
        }
    }
    Ok(())
}

fn file(
    path: &Path,
    name: &str,
    shown: &str,
    level: Level,
    (kind, metadata): (FileType, Metadata),
    seen: &mut Seen,
) {
    let class = if kind.is_file() {
        classify::file(name, level)
    } else if kind.is_socket() {
        FileClass::LeftOut("socket")
    } else {
        FileClass::LeftOut("not a regular file")
    };
    match class {
        FileClass::Tablespace | FileClass::Undo => seen.candidates.push(Candidate {
            source: path.to_owned(),
            undo: class == FileClass::Undo,
            level,
        }),
        FileClass::Plain => seen.plain.push(PlainFile {
            source: path.to_owned(),
            name: shown.to_owned(),
            bytes: metadata.len(),
        }),
        FileClass::LeftOut(reason) => seen.left_out.push(LeftOut {
            path: shown.to_owned(),
            reason,
        }),
    }
}

/// Directories with a special purpose by the server's settings. They may be in the data directory
/// under any name, and aren't schemas.
struct OwnDirectories(Vec<(PathBuf, &'static str)>);

const UNDO_DIRECTORY: &str = "undo directory: its tablespaces are backed up";

impl OwnDirectories {
    fn of(paths: &ServerPaths) -> Self {
        let mut own = vec![
            (paths.undo_dir.as_path(), UNDO_DIRECTORY),
            (paths.redo_dir.as_path(), "redo log: copied by following it"),
            (
                paths.data_home.as_path(),
                "directory of the system tablespace, which is backed up",
            ),
            (
                paths.temp_dir.as_path(),
                "temporary tablespaces: created at each start",
            ),
        ];
        if let Some(doublewrite) = &paths.doublewrite_dir {
            own.push((
                doublewrite,
                "doublewrite files: pages are verified when they are copied",
            ));
        }
        let datadir = place::real(&paths.datadir);
        Self(
            own.into_iter()
                .map(|(path, reason)| (place::real(&paths.datadir.join(path)), reason))
                .filter(|(path, _)| *path != datadir)
                .collect(),
        )
    }

    fn reason(&self, path: &Path) -> Option<&'static str> {
        let path = place::real(path);
        let found = self.0.iter().find(|(own, _)| *own == path);
        found.map(|(_, reason)| *reason)
    }

    /// Scans the undo directory for undo tablespaces, if it isn't the data directory. Other files in
    /// it are ignored.
    fn scan_for_undo(&self, seen: &mut Seen) -> Result<(), DatadirError> {
        let mut own = self.0.iter();
        let Some((own, _)) = own.find(|(own, reason)| *reason == UNDO_DIRECTORY && own.is_dir())
        else {
            return Ok(());
        };
        for entry in entries(own)? {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            if classify::file(&name, Level::Root) == FileClass::Undo {
                seen.candidates.push(Candidate {
                    source: entry.path(),
                    undo: true,
                    level: Level::Root,
                });
            }
        }
        Ok(())
    }
}

fn entries(path: &Path) -> Result<Vec<DirEntry>, DatadirError> {
    let list = match std::fs::read_dir(path) {
        Ok(list) => list,
        Err(source) => return Err(DatadirError::io("list the directory", path)(source)),
    };
    let mut entries = list
        .collect::<io::Result<Vec<DirEntry>>>()
        .map_err(DatadirError::io("list the directory", path))?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn utf8(entry: &DirEntry) -> Result<String, DatadirError> {
    let name = entry.file_name();
    match name.to_str() {
        Some(name) => Ok(name.to_owned()),
        None => Err(DatadirError::NotUtf8 { path: entry.path() }),
    }
}

/// Same as [`metadata_of`], but a broken link with the name of a file that isn't backed up is recorded as
/// left out instead of being an error. In the data directory itself, a link with an unclassified
/// name is an error, because it might be a schema's directory.
fn metadata_or_left_out(
    entry: &DirEntry,
    name: &str,
    shown: &str,
    level: Level,
    seen: &mut Seen,
) -> Result<Option<(FileType, Metadata)>, DatadirError> {
    match (metadata_of(entry), classify::file(name, level)) {
        (Err(DatadirError::BadLink { .. }), FileClass::LeftOut(reason))
            if level == Level::Schema || reason != classify::UNKNOWN =>
        {
            seen.left_out.push(LeftOut {
                path: shown.to_owned(),
                reason,
            });
            Ok(None)
        }
        (other, _) => other,
    }
}

/// Returns type and metadata of an entry, or of the target of a link; `None` if it was removed in
/// the meantime.
fn metadata_of(entry: &DirEntry) -> Result<Option<(FileType, Metadata)>, DatadirError> {
    let path = entry.path();
    match std::fs::metadata(&path) {
        Ok(metadata) => Ok(Some((metadata.file_type(), metadata))),
        Err(source) => match path.symlink_metadata() {
            Ok(link) if link.file_type().is_symlink() => {
                Err(DatadirError::BadLink { path, source })
            }
            _ if source.kind() == ErrorKind::NotFound => Ok(None),
            _ => Err(DatadirError::io("look at", path)(source)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_removed_during_the_scan_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["gone.MYD", "stays.MYD"] {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        let listed = entries(dir.path()).unwrap();
        std::fs::remove_file(dir.path().join("gone.MYD")).unwrap();
        assert!(metadata_of(&listed[0]).unwrap().is_none());
        assert!(metadata_of(&listed[1]).unwrap().is_some());
    }
}
