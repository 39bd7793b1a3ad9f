//! Writes files into streams.

use super::error::{ArchiveError, io};
use super::options::OnFile;
use crate::cancel::Cancel;
use crate::locked::Locked;
use crate::progress::{Phase, Progress};
use crate::xbstream;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Payload of a chunk in bytes, as in Percona's xbstream.
const CHUNK: usize = 10 << 20;

/// How to create a stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreateOptions {
    /// The directory of relative paths.
    pub directory: PathBuf,
    /// Number of files that are read at the same time.
    pub parallel: usize,
    /// Allow absolute paths and `..` in the stream.
    pub absolute_names: bool,
    /// Called with the path of each file, before it is read.
    pub on_file: Option<OnFile>,
    /// Cancels the job. The streams then end within a chunk.
    pub cancel: Cancel,
}

impl CreateOptions {
    /// Creates options for files of `directory`, read one at a time.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            parallel: 1,
            absolute_names: false,
            on_file: None,
            cancel: Cancel::new(),
        }
    }
}

/// The content of the created streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CreateReport {
    /// Number of files.
    pub files: u64,
    /// Sum of their lengths in bytes.
    pub bytes: u64,
}

/// Writes `files`, which must be regular files, into the streams `outputs`, each into one of them.
///
/// # Errors
/// [`ArchiveError::Io`], [`ArchiveError::Path`], [`ArchiveError::NotRegular`],
/// [`ArchiveError::Interrupted`]. The streams then end within a chunk.
pub fn create<W: Write + Send>(
    files: &[PathBuf],
    outputs: Vec<W>,
    options: &CreateOptions,
    progress: &dyn Progress,
) -> Result<CreateReport, ArchiveError> {
    let outputs: Vec<_> = outputs.into_iter().map(Mutex::new).collect();
    let (next, ended) = (AtomicUsize::new(0), options.cancel.child());
    let one = |report: &mut CreateReport| -> Result<bool, ArchiveError> {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(path) = files.get(number) else {
            return Ok(false);
        };
        if let Some(on_file) = &options.on_file {
            on_file.call(&path.to_string_lossy());
        }
        let output = &outputs[number % outputs.len()];
        report.bytes += put(path, output, options, &ended, progress)?;
        report.files += 1;
        Ok(true)
    };
    let worker = || {
        let mut report = CreateReport::default();
        while !ended.is_cancelled() {
            match one(&mut report) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    ended.cancel();
                    return Err(error);
                }
            }
        }
        Ok(report)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.parallel.max(1))
            .map(|_| scope.spawn(worker))
            .collect();
        let ends = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or(Err(ArchiveError::Panicked("reads files")))
        });
        ends.collect()
    });
    let mut sum = CreateReport::default();
    let mut result = Ok(());
    for part in results {
        match part {
            Ok(part) => {
                sum.files += part.files;
                sum.bytes += part.bytes;
            }
            Err(error) => result = Err(error),
        }
    }
    if let Err(cancelled) = options.cancel.check() {
        result = Err(cancelled.into());
    }
    for output in &outputs {
        let mut output = output.locked();
        if result.is_err() {
            // A reader would accept a stream that ends between two chunks as complete.
            let _ = output.write_all(&xbstream::MAGIC[..4]);
        }
        let flushed = output.flush().map_err(io("write", Path::new("the stream")));
        if result.is_ok() {
            result = flushed;
        }
    }
    result.map(|()| sum)
}

/// Returns the name of a file in a stream. Unless `absolute` is set, everything up to the last `..` and a
/// leading `/` are removed, as Percona's xbstream does.
fn name(path: &Path, absolute: bool) -> Result<String, ArchiveError> {
    let text = path.to_str().ok_or_else(|| ArchiveError::Path {
        path: path.to_string_lossy().into_owned(),
        why: "is not UTF-8".to_owned(),
    })?;
    if absolute {
        return Ok(text.to_owned());
    }
    let parts: Vec<&str> = text.split('/').collect();
    let from = parts
        .iter()
        .rposition(|part| *part == "..")
        .map_or(0, |at| at + 1);
    let kept = parts[from..]
        .iter()
        .filter(|part| !matches!(**part, "" | "."));
    Ok(kept.copied().collect::<Vec<_>>().join("/"))
}

/// Opens a regular file. A FIFO is opened without waiting for its writer, and refused, because it may never
/// end.
fn open_regular(path: &Path) -> Result<File, ArchiveError> {
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(io("open", path))?;
    let kind = file.metadata().map_err(io("look at", path))?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let kind = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else {
        "a device or a socket"
    };
    let path = path.to_owned();
    Err(ArchiveError::NotRegular { path, kind })
}

fn put<W: Write>(
    path: &Path,
    output: &Mutex<W>,
    options: &CreateOptions,
    ended: &Cancel,
    progress: &dyn Progress,
) -> Result<u64, ArchiveError> {
    let name = name(path, options.absolute_names)?;
    let source = options.directory.join(path);
    let mut file = open_regular(&source)?;
    let length = file.metadata().map_err(io("look at", &source))?.len();
    let mut offset = 0;
    loop {
        let mut data = Vec::with_capacity(CHUNK.min(length as usize + 1));
        (&mut file)
            .take(CHUNK as u64)
            .read_to_end(&mut data)
            .map_err(io("read", &source))?;
        let last = data.len() < CHUNK;
        let mut parts = Vec::with_capacity(2);
        if !data.is_empty() {
            let crc = xbstream::crc(&data);
            parts.push(xbstream::payload_head(
                &name,
                offset,
                data.len() as u64,
                crc,
            )?);
        }
        offset += data.len() as u64;
        let end = if last {
            xbstream::end_chunk(&name)?
        } else {
            bytes::Bytes::new()
        };
        let mut output = output.locked();
        if ended.is_cancelled() {
            return Err(ArchiveError::Stopped);
        }
        let head = parts.first().map_or(&[][..], |head| &head[..]);
        for part in [head, &data, &end] {
            output
                .write_all(part)
                .map_err(io("write", Path::new("the stream")))?;
        }
        drop(output);
        progress.advance(Phase::Transfer, data.len() as u64);
        if last {
            return Ok(offset);
        }
    }
}
