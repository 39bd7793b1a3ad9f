//! Files of other engines and small files: copied whole, in order, under the lock.

use super::RANGE_BYTES;
use super::error::BackupError;
use crate::datadir::PlainFile;
use crate::progress::{Phase, Progress};
use crate::store::Upload;
use crate::xbstream;
use bytes::Bytes;
use std::fs::File;
use std::io::Read;

/// Puts `data` as the whole file `path`.
pub(super) fn put_bytes(
    upload: &Upload,
    path: &str,
    data: impl Into<Bytes>,
) -> Result<(), BackupError> {
    let data = data.into();
    let mut parts = Vec::with_capacity(3);
    if !data.is_empty() {
        let crc = xbstream::crc(&data);
        parts.push(xbstream::payload_head(path, 0, data.len() as u64, crc)?);
        parts.push(data);
    }
    parts.push(xbstream::end_chunk(path)?);
    upload.put(path, 0, 0, parts)?;
    Ok(())
}

/// Copies one file as it is at this moment; returns its length.
pub(super) fn copy_file(
    upload: &Upload,
    file: &PlainFile,
    progress: &dyn Progress,
) -> Result<u64, BackupError> {
    copy_up_to(upload, file, u64::MAX, progress)
}

/// Copies the first `limit` bytes of a file, or what it has; returns their number.
pub(super) fn copy_up_to(
    upload: &Upload,
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
        let mut parts = Vec::with_capacity(3);
        if len > 0 {
            let crc = xbstream::crc(&data);
            parts.push(xbstream::payload_head(&file.name, offset, len as u64, crc)?);
            parts.push(Bytes::from(data));
        }
        if last {
            parts.push(xbstream::end_chunk(&file.name)?);
        }
        upload.put(&file.name, index, offset, parts)?;
        progress.advance(Phase::Plain, len as u64);
        offset += len as u64;
        index += 1;
        if last {
            return Ok(offset);
        }
    }
}
