//! The files of an incremental that are not tablespaces: they replace those of the target.

use super::error::PrepareError;
use super::files::io;
use super::journal::Journal;
use super::member::LOGFILE;
use super::merging::{Described, Merging};
use super::scan::damaged;
use crate::manifest::{CHECKPOINTS, FileEntry, FileRole, MANIFEST};
use crate::reader::server_names::{is_schema, is_table};
use crate::restore::finished::{self, Class};
use std::collections::BTreeSet;

/// Metadata that is wrong for the target if the incremental doesn't have it.
const OF_ONE_MEMBER: [&str; 3] = [
    "xtrabackup_binlog_info",
    "xtrabackup_galera_info",
    "xtrabackup_slave_info",
];

impl Merging<'_> {
    /// Copies the files of other engines, the binary log, the redo log and the files that describe
    /// the backup, and removes those that the incremental doesn't have.
    pub(super) fn other_files(&self) -> Result<(), PrepareError> {
        let mut names = BTreeSet::new();
        for entry in &self.next.manifest.files {
            if entry.role.space().is_some() || entry.role == FileRole::DeltaMeta {
                continue;
            }
            let name = entry.plain_path();
            crate::reader::paths::check(self.next.manifest.name.as_str(), name)?;
            if !self.is_wanted(entry) {
                continue;
            }
            self.files.make_parents(name)?;
            let from = self.next.directory.join(entry.path.as_stored());
            self.files.copy(&from, name)?;
            names.insert(name.to_owned());
        }
        for name in OF_ONE_MEMBER.iter().filter(|name| !names.contains(**name)) {
            if self.files.has(name) {
                self.files.remove(name)?;
            }
        }
        for name in self.old_files()? {
            if !names.contains(&name) {
                self.files.remove(&name)?;
            }
        }
        if !names.contains(LOGFILE) {
            return Err(damaged(
                &self.next.manifest,
                LOGFILE,
                "it is missing".to_owned(),
            ));
        }
        Ok(())
    }

    /// Returns whether a file that is no tablespace is copied into the target.
    fn is_wanted(&self, entry: &FileEntry) -> bool {
        let name = entry.plain_path();
        match entry.role {
            // Files of a step in the directory that was backed up.
            _ if is_own(name) => false,
            FileRole::Plain if self.next.foreign => {
                !matches!(finished::class(name), Class::Other | Class::Unknown)
            }
            _ => name != CHECKPOINTS,
        }
    }

    /// Refuses a file that the target's backup doesn't have, in the place of a file of the incremental. Files that
    /// describe a backup are those of a backup in any case.
    pub(super) fn check_places(&self, described: &Described<'_>) -> Result<(), PrepareError> {
        for entry in &self.next.manifest.files {
            let name = entry.plain_path();
            let is_new = matches!(entry.role, FileRole::Plain | FileRole::BinaryLog)
                && self.is_wanted(entry)
                && !described.names.contains(name);
            if is_new && self.files.has(name) {
                return Err(self.in_the_way(name, "the incremental has a file of this name"));
            }
        }
        Ok(())
    }

    /// Returns the files of other engines and of the binary log that the target's backup has.
    fn old_files(&self) -> Result<Vec<String>, PrepareError> {
        let state = super::member::state(self.files.root)?;
        let files = state.iter().flat_map(|state| &state.files);
        let files = files.filter(|file| file.role.space().is_none());
        let names = files.filter_map(|file| {
            let name = file.plain_path();
            let is_old = file.role == FileRole::BinaryLog || is_table_file(name);
            (is_old && self.files.has(name)).then(|| name.to_owned())
        });
        Ok(names.collect())
    }

    /// Returns the files of other engines that neither the target's backup nor the incremental has.
    pub(super) fn strangers(&self, described: &Described<'_>) -> Result<Vec<String>, PrepareError> {
        let new = self.next.manifest.files.iter();
        let new: BTreeSet<&str> = new.map(FileEntry::plain_path).collect();
        let mut names = Vec::new();
        for (top, is_directory) in self.list("")? {
            if is_directory && is_schema(&top) {
                let inside = self.list(&top)?.into_iter();
                let files = inside.filter(|(_, is_directory)| !is_directory);
                names.extend(files.map(|(file, _)| format!("{top}/{file}")));
            } else if !is_directory {
                names.push(top);
            }
        }
        names.retain(|name| {
            let name = name.as_str();
            is_table_file(name) && !described.names.contains(name) && !new.contains(name)
        });
        Ok(names)
    }

    fn list(&self, below: &str) -> Result<Vec<(String, bool)>, PrepareError> {
        let at = self.files.root.join(below);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&at).map_err(io("list", &at))? {
            let entry = entry.map_err(io("list", &at))?;
            let kind = entry.file_type().map_err(io("look at", &entry.path()))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push((name, kind.is_dir()));
            }
        }
        Ok(names)
    }

    /// Removes the directories of schemas that were dropped, if nothing else is in them.
    pub(super) fn empty_directories(&self, journal: &Journal) -> Result<(), PrepareError> {
        let schema = |path: &str| path.split_once('/').map(|(schema, _)| schema.to_owned());
        let files = self.next.manifest.files.iter();
        let kept: BTreeSet<String> = files
            .filter_map(|file| {
                let path = file.role.space().map_or(file.plain_path(), |s| &s.name);
                schema(path)
            })
            .collect();
        let moved = journal.moves.iter().filter_map(|m| schema(&m.from));
        let before = super::member::state(self.files.root)?;
        let before = before.iter().flat_map(|state| &state.files);
        let before = before.filter_map(|file| {
            let path = file.role.space().map_or(file.plain_path(), |s| &s.name);
            schema(path)
        });
        // Only schemas of the backup: another empty directory is not lsnap's (lost+found).
        let old: BTreeSet<String> = moved.chain(before).collect();
        for name in old.difference(&kept) {
            // A directory with other files stays.
            let _ = std::fs::remove_dir(self.files.path(name));
        }
        Ok(())
    }
}

/// Returns whether it is the path of a file of another engine's table.
fn is_table_file(path: &str) -> bool {
    match path.split_once('/') {
        Some((schema, file)) => is_schema(schema) && !file.contains('/') && is_table(file),
        None => path.ends_with(".sdi"),
    }
}

/// Returns whether it is the name of a file of lsnap's own in a target.
fn is_own(name: &str) -> bool {
    let top = name.split('/').next().unwrap_or(name);
    top == super::journal::JOURNAL
        || top == super::member::STATE
        || top == super::prepared::PREPARED
        || top == MANIFEST
        || top.starts_with("lsnap_aside.")
        || top.starts_with(".lsnap-")
}
