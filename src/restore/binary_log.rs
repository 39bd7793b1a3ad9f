//! The end of the binary log in a backup, in the form that recovery needs.
//!
//! A server reads the index of its binary log at each start, and removes the files in it when they
//! are old enough. So the index of a backup is never passed to a server: lsnap writes one of the
//! files that it restored, and accepts only plain file names from a manifest.

use super::error::{RestoreError, io};
use crate::manifest::{FileRole, Finding, MANIFEST, Manifest};
use crate::reader::{ReadError, bare};
use std::path::Path;

/// The name of the files for the recovering server, without their number.
const STEM: &str = "binlog";
/// The index of these files.
const INDEX: &str = "binlog.index";

/// The binary log of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BinaryLog {
    /// The name of the files without their number.
    stem: String,
    /// The numbers in their written form, in ascending order.
    numbers: Vec<String>,
}

/// The kind of a file with the role [`FileRole::BinaryLog`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A file of the log, with its number.
    File(String),
    /// The list of the files.
    Index,
}

impl BinaryLog {
    /// Returns the binary log of a manifest; `None` if the backup has none.
    ///
    /// # Errors
    /// [`ReadError::Damaged`](crate::reader::ReadError::Damaged) for names that are not those of a
    /// binary log.
    pub(super) fn of(manifest: &Manifest) -> Result<Option<Self>, RestoreError> {
        let damaged =
            |what: Finding| RestoreError::Read(ReadError::damaged(&manifest.name, MANIFEST, what));
        let names: Vec<&str> = names(manifest).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let last = manifest.binlog.as_ref().map_or("", |b| b.file.as_str());
        if let Some(why) = bare::fault(last) {
            return Err(damaged(
                format!("the name of its binary log is {last:?}, {why}").into(),
            ));
        }
        let (stem, _) = numbered(last).ok_or_else(|| {
            damaged(Finding::new(
                format!("the name of its binary log is {last:?}"),
                "a name with a number, as binlog.000001",
            ))
        })?;
        let mut log = Self {
            stem: stem.to_owned(),
            numbers: Vec::new(),
        };
        for name in &names {
            match log.part(name) {
                Some(Part::File(number)) => log.numbers.push(number),
                Some(Part::Index) => {}
                None => {
                    return Err(damaged(Finding::new(
                        format!("it has {name:?} as a file of the binary log"),
                        format!("{stem}.NUMBER or {stem}.index"),
                    )));
                }
            }
        }
        if !names.contains(&last) {
            return Err(damaged(
                format!("its binary log ends in {last:?}, which is not among its files").into(),
            ));
        }
        log.numbers
            .sort_by_key(|number| (number.len(), number.clone()));
        Ok(Some(log))
    }

    /// Returns the kind of a file of the binary log; `None` if it doesn't belong to it.
    pub(super) fn part(&self, name: &str) -> Option<Part> {
        if bare::fault(name).is_some() {
            return None;
        }
        match numbered(name) {
            Some((stem, number)) if stem == self.stem => Some(Part::File(number.to_owned())),
            // A log can be named `binlog` and its index differently (`--log-bin-index`).
            None if name.ends_with(".index") => Some(Part::Index),
            _ => None,
        }
    }

    /// Returns the name of a file for the recovering server.
    pub(super) fn file(number: &str) -> String {
        format!("{STEM}.{number}")
    }

    /// Returns the name of all files without their number, for the recovering server.
    pub(super) const fn stem() -> &'static str {
        STEM
    }

    /// Returns the name of the index for the recovering server.
    pub(super) const fn index() -> &'static str {
        INDEX
    }

    /// Writes the index of the files in `directory` under the names of [`Self::file`].
    pub(super) fn write_index(&self, directory: &Path) -> Result<(), RestoreError> {
        let path = directory.join(INDEX);
        let mut text = Vec::new();
        for number in &self.numbers {
            text.extend_from_slice(
                directory
                    .join(Self::file(number))
                    .as_os_str()
                    .as_encoded_bytes(),
            );
            text.push(b'\n');
        }
        std::fs::write(&path, text).map_err(io("write", &path))
    }

    /// Returns the index of the files in the data directory, under their own names.
    pub(super) fn own_index(&self) -> String {
        let line = |number: &String| format!("./{}.{number}\n", self.stem);
        self.numbers.iter().map(line).collect()
    }
}

/// Returns the names of the files of the binary log.
fn names(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let files = manifest.files.iter();
    files
        .filter(|file| file.role == FileRole::BinaryLog)
        .map(crate::manifest::FileEntry::plain_path)
}

/// Splits `binlog.000001` into its two parts.
fn numbered(name: &str) -> Option<(&str, &str)> {
    let (stem, number) = name.rsplit_once('.')?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (digits && !stem.is_empty()).then_some((stem, number))
}

/// Rewrites the index files in a directory that an xtrabackup prepared, so that they contain only
/// files of this directory: a server that is started on it removes the files in the index when they
/// are old enough.
pub(super) fn rewrite_indexes(root: &Path) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(root).map_err(io("list", root))? {
        let path = entry.map_err(io("list", root))?.path();
        if path.extension().is_none_or(|e| e != "index") || !path.is_file() {
            continue;
        }
        let text = std::fs::read(&path).map_err(io("read", &path))?;
        let text = String::from_utf8_lossy(&text);
        let names = text
            .lines()
            .map(|line| line.rsplit('/').next().unwrap_or(line))
            .filter(|name| bare::fault(name).is_none() && root.join(name).is_file());
        let own: String = names.map(|name| format!("./{name}\n")).collect();
        if own != text {
            std::fs::write(&path, own).map_err(io("write", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_contains_only_files_of_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("b.000001", "");
        write("b.000002", "");
        write("b.index", "/victim/x\n./b.000001\n../y\n/log/b.000002\n.\n");
        write("b.txt", "/victim/x\n");
        rewrite_indexes(dir.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("b.index"), "./b.000001\n./b.000002\n");
        assert_eq!(read("b.txt"), "/victim/x\n");
    }

    #[test]
    fn numbers_are_split_from_names() {
        assert_eq!(numbered("bin.log.000001"), Some(("bin.log", "000001")));
        for other in ["bin", "bin.", ".1", "bin.index", "bin.1x"] {
            assert_eq!(numbered(other), None, "{other}");
        }
    }
}
