//! The end of a backup: the metadata files, and the manifest that makes it one.

use super::copy::{CopyCounts, treat};
use super::error::BackupError;
use super::metadata::{self, Info};
use super::session::{Copied, LOGFILE, Session};
use super::sink::Treat;
use super::{history, plain, replica, tables};
use crate::datadir::{PlainFile, Tablespace, TablespaceKind};
use crate::delta;
use crate::innodb::{Lsn, PageNo};
use crate::manifest::{
    BaseRef, Binlog, FileEntry, FileRole, History, LeftOutEntry, LsnRange, Manifest, PageCounts,
    PageMark, ServerIdentity, SpaceFile, packed,
};
use crate::server::LogStatus;
use chrono::Utc;
use std::os::unix::fs::MetadataExt;

/// The last file but the manifest: xbcloud takes it as the sign that a backup is whole.
const TABLESPACES: &str = "xtrabackup_tablespaces";
/// Read by every tool before it knows a key.
const CHECKPOINTS: &str = "xtrabackup_checkpoints";

impl Session<'_> {
    /// Stores the metadata and builds the manifest. No lock is held any more.
    pub(super) fn finish(&self, copied: Copied) -> Result<Manifest, BackupError> {
        self.progress.phase(crate::progress::Phase::Finish, None);
        let base = self.base.as_ref().map(|base| &base.lsn);
        let floor = self.floor().unwrap_or_default();
        let lsn = lsn_range(base, floor, copied.start.checkpoint, &copied.status);
        check_pages(&copied, lsn.last_lsn)?;
        let id = uuid::Uuid::new_v4().to_string();
        let mut files = self.space_files(&copied)?;
        for (file, bytes) in copied.survey.plain.iter().zip(&copied.plain_bytes) {
            files.push(self.entry(&file.name, Treat::All, FileRole::Plain, *bytes)?);
        }
        for (path, bytes) in &copied.binary_log {
            files.push(self.entry(path, Treat::All, FileRole::BinaryLog, *bytes)?);
        }
        self.empty_schemas(&copied, &mut files)?;
        files.push(self.entry(
            LOGFILE,
            self.redo_treat(),
            FileRole::Redo,
            copied.redo_bytes,
        )?);
        let ended = Utc::now();
        for (name, text) in self.metadata(&copied, &lsn, &id, ended) {
            let bytes = text.len() as u64;
            let treat = if name == CHECKPOINTS {
                Treat::Plain
            } else {
                Treat::All
            };
            plain::put_bytes(&self.sink, name, treat, text)?;
            files.push(self.entry(name, treat, FileRole::Metadata, bytes)?);
        }
        self.buffer_pool(&mut files)?;
        // Everything above is stored by now: `entry` waited for it.
        let text = metadata::tablespaces(&copied.survey.tablespaces);
        let bytes = text.len() as u64;
        plain::put_bytes(&self.sink, TABLESPACES, Treat::All, text)?;
        files.push(self.entry(TABLESPACES, Treat::All, FileRole::Metadata, bytes)?);
        let mut manifest = self.manifest(&copied, lsn, id, files);
        if let Some(key) = &self.options.key {
            manifest
                .authenticate(&key.mac_key())
                .map_err(crate::store::StoreError::from)?;
        }
        Ok(manifest)
    }

    fn entry(
        &self,
        name: &str,
        treat: Treat,
        role: FileRole,
        bytes: u64,
    ) -> Result<FileEntry, BackupError> {
        self.sink.entry(name, treat, role, bytes)
    }

    fn space_files(&self, copied: &Copied) -> Result<Vec<FileEntry>, BackupError> {
        let pairs = || copied.survey.tablespaces.iter().zip(&copied.counts);
        let mut files = Vec::with_capacity(copied.counts.len() * 2);
        let Some(floors) = &copied.floors else {
            for (ts, counts) in pairs() {
                let role = FileRole::Tablespace(space_file(ts));
                files.push(self.entry(&ts.name, treat(ts), role, counts.stored_bytes)?);
            }
            return Ok(files);
        };
        // All are put before the first is waited for: thousands of tables must not cost as many
        // round trips one after the other.
        let metas: Vec<String> = pairs().map(|(ts, _)| meta_text(ts)).collect();
        for ((ts, _), text) in pairs().zip(&metas) {
            plain::put_bytes(
                &self.sink,
                &format!("{}.meta", ts.name),
                Treat::Plain,
                text.clone(),
            )?;
        }
        for (((ts, counts), text), floor) in pairs().zip(&metas).zip(floors) {
            let delta = format!("{}.delta", ts.name);
            let role = FileRole::Delta(SpaceFile {
                floor: Some(*floor),
                ..space_file(ts)
            });
            files.push(self.entry(&delta, treat(ts), role, counts.stored_bytes)?);
            let meta = format!("{}.meta", ts.name);
            let bytes = text.len() as u64;
            files.push(self.entry(&meta, Treat::Plain, FileRole::DeltaMeta, bytes)?);
        }
        Ok(files)
    }

    /// A schema without any file gets an empty `db.opt`, so that its directory exists after a restore
    /// (`docs/format/checkpoints.md#plain-files`).
    fn empty_schemas(
        &self,
        copied: &Copied,
        files: &mut Vec<FileEntry>,
    ) -> Result<(), BackupError> {
        for schema in &copied.survey.schemas {
            let inside = format!("{schema}/");
            let spaces = copied.survey.tablespaces.iter().map(|t| &t.name);
            let plain = copied.survey.plain.iter().map(|p| &p.name);
            if spaces.chain(plain).any(|name| name.starts_with(&inside)) {
                continue;
            }
            let path = format!("{schema}/db.opt");
            plain::put_bytes(&self.sink, &path, Treat::All, "")?;
            files.push(self.entry(&path, Treat::All, FileRole::Plain, 0)?);
        }
        Ok(())
    }

    fn metadata(
        &self,
        copied: &Copied,
        lsn: &LsnRange,
        id: &str,
        ended: chrono::DateTime<Utc>,
    ) -> Vec<(&'static str, String)> {
        let info = metadata::info(&Info {
            uuid: id,
            name: self.name.as_str(),
            command: &self.options.command,
            identity: &self.identity,
            started: self.started,
            ended,
            lock_seconds: copied.tables_locked.as_secs(),
            status: &copied.status,
            kind: self.kind(),
            lsn,
            compressed: self.sink.compression().is_some(),
            encrypted: self.options.key.is_some(),
        });
        let mut out = vec![
            (
                "backup-my.cnf",
                metadata::backup_my_cnf(&self.variables, &self.identity),
            ),
            (
                CHECKPOINTS,
                metadata::checkpoints(self.kind(), lsn, self.flushed),
            ),
            ("xtrabackup_info", info),
        ];
        out.extend(metadata::binlog_info(&copied.status).map(|t| ("xtrabackup_binlog_info", t)));
        let slave_info = copied.replica.as_ref().and_then(replica::statements);
        out.extend(slave_info.map(|t| ("xtrabackup_slave_info", t)));
        out
    }

    /// The list of pages that a restored server may warm up with; no loss where there is none.
    fn buffer_pool(&self, files: &mut Vec<FileEntry>) -> Result<(), BackupError> {
        let name = &self.variables.buffer_pool_filename;
        let source = self.variables.datadir.join(name);
        let Ok(meta) = source.metadata() else {
            return Ok(());
        };
        let file = PlainFile {
            source,
            name: name.clone(),
            bytes: meta.len(),
        };
        let bytes = plain::copy_file(&self.sink, &file, &crate::progress::Silent)?;
        files.push(self.entry(name, Treat::All, FileRole::Plain, bytes)?);
        Ok(())
    }

    fn manifest(
        &self,
        copied: &Copied,
        lsn: LsnRange,
        id: String,
        files: Vec<FileEntry>,
    ) -> Manifest {
        Manifest {
            layout: self.sink.layout(),
            mac: None,
            page_tracking: Some(copied.tracking.clone()),
            dictionary: Some(tables::dictionary(
                &copied.survey,
                &copied.other_engines,
                &self.variables.datadir,
            )),
            replica: copied.replica.clone(),
            history: Some(self.history(copied)),
            format: packed::format_of(&files),
            lsnap_version: env!("CARGO_PKG_VERSION").to_owned(),
            id,
            name: self.name.clone(),
            kind: self.kind(),
            base: self.base.as_ref().map(|base| BaseRef {
                name: base.name.clone(),
                id: base.id.clone(),
                to_lsn: base.lsn.to_lsn,
            }),
            started_at: self.started,
            finished_at: Utc::now(),
            server: ServerIdentity {
                uuid: self.identity.server_uuid.clone(),
                version: self.identity.version_string.clone(),
                flavor: self.identity.flavor.to_string(),
                hostname: self.identity.hostname.clone(),
                page_size: self.variables.page_size,
                redo_format: copied.start.file.format,
                redo_creator: copied.start.file.creator_str(),
                redo_log_uuid: copied.start.file.log_uuid,
                data_file_path: crate::innodb::base_names(&self.variables.innodb_data_file_path),
                lower_case_table_names: self.variables.lower_case_table_names,
            },
            lsn,
            binlog: copied.status.binlog.as_ref().map(|b| Binlog {
                file: b.file.clone(),
                position: b.position,
                gtid_executed: b.gtid_executed.clone(),
            }),
            files,
            left_out: copied
                .survey
                .left_out
                .iter()
                .map(|l| LeftOutEntry {
                    path: l.path.clone(),
                    reason: l.reason.to_owned(),
                })
                .collect(),
            pages: page_counts(&copied.counts),
            digest: String::new(),
        }
    }
}

/// The LSNs of a backup that began at the checkpoint `start` and ended at `status`.
///
/// `to_lsn` is `start`, and not the checkpoint of `status`: the next incremental has it as `from_lsn`, also one that
/// knows nothing else of this backup, and has to hold what changed while this one was made
/// (`docs/design.md#overlap`).
fn lsn_range(base: Option<&LsnRange>, floor: Lsn, start: Lsn, status: &LogStatus) -> LsnRange {
    LsnRange {
        from_lsn: base.map_or(Lsn(0), |base| base.to_lsn),
        scan_floor: floor,
        start_checkpoint: start,
        to_lsn: start,
        last_lsn: Lsn(status.lsn),
    }
}

/// What `st_blocks` counts in, in bytes.
const BLOCK: u64 = 512;

impl Session<'_> {
    fn history(&self, copied: &Copied) -> History {
        let spaces = copied.survey.tablespaces.iter().zip(&copied.counts);
        let pages = spaces.flat_map(|(ts, counts)| {
            counts.report.marked_pages().map(|(number, lsn)| PageMark {
                space_id: ts.space_id,
                node: ts.node,
                page: PageNo(number.0.wrapping_sub(ts.first_page)),
                lsn,
            })
        });
        history::of(
            copied.redo_mark.clone(),
            copied.binlog_digest.clone(),
            copied.pages_of_base.iter().copied().chain(pages),
        )
    }
}

pub(super) fn space_file(ts: &Tablespace) -> SpaceFile {
    let page = ts.page_size.bytes() as u64;
    // Pages of a page-compressed table have holes that nobody else counts.
    let allocated = std::fs::metadata(&ts.source).map(|meta| meta.blocks() * BLOCK);
    SpaceFile {
        name: ts.name.clone(),
        space_id: ts.space_id,
        node: ts.node,
        flags: ts.flags,
        page_size: ts.page_size,
        bytes: ts.bytes / page * page,
        undo: ts.kind == TablespaceKind::Undo,
        encrypted: ts.flags.is_encrypted(),
        external: ts.external.as_ref().map(|dir| dir.display().to_string()),
        tablespace_name: ts.tablespace_name.clone(),
        floor: None,
        allocated: allocated.ok().filter(|bytes| *bytes < ts.bytes),
    }
}

fn meta_text(ts: &Tablespace) -> String {
    delta::Meta::of(ts.space_id, ts.flags, ts.page_size).encode()
}

fn page_counts(counts: &[CopyCounts]) -> PageCounts {
    let mut sum = PageCounts::default();
    for c in counts {
        sum.verified += c.report.verified;
        sum.zero += c.report.zero;
        sum.unverifiable += c.report.unverifiable;
        sum.skipped += c.report.skipped;
        sum.rereads += c.report.rereads;
    }
    sum
}

/// The redo is written before the pages that it belongs to, so no page can be newer than the end of
/// the redo: one that is belongs to another server or another redo log.
fn check_pages(copied: &Copied, last_lsn: Lsn) -> Result<(), BackupError> {
    for (ts, counts) in copied.survey.tablespaces.iter().zip(&copied.counts) {
        if counts.report.max_lsn > last_lsn {
            return Err(BackupError::PageFromTheFuture {
                file: ts.source.display().to_string(),
                page_lsn: counts.report.max_lsn,
                last_lsn,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's checkpoint went on while pages were copied.
    #[test]
    fn to_lsn_is_the_checkpoint_at_the_start() {
        let status = |checkpoint_lsn, lsn| LogStatus {
            server_uuid: String::new(),
            binlog: None,
            gtid_executed: String::new(),
            lsn,
            checkpoint_lsn,
            channels: Vec::new(),
        };
        let full = lsn_range(None, Lsn(0), Lsn(100), &status(150, 200));
        assert_eq!(full.to_lsn, full.start_checkpoint);
        assert_eq!((full.to_lsn, full.last_lsn), (Lsn(100), Lsn(200)));
        // A base of an earlier lsnap: its `to_lsn` is its checkpoint at the end.
        let earlier = LsnRange {
            to_lsn: Lsn(150),
            ..full
        };
        for base in [full, earlier] {
            let floor = base.start_checkpoint;
            let next = lsn_range(Some(&base), floor, Lsn(250), &status(260, 300));
            assert_eq!(next.from_lsn, base.to_lsn);
            assert_eq!(next.scan_floor, Lsn(100));
            assert_eq!(next.to_lsn, Lsn(250));
        }
    }
}
