//! Decrypts and decompresses files during the extraction.
//!
//! A frame can start in one chunk and end in another, so a thread of its own reads such a file from its start to its
//! end.

use super::entry::Whole;
use super::error::{ArchiveError, io};
use super::never_empty;
use super::shared::{Permit, Shared, Task};
use super::sparse::{self, Fault};
use crate::codec::{CodecError, Decompressor, Format, xbcrypt};
use crate::xbstream::Chunk;
use bytes::{Buf, Bytes};
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Maximum number of chunks that wait for the thread of one file. Their bytes count as memory in use.
const WAITING: usize = 64;

/// The layers to remove from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layers {
    pub encrypted: bool,
    pub compression: Option<Format>,
}

impl Layers {
    pub(super) const fn any(self) -> bool {
        self.encrypted || self.compression.is_some()
    }
}

/// Starts the thread of a file. It ends at the file's end, or when the sender is dropped.
pub(super) fn start(
    shared: &Arc<Shared>,
    path: &str,
    name: &str,
    layers: Layers,
) -> Result<SyncSender<Task>, ArchiveError> {
    let (sender, receiver) = sync_channel(WAITING);
    let (path, name) = (path.to_owned(), name.to_owned());
    let working = shared.working();
    let thread = std::thread::Builder::new().name("unwrap".to_owned());
    let spawned = thread.spawn(move || {
        let shared = working.shared();
        let result = unwrap(shared, receiver, &path, &name, layers);
        match result {
            Ok(Some(whole)) => shared.finished(&path, &name, whole),
            Ok(None) => {}
            Err(error) => shared.fail(error),
        }
    });
    spawned.map_err(io("start a thread for", shared.root.shown("").as_path()))?;
    Ok(sender)
}

/// Writes the file; returns `None` if the stream ended before the file.
fn unwrap(
    shared: &Shared,
    receiver: Receiver<Task>,
    path: &str,
    name: &str,
    layers: Layers,
) -> Result<Option<Whole>, ArchiveError> {
    let file = shared.root.create(name)?;
    shared.made(path, name);
    let mut chunks = Chunks {
        receiver,
        path: path.to_owned(),
        data: Bytes::new(),
        at: 0,
        ended: false,
        task: None,
        fault: None,
    };
    let mut compressed = 0;
    let result = {
        let mut reader: Box<dyn Read + '_> = Box::new(&mut chunks);
        if layers.encrypted {
            let key = shared.key().ok_or(ArchiveError::Stopped)?;
            reader = Box::new(xbcrypt::Reader::new(reader, key));
        }
        if let Some(format) = layers.compression {
            let counted = Counted {
                inner: reader,
                bytes: &mut compressed,
            };
            reader = Box::new(Decompressor::new(format, counted));
        }
        sparse::copy(&mut reader, &file)
    };
    if let Some(fault) = chunks.fault.take() {
        return Err(fault);
    }
    match result {
        Ok(bytes) if chunks.ended => {
            if layers.compression.is_some() {
                never_empty::check(path, name, compressed)?;
            }
            let file = Arc::new(file);
            Ok(Some(Whole { bytes, file }))
        }
        // `Shared::finish` reports once that the stream was cut off, for all of its files.
        Ok(_) => Ok(None),
        Err(_) if chunks.cut_off() => Ok(None),
        Err(Fault::Read(error)) => Err(match error.downcast::<CodecError>() {
            Ok(source) => ArchiveError::Codec {
                path: path.to_owned(),
                source,
            },
            Err(error) => io("unwrap", &shared.root.shown(name))(error),
        }),
        Err(Fault::Write(error)) => Err(io("write", &shared.root.shown(name))(error)),
    }
}

/// Counts the bytes that a decoder has read.
struct Counted<'a, R> {
    inner: R,
    bytes: &'a mut u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        *self.bytes += read as u64;
        Ok(read)
    }
}

/// A reader of the chunks of a file.
struct Chunks {
    receiver: Receiver<Task>,
    path: String,
    data: Bytes,
    /// Offset in the stored file.
    at: u64,
    ended: bool,
    /// The memory permit of `data`.
    task: Option<Permit>,
    fault: Option<ArchiveError>,
}

impl Chunks {
    /// Returns whether the stream ended before the file.
    fn cut_off(&self) -> bool {
        !self.ended && self.data.is_empty() && self.receiver.try_recv().is_err()
    }

    fn next(&mut self) -> Result<bool, ArchiveError> {
        self.data = Bytes::new();
        self.task = None;
        let Ok(task) = self.receiver.recv() else {
            return Ok(false);
        };
        let (chunk, permit) = task.open()?;
        let wrong = |what: String| ArchiveError::File {
            path: self.path.clone(),
            what,
        };
        match chunk {
            Chunk::Payload { offset, data, .. } => {
                if offset != self.at {
                    return Err(wrong(format!(
                        "a chunk at offset {offset}, expected {}: chunks of a file that is unwrapped must be in \
                         order; extract without ExtractOptions::decompress and ExtractOptions::key",
                        self.at
                    )));
                }
                self.at += data.len() as u64;
                self.data = data;
                self.task = Some(permit);
            }
            Chunk::End { .. } => self.ended = true,
            _ => {
                return Err(wrong(
                    "a sparse chunk in a file that is compressed or encrypted".to_owned(),
                ));
            }
        }
        Ok(!self.ended)
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.data.is_empty() {
            if self.ended || self.fault.is_some() {
                return Ok(0);
            }
            match self.next() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(fault) => {
                    self.fault = Some(fault);
                    return Err(std::io::Error::other("the stream is wrong"));
                }
            }
        }
        let length = buffer.len().min(self.data.len());
        self.data.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
