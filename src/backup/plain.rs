//! Files of other engines and small files: copied whole.
//!
//! Those that hold rows are copied under the lock of the tables. The `.sdi` files beside them describe
//! tables: only DDL changes them, and the instance lock keeps DDL out, so they are copied beside the pages. A
//! server has more than a hundred of them (performance_schema), each an object with syncs of its own: after the
//! pages they were a tenth of a second, in which everybody waited.

use super::RANGE_BYTES;
use super::error::BackupError;
use super::sink::Sink;
use super::wrap::{Piece, Treat};
use crate::datadir::PlainFile;
use crate::progress::{Phase, Progress};
use bytes::Bytes;
use std::fs::File;
use std::io::Read;

/// Puts `data` as the whole file `path`.
pub(super) fn put_bytes(
    sink: &Sink,
    path: &str,
    treat: Treat,
    data: impl Into<Bytes>,
) -> Result<(), BackupError> {
    let piece = Piece {
        index: 0,
        offset: 0,
        hole: 0,
        data: data.into(),
        last: true,
    };
    sink.put(path, treat, piece)
}

/// A file that was copied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CopiedFile {
    /// Its path within the backup.
    pub name: String,
    /// Its length in bytes, as it was copied.
    pub bytes: u64,
}

/// Whether the file stays as it is while the instance is locked.
pub(super) fn is_settled(file: &PlainFile) -> bool {
    file.name.ends_with(".sdi")
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

/// Copies one file as it is at this moment.
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

/// Copies one file as it is at this moment; returns its length.
pub(super) fn copy_file(
    sink: &Sink,
    file: &PlainFile,
    progress: &dyn Progress,
) -> Result<u64, BackupError> {
    copy_up_to(sink, file, u64::MAX, progress)
}

/// Copies the first `limit` bytes of a file, or what it has; returns their number.
pub(super) fn copy_up_to(
    sink: &Sink,
    file: &PlainFile,
    limit: u64,
    progress: &dyn Progress,
) -> Result<u64, BackupError> {
    let mut source = File::open(&file.source).map_err(BackupError::io(&file.source, "open"))?;
    copy_open(sink, file, &mut source, limit, progress)
}

/// As [`copy_up_to`], of a file that is open and stands at its beginning.
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
        sink.put(&file.name, Treat::All, piece)?;
        progress.advance(Phase::Plain, len as u64);
        offset += len as u64;
        index += 1;
        if last {
            return Ok(offset);
        }
    }
}
