//! The end of a backup: the metadata files, and the manifest that completes it.

use super::copied::{Contents, Copied};
use super::error::BackupError;
use super::metadata::{self, Info, LOGFILE};
use super::redo_files::StartPoint;
use super::session::{Base, Session};
use super::space_entries::space_entries;
use super::spaces::CopiedSpace;
use super::wrap::WrapMode;
use super::{history, plain, replica, server_settings};
use crate::datadir::PlainFile;
use crate::innodb::{EndLsn, Lsn, PageNo, ScanFloor, StartCheckpoint};
use crate::manifest::{
    BaseRef, Binlog, FileEntry, FileRole, History, LeftOutEntry, LsnRange, Manifest, PageCounts,
    PageMark, ServerIdentity, packed,
};
use chrono::Utc;
use std::time::Duration;

/// The last file before the manifest: xbcloud interprets its presence as the sign of a complete
/// backup.
const TABLESPACES: &str = "xtrabackup_tablespaces";
/// Never encrypted: every tool reads it before it has a key.
const CHECKPOINTS: &str = "xtrabackup_checkpoints";

const INFO: &str = "xtrabackup_info";

/// The result of [`Session::finish`].
pub(super) struct Finished {
    pub manifest: Manifest,
    /// The text of `xtrabackup_checkpoints`.
    pub checkpoints: String,
    /// The text of `xtrabackup_info`.
    pub info: String,
}

impl Session<'_> {
    /// Stores the metadata and builds the manifest. No lock is held at this point.
    pub(super) fn finish(&self, copied: Copied) -> Result<Finished, BackupError> {
        self.progress.phase(crate::progress::Phase::Finish, None);
        let base = self.base.as_ref().map(Base::to_lsn);
        let floor = self.floor().unwrap_or(ScanFloor::WHOLE);
        let Copied {
            contents,
            redo,
            tables_locked,
        } = &copied;
        let end = EndLsn::at(contents.status.lsn);
        let lsn = lsn_range(base, floor, redo.start.checkpoint, end);
        check_pages(&contents.spaces, end)?;
        let id = uuid::Uuid::new_v4().to_string();
        let mut files = space_entries(&self.sink, &contents.spaces)?;
        for file in &contents.plain {
            files.push(self.entry(&file.name, WrapMode::All, FileRole::Plain, file.bytes)?);
        }
        for file in &contents.binary_log {
            files.push(self.entry(&file.name, WrapMode::All, FileRole::BinaryLog, file.bytes)?);
        }
        self.empty_schemas(contents, &mut files)?;
        let redo_wrap_mode = self.redo_wrap_mode();
        files.push(self.entry(LOGFILE, redo_wrap_mode, FileRole::Redo, redo.bytes)?);
        let ended = Utc::now();
        let metadata = self.metadata(contents, *tables_locked, &lsn, &id, ended);
        let text_of = |name| {
            let found = metadata.iter().find(|(of, _)| *of == name);
            found.map_or_else(String::new, |(_, text)| text.clone())
        };
        let (checkpoints, info) = (text_of(CHECKPOINTS), text_of(INFO));
        for (name, text) in metadata {
            let bytes = text.len() as u64;
            let wrap_mode = if name == CHECKPOINTS {
                WrapMode::Plain
            } else {
                WrapMode::All
            };
            plain::put_bytes(&self.sink, name, wrap_mode, text)?;
            files.push(self.entry(name, wrap_mode, FileRole::Metadata, bytes)?);
        }
        self.buffer_pool(&mut files)?;
        // All files above are stored by now: `entry` waits for each.
        let text = metadata::tablespaces(contents.spaces.iter().map(|file| &file.space));
        let bytes = text.len() as u64;
        plain::put_bytes(&self.sink, TABLESPACES, WrapMode::All, text)?;
        files.push(self.entry(TABLESPACES, WrapMode::All, FileRole::Metadata, bytes)?);
        let mut manifest = self.manifest(&copied, lsn, id, files);
        if let Some(key) = &self.options.key {
            manifest
                .authenticate(&key.mac_key())
                .map_err(crate::store::StoreError::from)?;
        }
        Ok(Finished {
            manifest,
            checkpoints,
            info,
        })
    }

    fn entry(
        &self,
        name: &str,
        wrap_mode: WrapMode,
        role: FileRole,
        bytes: u64,
    ) -> Result<FileEntry, BackupError> {
        self.sink.entry(name, wrap_mode, role, bytes)
    }

    /// Adds an empty `db.opt` to each schema without files, so that its directory exists after a
    /// restore (`docs/format/checkpoints.md#plain-files`).
    fn empty_schemas(
        &self,
        contents: &Contents,
        files: &mut Vec<FileEntry>,
    ) -> Result<(), BackupError> {
        for schema in &contents.found.schemas {
            let inside = format!("{schema}/");
            let spaces = contents.spaces.iter().map(|file| &file.space.name);
            let plain = contents.plain.iter().map(|file| &file.name);
            if spaces.chain(plain).any(|name| name.starts_with(&inside)) {
                continue;
            }
            let path = format!("{schema}/db.opt");
            plain::put_bytes(&self.sink, &path, WrapMode::All, "")?;
            files.push(self.entry(&path, WrapMode::All, FileRole::Plain, 0)?);
        }
        Ok(())
    }

    fn metadata(
        &self,
        contents: &Contents,
        tables_locked: Duration,
        lsn: &LsnRange,
        id: &str,
        ended: chrono::DateTime<Utc>,
    ) -> Vec<(&'static str, String)> {
        let info = metadata::info(&Info {
            uuid: id,
            name: self
                .options
                .info_name
                .as_deref()
                .unwrap_or(self.name.as_str()),
            command: &self.options.command,
            identity: &self.identity,
            started: self.started,
            ended,
            lock_seconds: tables_locked.as_secs(),
            status: &contents.status,
            kind: self.kind(),
            lsn,
            compressed: self.sink.compression().is_some(),
            encrypted: self.options.key.is_some(),
            partial: contents.found.dictionary.is_partial(),
            filter: contents.found.dictionary.filter.as_ref(),
            in_directory: self.options.into_directory,
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
            (INFO, info),
        ];
        let binlog_info = metadata::binlog_info(&contents.status, &self.identity);
        out.extend(binlog_info.map(|t| ("xtrabackup_binlog_info", t)));
        let galera = contents.galera.as_ref();
        out.extend(galera.map(|state| ("xtrabackup_galera_info", format!("{state}\n"))));
        let slave_info = contents.replica.as_ref().and_then(replica::statements);
        let slave_info = slave_info.or_else(|| self.options.slave_info.then(String::new));
        out.extend(slave_info.map(|t| ("xtrabackup_slave_info", t)));
        out
    }

    /// Copies the list of pages with which a restored server may warm up its buffer pool. The file
    /// is optional.
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
        files.push(self.entry(name, WrapMode::All, FileRole::Plain, bytes)?);
        Ok(())
    }

    fn manifest(
        &self,
        copied: &Copied,
        lsn: LsnRange,
        id: String,
        files: Vec<FileEntry>,
    ) -> Manifest {
        let contents = &copied.contents;
        Manifest {
            layout: self.sink.layout(),
            mac: None,
            page_tracking: Some(contents.found.tracking.clone()),
            dictionary: Some(contents.found.dictionary.clone()),
            replica: contents.replica.clone(),
            history: Some(self.history(copied)),
            scheduled: self.options.scheduled.clone(),
            format: packed::format_of(&files),
            lsnap_version: env!("CARGO_PKG_VERSION").to_owned(),
            id,
            name: self.name.clone(),
            kind: self.kind(),
            base: self.base_manifest().map(|base| BaseRef {
                name: base.name.clone(),
                id: base.id.clone(),
                to_lsn: base.lsn.to_lsn,
            }),
            started_at: self.started,
            finished_at: Utc::now(),
            server: self.server_identity(&copied.redo.start),
            lsn,
            binlog: contents.status.binlog.as_ref().map(|b| Binlog {
                file: b.file.clone(),
                position: b.position,
                gtid_executed: b.gtid_executed.clone(),
            }),
            files,
            left_out: contents
                .found
                .left_out
                .iter()
                .map(|l| LeftOutEntry {
                    path: l.path.clone(),
                    reason: l.reason.to_owned(),
                })
                .collect(),
            pages: page_counts(&contents.spaces),
            digest: String::new(),
        }
    }

    fn server_identity(&self, start: &StartPoint) -> ServerIdentity {
        ServerIdentity {
            uuid: self.identity.server_uuid.clone(),
            version: self.identity.version_string.clone(),
            flavor: self.identity.flavor.to_string(),
            hostname: self.identity.hostname.clone(),
            page_size: self.variables.page_size,
            redo_format: start.file.format,
            redo_creator: start.file.creator_str(),
            redo_log_uuid: start.file.log_uuid,
            data_file_path: crate::innodb::base_names(&self.variables.innodb_data_file_path),
            lower_case_table_names: self.variables.lower_case_table_names,
            settings: Some(server_settings::of(self)),
        }
    }
}

/// Returns the LSNs of a backup that began at the checkpoint `start` and ended at `end`.
///
/// `to_lsn` is `start`, not the server's checkpoint at the end: the next incremental uses it as
/// `from_lsn`, also if the tool that makes it has no other information about this backup, and must
/// contain the changes during this backup (`docs/design.md#overlap`).
fn lsn_range(base: Option<Lsn>, floor: ScanFloor, start: StartCheckpoint, end: EndLsn) -> LsnRange {
    LsnRange {
        from_lsn: base.unwrap_or(Lsn(0)),
        scan_floor: floor.lsn(),
        start_checkpoint: start.lsn(),
        to_lsn: start.lsn(),
        last_lsn: end.lsn(),
    }
}

impl Session<'_> {
    fn history(&self, copied: &Copied) -> History {
        let contents = &copied.contents;
        let pages = contents.spaces.iter().flat_map(|file| {
            let marked = file.counts.report.marked_pages();
            marked.map(|(number, lsn)| PageMark {
                space_id: file.space.space_id,
                node: file.space.node,
                page: PageNo(number.0.wrapping_sub(file.space.first_page)),
                lsn,
            })
        });
        history::of(
            copied.redo.mark.clone(),
            contents.binlog_digest.clone(),
            contents.found.pages_of_base.iter().copied().chain(pages),
        )
    }
}

fn page_counts(spaces: &[CopiedSpace]) -> PageCounts {
    let mut sum = PageCounts::default();
    for report in spaces.iter().map(|file| &file.counts.report) {
        sum.verified += report.verified;
        sum.zero += report.zero;
        sum.unverifiable += report.unverifiable;
        sum.skipped += report.skipped;
        sum.rereads += report.rereads;
    }
    sum
}

/// Checks that no page is newer than the end of the redo. The server writes redo before the pages
/// that it belongs to, so a newer page belongs to another server or another redo log.
fn check_pages(spaces: &[CopiedSpace], end: EndLsn) -> Result<(), BackupError> {
    for file in spaces {
        let newest = file.counts.report.max_lsn;
        if newest > end.lsn() {
            return Err(BackupError::PageFromTheFuture {
                file: file.space.source.display().to_string(),
                page_lsn: newest,
                last_lsn: end.lsn(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_lsn_is_the_checkpoint_at_the_start() {
        let range = |base: Option<&LsnRange>, floor, start, end| {
            let floor = ScanFloor::at(Lsn(floor));
            let (start, end) = (StartCheckpoint::at(Lsn(start)), EndLsn::at(Lsn(end)));
            lsn_range(base.map(|base| base.to_lsn), floor, start, end)
        };
        let full = range(None, 0, 100, 200);
        assert_eq!(full.to_lsn, full.start_checkpoint);
        assert_eq!((full.to_lsn, full.last_lsn), (Lsn(100), Lsn(200)));
        // A base by an earlier lsnap: its `to_lsn` is its checkpoint at the end.
        let earlier = LsnRange {
            to_lsn: Lsn(150),
            ..full
        };
        for base in [full, earlier] {
            let next = range(Some(&base), base.start_checkpoint.0, 250, 300);
            assert_eq!(next.from_lsn, base.to_lsn);
            assert_eq!(next.scan_floor, Lsn(100));
            assert_eq!(next.to_lsn, Lsn(250));
        }
    }
}
