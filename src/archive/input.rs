//! Sources of a stream, and its chunks.

use super::error::{ArchiveError, io};
use super::pipe::Pipe;
use crate::cancel::Cancel;
use crate::mem::Mapping;
use crate::xbstream::{self, Chunk, Located, LocatedChunks, ReadAt, Reader, Unchecked};
use bytes::{Buf as _, Bytes};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Number of bytes before the read position of a mapped stream that stay in memory, because their chunks may
/// still be in use.
const BEHIND: usize = 32 << 20;
/// Number of bytes read at once to find a chunk header. If payloads are long, most of them are discarded.
const HEADS: usize = 4096;
/// Maximum number of chunks that are read ahead. Their payloads are not in memory.
const AHEAD: usize = 256;
/// Read-ahead stops at this many bytes of sparse maps, which are in memory. Real maps have a few entries per
/// chunk; 256 of the largest accepted maps would be 4 GiB.
const MAPS: usize = 4 << 20;

/// Number of bytes of a stream in a file that a thread reads, checks and writes at once. They fit into the cache
/// of its core, so they cross the memory bus once when read and once when written.
pub(super) const PIECE: usize = 256 << 10;

/// The source of a stream.
pub enum Input {
    /// Any reader. A failure in another thread doesn't end a blocked read.
    Stream(Box<dyn Read + Send>),
    /// A pipe, a FIFO or a socket. A failure in another thread ends a blocked read.
    Pipe(File),
    /// Bytes in memory, which are not copied.
    Bytes(Bytes),
    /// A mapped file, which is not copied. Processed parts are released from memory.
    Mapped(Mapping),
    /// A regular file, from its current position; all threads read it at the same time.
    File(File),
}

/// A chunk whose checksum was not checked yet.
#[derive(Debug)]
pub(super) enum Found {
    /// Its payload is in memory.
    Here(Unchecked),
    /// Its payload is still in the file.
    There(Located),
}

impl Found {
    pub(super) const fn head(&self) -> &Unchecked {
        match self {
            Self::Here(chunk) => chunk,
            Self::There(chunk) => chunk.head(),
        }
    }

    /// Returns the memory that it needs until it is written, in bytes; with `whole`, all of its payload is
    /// loaded, also if it is still in its file.
    pub(super) fn held(&self, whole: bool) -> usize {
        let head = self.head();
        let payload = match self {
            // It is copied in pieces.
            Self::There(_) if !whole => head.len().min(PIECE),
            _ => head.len(),
        };
        payload + head.map_len()
    }

    /// Loads the payload and checks the checksum.
    pub(super) fn check(self) -> Result<Chunk, ArchiveError> {
        Ok(self.load()?.check()?)
    }

    /// Loads the payload.
    pub(super) fn load(self) -> Result<Unchecked, ArchiveError> {
        match self {
            Self::Here(chunk) => Ok(chunk),
            Self::There(chunk) => Ok(chunk.load()?),
        }
    }
}

/// Returns the next chunk.
type Next = Box<dyn FnMut() -> Result<Option<Found>, ArchiveError> + Send>;

#[derive(Debug)]
struct StreamFile(File);

impl ReadAt for StreamFile {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, at)
    }

    fn length(&self) -> std::io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl Input {
    /// Returns a reader of its bytes; `cancel` ends the reads of a pipe.
    pub(crate) fn bytes(self, cancel: &Cancel) -> Box<dyn Read + Send> {
        match self {
            Self::Stream(stream) => stream,
            Self::Pipe(file) => Box::new(Pipe::new(file, cancel.clone())),
            Self::Bytes(bytes) => Box::new(bytes.reader()),
            Self::Mapped(mapping) => Box::new(mapping.bytes().reader()),
            Self::File(file) => Box::new(file),
        }
    }

    /// Returns an iterator over its chunks; `cancel` ends the reads of a pipe.
    pub(super) fn chunks(self, cancel: &Cancel) -> Result<Next, ArchiveError> {
        Ok(match self {
            Self::Stream(stream) => {
                let mut reader = Reader::new(stream);
                Box::new(move || Ok(reader.next_unchecked()?.map(Found::Here)))
            }
            Self::Pipe(file) => {
                let mut reader = Reader::new(Pipe::new(file, cancel.clone()));
                Box::new(move || Ok(reader.next_unchecked()?.map(Found::Here)))
            }
            Self::Bytes(bytes) => {
                let mut chunks = xbstream::chunks(bytes);
                Box::new(move || Ok(chunks.next_unchecked()?.map(Found::Here)))
            }
            Self::Mapped(mut mapping) => {
                let mut chunks = xbstream::chunks(mapping.bytes());
                Box::new(move || {
                    let next = chunks.next_unchecked();
                    mapping.release(chunks.position().saturating_sub(BEHIND));
                    Ok(next?.map(Found::Here))
                })
            }
            Self::File(mut file) => {
                let failed = io("find the position in", Path::new("the stream"));
                let opened = file
                    .stream_position()
                    .and_then(|base| Ok((base, file.try_clone()?)));
                let (base, heads) = opened.map_err(failed)?;
                let heads = BufReader::with_capacity(HEADS, heads);
                let mut chunks = LocatedChunks::new(heads, Arc::new(StreamFile(file)), base);
                Box::new(move || Ok(chunks.next_located()?.map(Found::There)))
            }
        })
    }
}

/// The chunks of a stream, for threads that process one each.
///
/// The kernel serialises writes of two threads to one file. So if the next chunks belong to files that are being
/// written, a later chunk is taken first, for inputs where reading ahead needs no memory. The chunks of one file
/// are taken in order, and no chunk overtakes one that renames, removes or seeks.
pub(super) struct Chunks {
    next: Next,
    /// Whether chunks are read ahead.
    ahead: bool,
    waiting: VecDeque<Found>,
    /// Memory of the sparse maps of `waiting`, in bytes.
    maps: usize,
    /// The end or the error after them; then nothing more is read.
    end: Option<Result<(), ArchiveError>>,
    /// The number of unfinished chunks of each file.
    busy: HashMap<String, usize>,
}

impl Chunks {
    pub(super) fn of(input: Input, cancel: &Cancel) -> Result<Self, ArchiveError> {
        Ok(Self {
            ahead: matches!(input, Input::File(_)),
            next: input.chunks(cancel)?,
            waiting: VecDeque::new(),
            maps: 0,
            end: None,
            busy: HashMap::new(),
        })
    }

    /// Takes the next chunk to process. Chunks before an error are returned before the error.
    pub(super) fn take(&mut self) -> Result<Option<Found>, ArchiveError> {
        if !self.ahead {
            return (self.next)();
        }
        self.read_ahead();
        // A chunk that is an order is always the last in `waiting`.
        let free = |found: &Found| {
            let head = found.head();
            !head.is_order() && !self.busy.contains_key(head.path())
        };
        let place = self.waiting.iter().position(free).unwrap_or(0);
        match self.waiting.remove(place) {
            Some(found) => {
                self.maps -= found.head().map_len();
                Ok(Some(found))
            }
            None => self.end.take().unwrap_or(Ok(())).map(|()| None),
        }
    }

    fn read_ahead(&mut self) {
        let barrier = |found: &Found| found.head().is_order();
        while self.end.is_none()
            && self.waiting.len() < AHEAD
            && self.maps < MAPS
            && !self.waiting.back().is_some_and(barrier)
        {
            match (self.next)() {
                Ok(Some(found)) => {
                    self.maps += found.head().map_len();
                    self.waiting.push_back(found);
                }
                Ok(None) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error)),
            }
        }
    }

    /// Records that a chunk of the file is being written.
    pub(super) fn begin(&mut self, path: &str) {
        if self.ahead {
            *self.busy.entry(path.to_owned()).or_default() += 1;
        }
    }

    /// Records that a chunk of the file was written.
    pub(super) fn done(&mut self, path: &str) {
        if let Some(count) = self.busy.get_mut(path) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xbstream::remove_chunk;
    use std::io::Write;

    fn chunks(parts: &[&str]) -> Chunks {
        let mut file = tempfile::tempfile().unwrap();
        let mut at = HashMap::<&str, u64>::new();
        for part in parts {
            let (path, kind) = part.split_at(1);
            let bytes = match kind {
                "" => {
                    let at = at.entry(path).or_default();
                    *at += 3;
                    let crc = xbstream::crc(b"xyz");
                    let head = xbstream::payload_head(path, *at - 3, 3, crc).unwrap();
                    [&head[..], b"xyz"].concat()
                }
                "." => xbstream::end_chunk(path).unwrap().to_vec(),
                "?" => b"nonsense!".to_vec(),
                _ => remove_chunk(path).unwrap().to_vec(),
            };
            file.write_all(&bytes).unwrap();
        }
        file.rewind().unwrap();
        Chunks::of(Input::File(file), &Cancel::new()).unwrap()
    }

    fn next(chunks: &mut Chunks) -> String {
        match chunks.take() {
            Ok(Some(found)) => {
                let head = found.head();
                let end = if head.is_order() {
                    "!"
                } else if head.range().is_none() {
                    "."
                } else {
                    ""
                };
                format!("{}{end}", head.path())
            }
            Ok(None) => "nothing".to_owned(),
            Err(_) => "error".to_owned(),
        }
    }

    #[test]
    fn files_that_are_being_written_are_overtaken_and_keep_their_order() {
        let mut c = chunks(&["a", "a", "a", "a.", "b", "b."]);
        assert_eq!(next(&mut c), "a");
        c.begin("a");
        assert_eq!(next(&mut c), "b");
        c.begin("b");
        // All are busy: the first one.
        assert_eq!(next(&mut c), "a");
        c.begin("a");
        c.done("a");
        assert_eq!(next(&mut c), "a", "one of two is not done");
        c.done("b");
        assert_eq!(next(&mut c), "b.");
        c.done("a");
        assert_eq!(next(&mut c), "a.");
        assert_eq!(next(&mut c), "nothing");
        assert_eq!(next(&mut c), "nothing");
    }

    #[test]
    fn no_chunk_overtakes_an_order() {
        let mut c = chunks(&["a", "a.", "b!", "c"]);
        assert_eq!(next(&mut c), "a");
        c.begin("a");
        assert_eq!(next(&mut c), "a.", "not the removal or a chunk after it");
        assert_eq!(next(&mut c), "b!");
        assert_eq!(next(&mut c), "c");
    }

    /// Creates a sparse chunk with many empty entries.
    fn sparse(path: &str, offset: u64, entries: u32) -> Vec<u8> {
        let mut chunk = xbstream::hole_chunk(path, offset, 1).unwrap().to_vec();
        let fields = chunk.len() - 8 - 24;
        let map = [1u32.to_le_bytes(), 0u32.to_le_bytes()].concat();
        let map = map.repeat(entries as usize);
        chunk.truncate(fields + 20);
        chunk[fields..fields + 4].copy_from_slice(&entries.to_le_bytes());
        chunk.extend_from_slice(&xbstream::crc(&map).to_le_bytes());
        chunk.extend_from_slice(&map);
        chunk
    }

    #[test]
    fn large_maps_limit_the_read_ahead() {
        const ENTRIES: u32 = 1 << 16;
        let one = ENTRIES as usize * 16;
        let mut file = tempfile::tempfile().unwrap();
        for n in 0..40 {
            file.write_all(&sparse("a", n * u64::from(ENTRIES), ENTRIES))
                .unwrap();
        }
        file.rewind().unwrap();
        let mut c = Chunks::of(Input::File(file), &Cancel::new()).unwrap();
        for n in 0..40 {
            let found = c.take().unwrap().unwrap();
            let head = found.head();
            assert_eq!(head.map_len(), one);
            let from = n * u64::from(ENTRIES);
            assert_eq!(head.range(), Some((from, from + u64::from(ENTRIES))));
            let waiting: usize = c.waiting.iter().map(|w| w.head().map_len()).sum();
            assert_eq!(waiting, c.maps);
            assert!(waiting < MAPS + one, "{waiting} bytes of maps wait");
        }
        assert!(c.take().unwrap().is_none());
    }

    #[test]
    fn chunks_before_an_error_are_returned_first() {
        let mut c = chunks(&["a", "b", "b?"]);
        assert_eq!(next(&mut c), "a");
        c.begin("a");
        assert_eq!(next(&mut c), "b");
        assert_eq!(next(&mut c), "error");
        assert_eq!(next(&mut c), "nothing");
    }
}
