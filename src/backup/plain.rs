//! Files of other engines and small files: copied whole, in order, under the lock.

use super::RANGE_BYTES;
use super::error::BackupError;
use super::sink::{Piece, Sink, Treat};
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
    let source = File::open(&file.source).map_err(BackupError::io(&file.source, "open"))?;
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
