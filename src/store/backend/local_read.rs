//! Reads objects of a local repository past the page cache, into their own memory maps.
//!
//! A restore reads each object once, so the page cache has no benefit: it would cost a second copy
//! and fresh memory for each gigabyte (0.3 core-seconds, `benches/PROFILES.md`), and evict pages
//! that the host needs. The memory is a map that is unmapped with the object. The arenas of the
//! allocator's threads kept as much memory again as `RestoreOptions::memory` permits.

use bytes::Bytes;
use object_store::{Error, GetResult, GetResultPayload, Result};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::counted::count;
use crate::mem::{self, BufferPool};

/// Shorter objects, in bytes, are read through the cache: they are documents, which are read again.
const LEAST: u64 = 256 << 10;

/// Returns all bytes of a response.
pub(in crate::store) async fn collect(result: GetResult) -> Result<Bytes> {
    let (from, length) = (
        result.range.start,
        result.range.end.saturating_sub(result.range.start),
    );
    let GetResult {
        payload,
        meta,
        range,
        attributes,
        extensions,
    } = result;
    match payload {
        GetResultPayload::File(file, path) if from == 0 && length >= LEAST => {
            let read = move || read(&file, &path, length);
            tokio::task::spawn_blocking(read).await?
        }
        payload => {
            let result = GetResult {
                payload,
                meta,
                range,
                attributes,
                extensions,
            };
            result.bytes().await
        }
    }
}

fn read(file: &File, path: &Path, length: u64) -> Result<Bytes> {
    let whole = usize::try_from(length).map_err(|_| ErrorKind::OutOfMemory.into());
    let read = whole.and_then(|length| past_the_cache(file, length));
    read.map_err(|error| Error::Generic {
        store: "LocalFileSystem",
        source: format!("reading {}: {error}", path.display()).into(),
    })
}

/// Reads the first `length` bytes of a file with direct I/O, if the file system supports it.
fn past_the_cache(file: &File, length: usize) -> io::Result<Bytes> {
    let direct = set_direct(file, true).is_ok();
    let mut buffer = BufferPool::new(length, length).get();
    let have = match mem::read_until(file, &mut buffer, 0, length, direct) {
        // A file system may accept the flag and refuse the read.
        Err(e) if direct && e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            set_direct(file, false)?;
            mem::read_until(file, &mut buffer, 0, length, false)?
        }
        read => read?,
    };
    if have < length {
        let what = format!(
            "it has {have}, expected {length}",
            have = count(have, "byte")
        );
        return Err(io::Error::new(ErrorKind::UnexpectedEof, what));
    }
    Ok(buffer.freeze(length))
}

fn set_direct(file: &File, on: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, on);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(length: usize) -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("object");
        let data: Vec<u8> = (0..length).map(|i| (i / 7) as u8).collect();
        std::fs::write(&path, &data).unwrap();
        (dir, path, data)
    }

    #[test]
    fn files_of_any_length_are_read_completely() {
        for length in [1, 4095, 4096, 4097, (1 << 20) + 61] {
            let (_dir, path, data) = made(length);
            let bytes = read(&File::open(&path).unwrap(), &path, length as u64).unwrap();
            assert!(bytes == data, "{length}");
        }
    }

    #[test]
    fn a_truncated_file_is_an_error_that_names_it() {
        let (_dir, path, _) = made(10_000);
        let error = read(&File::open(&path).unwrap(), &path, 20_000).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("object") && text.contains("10000"), "{text}");
    }

    #[test]
    fn a_grown_file_is_read_to_the_requested_length() {
        let (_dir, path, data) = made(10_000);
        let bytes = read(&File::open(&path).unwrap(), &path, 5000).unwrap();
        assert!(bytes == data[..5000]);
    }
}
