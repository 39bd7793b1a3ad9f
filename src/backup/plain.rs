//! Copies files of other engines and other small files as a whole.
//!
//! Files with rows are copied under the table lock. The `.sdi` files next to them describe tables:
//! only DDL changes them, and the instance lock blocks DDL, so they are copied concurrently with
//! the pages. A server has more than a hundred of them (performance_schema), each an object with
//! its own syncs: after the pages, they took a tenth of a second under the lock.

use super::RANGE_BYTES;
use super::error::BackupError;
use super::sink::Sink;
use super::wrap::{Piece, WrapMode};
use super::{log_tables, sdi};
use crate::datadir::PlainFile;
use crate::progress::{Phase, Progress};
use bytes::Bytes;
use std::fs::File;
use std::io::Read;

/// Stores `data` as the complete file `path`.
pub(super) fn put_bytes(
    sink: &Sink,
    path: &str,
    wrap_mode: WrapMode,
    data: impl Into<Bytes>,
) -> Result<(), BackupError> {
    let piece = Piece {
        index: 0,
        offset: 0,
        hole: 0,
        data: data.into(),
        last: true,
    };
    sink.put(path, wrap_mode, piece)
}

/// A copied file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CopiedFile {
    /// Its path in the backup.
    pub name: String,
    /// The number of copied bytes.
    pub bytes: u64,
}

/// Returns whether the file can't change while the instance is locked.
pub(super) fn is_settled(file: &PlainFile) -> bool {
    sdi::is_one(file)
}

/// Returns whether the file may have rows of a table that statements change, and that the table lock protects. The log
/// tables don't count, because that lock doesn't cover them.
pub(super) fn has_rows(file: &PlainFile) -> bool {
    let without_rows = is_settled(file) || file.name.ends_with(".opt") || file.name == "mysqld.my";
    !without_rows && !log_tables::is_one(file)
}

/// Copies the files.
pub(super) fn copy_all(
    sink: &Sink,
    files: &[PlainFile],
    progress: &dyn Progress,
) -> Result<Vec<CopiedFile>, BackupError> {
    let copy = |file| copied(sink, file, progress);
    files.iter().map(copy).collect()
}

/// Copies one file in its present state.
pub(super) fn copied(
    sink: &Sink,
    file: &PlainFile,
    progress: &dyn Progress,
) -> Result<CopiedFile, BackupError> {
    Ok(CopiedFile {
        name: file.name.clone(),
        bytes: copy_file(sink, file, progress)?,
    })
}

/// Copies one file in its present state; returns its length.
pub(super) fn copy_file(
    sink: &Sink,
    file: &PlainFile,
    progress: &dyn Progress,
) -> Result<u64, BackupError> {
    copy_up_to(sink, file, u64::MAX, progress)
}

/// Copies up to `limit` bytes of a file; returns their number.
pub(super) fn copy_up_to(
    sink: &Sink,
    file: &PlainFile,
    limit: u64,
    progress: &dyn Progress,
) -> Result<u64, BackupError> {
    let mut source = File::open(&file.source).map_err(BackupError::io(&file.source, "open"))?;
    copy_open(sink, file, &mut source, limit, progress)
}

/// The same as [`copy_up_to`], for an open file at offset 0.
pub(super) fn copy_open(
    sink: &Sink,
    file: &PlainFile,
    source: &mut File,
    limit: u64,
    progress: &dyn Progress,
) -> Result<u64, BackupError> {
    let mut source = source.take(limit);
    let (mut offset, mut index) = (0u64, 0u64);
    loop {
        let mut data = Vec::new();
        (&mut source)
            .take(RANGE_BYTES as u64)
            .read_to_end(&mut data)
            .map_err(BackupError::io(&file.source, "read"))?;
        let len = data.len();
        let last = len < RANGE_BYTES;
        let piece = Piece {
            index,
            offset,
            hole: 0,
            data: Bytes::from(data),
            last,
        };
        sink.put(&file.name, WrapMode::All, piece)?;
        progress.advance(Phase::Plain, len as u64);
        offset += len as u64;
        index += 1;
        if last {
            return Ok(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_another_engine_needs_the_table_lock() {
        let rows = |name: &str| {
            has_rows(&PlainFile {
                source: name.into(),
                name: name.to_owned(),
                bytes: 1,
            })
        };
        for name in [
            "a/m.MYD",
            "a/m.MYI",
            "a/m.MAD",
            "a/m.MAI",
            "a/merge.MRG",
            "a/archive.ARZ",
            "a/archive.ARM",
            "a/csv.CSV",
            "a/csv.CSM",
            "a/general_log.CSV",
            "mysql/general_log2.CSV",
            "mysql/of_another_engine.MYD",
        ] {
            assert!(rows(name), "{name}");
        }
        for name in [
            "a/m_123.sdi",
            "a/db.opt",
            "mysqld.my",
            "mysql/general_log.CSV",
            "mysql/slow_log.CSM",
            "mysql/general_log_4.sdi",
        ] {
            assert!(!rows(name), "{name}");
        }
    }
}
