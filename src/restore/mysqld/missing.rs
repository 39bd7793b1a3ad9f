//! Recovery of a data directory that lacks files of tables: of a partial backup, or of one that was made without the files
//! that were missing.
//!
//! A server refuses redo of a tablespace without a file, unless `innodb_force_recovery` is set. With it, recovery ignores
//! such redo. But a server that goes on in this mode does harm: it rolls back transactions that the binary log has
//! committed, and it purges the undo of transactions whose GTIDs it can't write into its table, so that they are lost (seen
//! on MySQL 9.7.4). So the mode is on only for a first run, which ends directly after InnoDB has applied the redo: the
//! storage engine that is set as default does not exist, and the server ends when it looks for it, before it decides on any
//! transaction. The second run recovers the rest in the usual way.
//!
//! `innodb_force_recovery` also ignores damage of the files that are there. So these are listed before, and the log of the
//! first run must not have errors about others than the missing ones.

use super::log::{self, LogWatch};
use super::{Paths, Recovery, Run};
use crate::manifest::filter::{Matcher, TableName};
use crate::reader::redo_log::needed_end;
use crate::restore::RestoreError;
use crate::restore::complete::{self, Absent};
use crate::restore::error::io;
use crate::restore::running::PAUSE;
use std::fs::File;

/// An engine that no server has.
const NO_ENGINE: &str = "lsnap_none";

/// The options of the first run.
pub(super) const FIRST_RUN: [&str; 3] = [
    "--innodb-force-recovery=1",
    "--default-storage-engine=lsnap_none",
    "--disable-log-bin",
];

/// The files that a data directory may lack.
pub(super) struct MayLack {
    /// Tablespaces by their ids.
    pub(super) absent: Absent,
    /// Tables that the filter of a partial backup leaves out.
    pub(super) matcher: Option<Matcher>,
}

impl MayLack {
    /// Returns whether the file of a table may be missing, by its path in the dictionary.
    pub(super) fn has_path(&self, path: &str) -> bool {
        let name = TableName::of_path(path);
        let matcher = self.matcher.as_ref();
        name.zip(matcher)
            .is_some_and(|(name, matcher)| !matcher.keeps(&name))
    }

    /// Returns whether the files of a table of another engine may be missing.
    pub(super) fn has_table(&self, schema: &str, table: &str) -> bool {
        let matcher = self.matcher.as_ref();
        matcher.is_some_and(|matcher| !matcher.keeps(&TableName::written(schema, table)))
    }
}

impl Recovery<'_> {
    /// Returns the files that the directory may lack.
    pub(super) fn may_lack(&self) -> Result<MayLack, RestoreError> {
        let filter = self
            .manifest
            .dictionary
            .as_ref()
            .and_then(|d| d.filter.as_ref().filter(|_| d.is_partial()));
        let matcher = filter.map(Matcher::new).transpose().map_err(|error| {
            RestoreError::Read(crate::reader::ReadError::damaged(
                self.manifest.name.as_str(),
                "lsnap_manifest.json",
                error.to_string(),
            ))
        })?;
        Ok(MayLack {
            absent: self.absent.clone(),
            matcher,
        })
    }

    /// Applies the redo of the files that are there, if some are missing on purpose. `may` gets the tablespaces without
    /// files.
    pub(super) fn skip_missing(
        &self,
        paths: &Paths,
        may: &mut MayLack,
    ) -> Result<(), RestoreError> {
        if may.matcher.is_none() && self.manifest.missing_tables().next().is_none() {
            return Ok(());
        }
        self.check_files(paths)?;
        self.progress
            .note("the directory lacks tables: redo is applied to the files that are there");
        let server = self.start(paths, Run::First)?;
        let from = self.manifest.lsn.start_checkpoint.block_start().0;
        let mut watch = LogWatch::new(&paths.log, from);
        let status = loop {
            watch.poll(self.progress);
            if let Some(status) = server.ended()? {
                break status;
            }
            if self.options.cancel.wait(PAUSE) {
                return Err(RestoreError::Interrupted);
            }
        };
        let ended = log::has_error(&paths.log, NO_ENGINE) && log::shut_down(&paths.log);
        if !ended {
            return Err(self.failed(
                paths,
                format!("it ended with {status} before the redo was applied"),
            ));
        }
        for line in log::missing_files(&paths.log) {
            if !may.absent.contains(&line.space) && !may.has_path(&line.path) {
                return Err(self.failed(
                    paths,
                    format!(
                        "it could not use the file {} of tablespace {}, which the backup has",
                        line.path, line.space
                    ),
                ));
            }
            may.absent.insert(line.space);
        }
        self.check_errors(paths, may)?;
        let last = self.manifest.lsn.last_lsn;
        if let Some(lsn) = log::scanned_to(&paths.log)
            && lsn < needed_end(last).0
        {
            return Err(self.failed(
                paths,
                format!(
                    "it read the redo log up to LSN {lsn}, expected {last}, the end of the backup's"
                ),
            ));
        }
        let kept = paths.log.with_file_name("mysqld-first-run.log");
        std::fs::rename(&paths.log, &kept).map_err(io("rename to", &kept))?;
        File::create(&paths.log).map_err(io("create", &paths.log))?;
        if let Some(owner) = self.owner {
            owner.give(&paths.log)?;
        }
        Ok(())
    }

    /// Refuses a directory that lacks a tablespace that the backup has: redo for it would be ignored.
    fn check_files(&self, paths: &Paths) -> Result<(), RestoreError> {
        let found = complete::spaces_below(&paths.root)?;
        let system = crate::innodb::SpaceId::SYSTEM;
        let spaces = self
            .manifest
            .files
            .iter()
            .filter_map(|file| file.role.space());
        let lost =
            spaces.filter(|space| space.space_id != system && !found.contains(&space.space_id));
        let missing: Vec<String> = lost
            .map(|space| {
                format!(
                    "{} (tablespace {}), a file of the backup",
                    space.name, space.space_id
                )
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(RestoreError::MissingTables {
            missing,
            log: paths.log.clone(),
        })
    }
}
