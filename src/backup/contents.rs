//! Copies everything except the redo: the pages, the other files, the position.

use super::copied::{Contents, Found};
use super::error::BackupError;
use super::plain::CopiedFile;
use super::position::Position;
use super::redo::StopAt;
use super::redo_files::StartPoint;
use super::session::Session;
use super::spaces::{self, SpaceToCopy};
use super::spool::Spool;
use super::{held, log_tables, metadata, plain, secrets, tables};
use crate::cancel::Cancel;
use crate::datadir::{PlainFile, Survey};
use crate::innodb::EndLsn;
use crate::manifest::Layout;
use crate::progress::{Phase, Silent};
use crate::server::{Server, TablespaceRow};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The copied contents, and the state of the table lock.
pub(super) struct LockedContents {
    pub contents: Contents,
    /// When the tables were locked; `None`: they are not locked.
    pub tables_since: Option<Instant>,
}

impl Session<'_> {
    pub(super) fn copy_contents(
        &self,
        server: &mut Server,
        start: &StartPoint,
        spool: &Spool,
        parts: &Cancel,
    ) -> Result<LockedContents, BackupError> {
        let known = server.tablespaces()?;
        if known.is_empty() {
            return Err(BackupError::NoTablespaces);
        }
        let (spaces, plain, found) = self.find(server, &known, start)?;
        let total = spaces.iter().map(SpaceToCopy::bytes_to_read).sum();
        self.progress.phase(Phase::Copy, Some(total));
        self.pack_where_it_pays(&spaces);
        let (settled, live): (Vec<_>, Vec<_>) = plain.into_iter().partition(plain::is_settled);
        let pages = || self.copy_pages(spaces, parts);
        let ((spaces, throttle), settled) = held::while_held(server, parts, || {
            self.copy_with_pages(&settled, parts, pages)
        })?;
        self.progress.phase(Phase::DataCopied, None);
        self.options.cancel.check()?;
        let galera = self.options.galera_info && server.has_galera()?;
        let mut tables_since = self.lock_tables(server, galera, &live)?;
        let live = self.copy_live(live)?;
        let mut plain: Vec<CopiedFile> = settled.into_iter().chain(live).collect();
        plain.sort();
        if self.identity.log_bin {
            server.flush_binary_logs()?;
        }
        spool.hold();
        let position = self.position(server, &mut tables_since)?;
        let galera = galera.then(|| server.galera_state()).transpose()?;
        self.start_appliers()?;
        let Position {
            status,
            tail,
            replica,
        } = position;
        // After the last LSN is known: the check covers the time up to it.
        check_undo(&known, &server.tablespaces()?)?;
        let (binary_log, binlog_digest) = match tail {
            Some(tail) => tail.put(&self.sink, &self.binary_log_index())?,
            None => (Vec::new(), None),
        };
        let contents = Contents {
            spaces,
            plain,
            found,
            binary_log,
            binlog_digest,
            status,
            replica,
            galera,
            throttle,
        };
        Ok(LockedContents {
            contents,
            tables_since,
        })
    }

    /// Finds the files to copy and the pages of them to read; refuses a server that can't be backed
    /// up.
    fn find(
        &self,
        server: &mut Server,
        known: &[TablespaceRow],
        start: &StartPoint,
    ) -> Result<(Vec<SpaceToCopy>, Vec<PlainFile>, Found), BackupError> {
        let (mut survey, filtered) = self.survey(server, known)?;
        let other_engines = self.tables_elsewhere(server, &survey)?;
        let mut warnings = tables::warnings(&survey, &other_engines);
        warnings.extend(filtered.warnings.iter().cloned());
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let datadir = &self.variables.datadir;
        secrets::leave_out(&mut survey, datadir, &self.variables.keyring);
        self.refuse_schemas_named_like_metadata(&survey)?;
        log_tables::check(&survey)?;
        let pages_of_base = self.check_pages_of_base(&survey, start)?;
        let dictionary = tables::dictionary(&survey, &other_engines, &filtered, datadir);
        let Survey {
            tablespaces,
            plain,
            schemas,
            left_out,
            ..
        } = survey;
        let mut spaces = spaces::to_copy(tablespaces, self.base_manifest(), self.floor());
        let tracking = self.changed_pages(server, &mut spaces)?;
        let found = Found {
            schemas,
            left_out,
            dictionary,
            warnings,
            tracking,
            pages_of_base,
        };
        Ok((spaces, plain, found))
    }

    /// Locks tables if the position would be wrong otherwise. Returns when they were locked.
    fn lock_tables(
        &self,
        server: &mut Server,
        galera: bool,
        live: &[PlainFile],
    ) -> Result<Option<Instant>, BackupError> {
        // The server's list may lack tables that the account has no privilege on. Files are created only by DDL, which
        // the instance lock blocks since before the survey.
        let other_engines = live.iter().any(plain::has_rows) || server.has_non_innodb_tables()?;
        // An encrypted redo block can't be cut at an LSN without the key: the lock keeps commits
        // out of the rest of the last block. The variables are read again, because encryption can
        // be switched on at any time.
        // The state of a Galera cluster is not in `log_status`.
        if !other_engines && !galera && !server.variables()?.redo_log_encrypt {
            return Ok(None);
        }
        self.progress.note(
            "tables are locked: there are tables of other engines, the redo log is encrypted, or the state of a Galera \
             cluster is needed",
        );
        server.lock_tables(self.options.lock_timeout)?;
        let since = Instant::now();
        // An unreachable store must not prolong the lock.
        self.sink.stage(&self.options.spool_dir);
        Ok(Some(since))
    }

    /// Copies the files that don't change only while tables are locked.
    fn copy_live(&self, files: Vec<PlainFile>) -> Result<Vec<CopiedFile>, BackupError> {
        let total = files.iter().map(|file| file.bytes).sum();
        self.progress.phase(Phase::Plain, Some(total));
        let (logs, live): (Vec<_>, Vec<_>) = files.into_iter().partition(log_tables::is_one);
        let mut copied = plain::copy_all(&self.sink, &live, self.progress)?;
        copied.extend(log_tables::copy_all(&self.sink, &logs, self.progress)?);
        Ok(copied)
    }

    fn binary_log_index(&self) -> String {
        let index = self.variables.log_bin_index.as_deref();
        let name = index.and_then(Path::file_name);
        name.map_or("binlog.index".into(), |name| {
            name.to_string_lossy().into_owned()
        })
    }

    /// Refuses a schema whose directory has the name of a metadata file: in a stream, and in the
    /// directory that it is extracted to, the two would conflict. In a repository they don't.
    fn refuse_schemas_named_like_metadata(&self, survey: &Survey) -> Result<(), BackupError> {
        if self.sink.layout() != Layout::Stream {
            return Ok(());
        }
        let mut schemas = survey.schemas.iter();
        match schemas.find(|schema| metadata::FILES.contains(&schema.as_str())) {
            None => Ok(()),
            Some(schema) => Err(BackupError::SchemaName {
                schema: schema.clone(),
            }),
        }
    }

    /// Copies the pages, and concurrently the files that the instance lock protects from changes.
    fn copy_with_pages<T>(
        &self,
        settled: &[PlainFile],
        parts: &Cancel,
        pages: impl FnOnce() -> Result<T, BackupError>,
    ) -> Result<(T, Vec<CopiedFile>), BackupError> {
        std::thread::scope(|scope| {
            let copying = scope.spawn(|| {
                let copied = plain::copy_all(&self.sink, settled, &Silent);
                // Fail early: the pages may take hours.
                if copied.is_err() {
                    parts.cancel();
                }
                copied
            });
            let pages = pages();
            let settled = copying.join();
            let settled = settled.map_err(|_| BackupError::Panicked("copy of .sdi files"))?;
            match (pages, settled) {
                (Ok(pages), Ok(settled)) => Ok((pages, settled)),
                (pages, settled) => {
                    Err(self.reason([settled.err(), pages.err()].into_iter().flatten()))
                }
            }
        })
    }
}

impl LockedContents {
    /// Returns the end of the redo that belongs to the position.
    pub(super) fn stop_at(&self) -> StopAt {
        StopAt {
            lsn: EndLsn::at(self.contents.status.lsn),
            commits_held: self.tables_since.is_some(),
        }
    }

    /// Releases the locks on tables and DDL. To be called when the spool contains the redo up to
    /// the LSN of the position: the upload of the redo may take longer, and no lock waits for it.
    /// Returns how long tables were locked.
    pub(super) fn unlock(&self, server: &mut Server) -> Result<Duration, BackupError> {
        let mut tables_locked = Duration::ZERO;
        if let Some(since) = self.tables_since {
            server.unlock_tables()?;
            tables_locked = since.elapsed();
        }
        if !server.redo_enabled()? {
            return Err(BackupError::RedoDisabled);
        }
        server.unlock_instance()?;
        Ok(tables_locked)
    }
}

/// Checks that no undo tablespace was truncated while it was copied: it would have another space
/// id.
fn check_undo(before: &[TablespaceRow], after: &[TablespaceRow]) -> Result<(), BackupError> {
    let ids = |rows: &[TablespaceRow]| -> BTreeMap<String, u32> {
        let undo = rows.iter().filter(|row| row.undo);
        undo.map(|row| (row.name.clone(), row.space_id)).collect()
    };
    let (before, after) = (ids(before), ids(after));
    for name in before.keys().chain(after.keys()) {
        let (was, is) = (before.get(name), after.get(name));
        if was != is {
            let text = |id: Option<&u32>| id.map_or("none".to_owned(), u32::to_string);
            return Err(BackupError::UndoTruncated {
                name: name.clone(),
                before: text(was),
                after: text(is),
            });
        }
    }
    Ok(())
}
