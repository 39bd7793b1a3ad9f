//! Metadata of backups made by xtrabackup: `xtrabackup_checkpoints` (always stored as it is) and
//! `xtrabackup_info` (only readable if the backup is neither compressed nor encrypted).
//!
//! `xtrabackup_info` (`backup_copy.cc`, `write_xtrabackup_info`) has lines `key = value`. A
//! `binlog_pos` with several GTID sets continues over several lines, up to the closing quote.

use crate::manifest::{line_value, object_name};
use serde::Serialize;

use crate::innodb::Lsn;
use crate::manifest::{BackupKind, BackupName, BackupType, CHECKPOINTS, Checkpoints};
use crate::store::error::StoreError;
use crate::store::objects::bucket::Held;
use crate::store::objects::repository::Repository;
use crate::xbstream::{self, Chunk};

const INFO: &str = "xtrabackup_info";
/// Largest objects that are read, in bytes: a GTID set may be long.
const MAX_CHECKPOINTS: u64 = 8 << 10;
const MAX_INFO: u64 = 1 << 20;

/// The metadata of a backup that lsnap did not make. Times are in the server's time zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ForeignInfo {
    /// Whether it is a full or an incremental backup.
    pub kind: Option<BackupKind>,
    /// The end of its base; 0 for a full backup.
    pub from_lsn: Option<Lsn>,
    /// The start of the next incremental.
    pub to_lsn: Option<Lsn>,
    /// The end of its redo log.
    pub last_lsn: Option<Lsn>,
    /// The program and its version.
    pub tool: Option<String>,
    /// The server's version.
    pub server_version: Option<String>,
    /// The start time.
    pub start_time: Option<String>,
    /// The end time.
    pub end_time: Option<String>,
    /// The position in the binary log, with GTIDs, as xtrabackup writes it.
    pub binlog_pos: Option<String>,
}

/// The metadata files that can be read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Readable {
    checkpoints: bool,
    info: bool,
}

impl Readable {
    /// Records an object of a listing.
    pub fn look_at(&mut self, path: &str, index: u64, bytes: u64) {
        match (path, index) {
            (CHECKPOINTS, 0) => self.checkpoints = bytes <= MAX_CHECKPOINTS,
            (INFO, 0) => self.info = bytes <= MAX_INFO,
            _ => {}
        }
    }
}

impl Repository {
    /// Reads the metadata of a backup. Metadata that can't be read is left out; only a failure of
    /// the store is an error.
    pub(super) fn foreign(
        &self,
        name: &BackupName,
        readable: Readable,
    ) -> Result<ForeignInfo, StoreError> {
        let mut found = ForeignInfo::default();
        if readable.info
            && let Some(text) = self.small_file(name, INFO, MAX_INFO)?
        {
            found.read_info(&String::from_utf8_lossy(&text));
        }
        if readable.checkpoints
            && let Some(text) = self.small_file(name, CHECKPOINTS, MAX_CHECKPOINTS)?
            && let Ok(read) = Checkpoints::parse(&text)
        {
            found.kind = Some(match read.kind {
                BackupType::Incremental => BackupKind::Incremental,
                _ => BackupKind::Full,
            });
            found.from_lsn = Some(read.from_lsn);
            found.to_lsn = Some(read.to_lsn);
            found.last_lsn = Some(read.last_lsn);
        }
        Ok(found)
    }

    /// Returns the bytes of a file that is the first chunk of its first object.
    fn small_file(
        &self,
        name: &BackupName,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let object = format!("{name}/{}", object_name(path, 0));
        let Held::Bytes(bytes) = self.bucket().get(&object, max)? else {
            return Ok(None);
        };
        Ok(match xbstream::chunks(bytes).next() {
            Some(Ok(Chunk::Payload { data, .. })) => Some(data.to_vec()),
            _ => None,
        })
    }
}

impl ForeignInfo {
    fn read_info(&mut self, text: &str) {
        let value = |key: &str| value(text, key).map(str::to_owned);
        let lsn = |key| value(key)?.parse().ok().map(Lsn);
        let tool = [value("tool_name"), value("tool_version")];
        self.kind = match value("incremental").as_deref() {
            Some("Y") => Some(BackupKind::Incremental),
            Some("N") => Some(BackupKind::Full),
            _ => None,
        };
        self.from_lsn = lsn("innodb_from_lsn");
        self.to_lsn = lsn("innodb_to_lsn");
        self.tool = Some(tool.into_iter().flatten().collect::<Vec<_>>().join(" "))
            .filter(|tool| !tool.is_empty());
        self.server_version = value("server_version");
        self.start_time = value("start_time");
        self.end_time = value("end_time");
        self.binlog_pos = position(text);
    }
}

/// Returns the value of a line, if it isn't empty.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    line_value(text, key).filter(|value| !value.is_empty())
}

/// Returns the binary log position, which ends with the last quote before the next `key = value`.
fn position(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("\nbinlog_pos = ")?;
    let end = rest.find("\ninnodb_from_lsn").or_else(|| rest.find('\n'));
    let found = rest.get(..end.unwrap_or(rest.len()))?;
    let joined: String = found.lines().map(str::trim).collect();
    Some(joined).filter(|p| !p.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const REAL: &str = "uuid = 0b6e8e5e-f3c2-11f0-8d1c-0242ac110002\nname = \n\
        tool_name = xtrabackup\ntool_command = --backup --stream=xbstream\n\
        tool_version = 8.4.0-3\nibbackup_version = 8.4.0-3\nserver_version = 8.4.3\n\
        start_time = 2026-11-18 11:06:40\nend_time = 2026-11-18 11:07:01\nlock_time = 1\n\
        binlog_pos = filename 'binlog.000002', position '197', GTID of the last change '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,\n\
        4e11fa47-71ca-11e1-9e33-c80aa9429562:1-7'\ninnodb_from_lsn = 0\ninnodb_to_lsn = 20001\n\
        partial = N\nincremental = N\nformat = xbstream\ncompressed = N\nencrypted = N\n";

    #[test]
    fn an_info_file_is_read() {
        let mut info = ForeignInfo::default();
        info.read_info(REAL);
        assert_eq!(info.kind, Some(BackupKind::Full));
        assert_eq!(info.to_lsn, Some(Lsn(20001)));
        assert_eq!(info.tool.as_deref(), Some("xtrabackup 8.4.0-3"));
        assert_eq!(info.end_time.as_deref(), Some("2026-11-18 11:07:01"));
        let position = info.binlog_pos.unwrap();
        assert!(position.contains(":1-5,4e11"), "{position}");
        assert!(position.ends_with(":1-7'"), "{position}");
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text in any::<String>(), tail in any::<String>()) {
            for text in [text.clone(), format!("{REAL}{text}"), format!("\nbinlog_pos = {text}\ninnodb_from_lsn{tail}")] {
                ForeignInfo::default().read_info(&text);
            }
        }
    }
}
