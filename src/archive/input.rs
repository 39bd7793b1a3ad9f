//! Where a stream comes from, and its chunks.

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

/// Of a mapped stream so many bytes before the place where it is read stay in memory: they may still be looked
/// at.
const BEHIND: usize = 32 << 20;
/// Bytes that are read at once to find a head; most of it is left when payloads are long.
const HEADS: usize = 4096;
/// How many chunks are looked at ahead, at most. Their payloads are not in memory.
const AHEAD: usize = 256;
/// Their sparse maps are: nothing is looked at behind so many bytes of them. Real maps have some entries
/// for a chunk; of the largest that are accepted 256 would be 4 GiB.
const MAPS: usize = 4 << 20;

/// Bytes of a stream in a file that a thread reads, checks and writes at once: it fits into the cache
/// of its core, so that memory sees them once on their way in and once on their way out.
pub(super) const PIECE: usize = 256 << 10;

/// Where a stream comes from.
pub enum Input {
    /// Anything that can be read. A failure elsewhere does not end a read that waits for bytes.
    Stream(Box<dyn Read + Send>),
    /// A pipe, a FIFO or a socket. A failure elsewhere ends a read of it.
    Pipe(File),
    /// Bytes that are there: nothing is copied.
    Bytes(Bytes),
    /// A file, mapped: nothing is copied, and what was gone through does not stay in memory.
    Mapped(Mapping),
    /// A regular file, from its present position on: all threads read it at once.
    File(File),
}

/// A chunk as it comes, its checksum not looked at.
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

    /// Memory that it takes until what it says is done, in bytes; with `whole` all of its payload is
    /// loaded, though it is still in its file.
    pub(super) fn held(&self, whole: bool) -> usize {
        let head = self.head();
        let payload = match self {
            // Written piece by piece, it takes no more than a piece.
            Self::There(_) if !whole => head.len().min(PIECE),
            _ => head.len(),
        };
        payload + head.map_len()
    }

    /// Checked, with its payload.
    pub(super) fn check(self) -> Result<Chunk, ArchiveError> {
        Ok(self.load()?.check()?)
    }

    /// With its payload.
    pub(super) fn load(self) -> Result<Unchecked, ArchiveError> {
        match self {
            Self::Here(chunk) => Ok(chunk),
            Self::There(chunk) => Ok(chunk.load()?),
        }
    }
}

/// Gives the next chunk.
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
    /// Its bytes, one after the other; `cancel` ends the reads of a pipe.
    pub(crate) fn bytes(self, cancel: &Cancel) -> Box<dyn Read + Send> {
        match self {
            Self::Stream(stream) => stream,
            Self::Pipe(file) => Box::new(Pipe::new(file, cancel.clone())),
            Self::Bytes(bytes) => Box::new(bytes.reader()),
            Self::Mapped(mapping) => Box::new(mapping.bytes().reader()),
            Self::File(file) => Box::new(file),
        }
    }

    /// Its chunks, one after the other; `cancel` ends the reads of a pipe.
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
                let said = io("find the position in", Path::new("the stream"));
                let opened = file
                    .stream_position()
                    .and_then(|base| Ok((base, file.try_clone()?)));
                let (base, heads) = opened.map_err(said)?;
                let heads = BufReader::with_capacity(HEADS, heads);
                let mut chunks = LocatedChunks::new(heads, Arc::new(StreamFile(file)), base);
                Box::new(move || Ok(chunks.next_located()?.map(Found::There)))
            }
        })
    }
}

/// The chunks of a stream, for threads that take one each.
///
/// Two threads that write to one file wait for each other, in the kernel. So a chunk is taken before its turn
/// when those before it belong to files that are being written, where looking ahead costs no memory. The chunks
/// of one file are taken in their order, and nothing passes a chunk that renames, removes or seeks.
pub(super) struct Chunks {
    next: Next,
    /// Whether chunks may be looked at that nobody takes yet.
    ahead: bool,
    waiting: VecDeque<Found>,
    /// Memory of the maps of those, in bytes.
    maps: usize,
    /// What comes behind them; nothing is read any more.
    end: Option<Result<(), ArchiveError>>,
    /// The files of chunks that were taken and not done, with their number.
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

    /// The next chunk to be worked on. What comes after an error is not looked at, what is before it is.
    pub(super) fn take(&mut self) -> Result<Option<Found>, ArchiveError> {
        if !self.ahead {
            return (self.next)();
        }
        self.look();
        // A chunk that does something to what came before it is always the last that waits.
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

    fn look(&mut self) {
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

    /// The file of a chunk that was taken is being written.
    pub(super) fn begin(&mut self, path: &str) {
        if self.ahead {
            *self.busy.entry(path.to_owned()).or_default() += 1;
        }
    }

    /// It is not any more.
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
    fn files_that_are_being_written_are_passed_and_keep_their_order() {
        let mut c = chunks(&["a", "a", "a", "a.", "b", "b."]);
        assert_eq!(next(&mut c), "a");
        c.begin("a");
        assert_eq!(next(&mut c), "b");
        c.begin("b");
        // all are busy: the next in its turn
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
    fn nothing_passes_a_chunk_that_does_something_to_what_came_before() {
        let mut c = chunks(&["a", "a.", "b!", "c"]);
        assert_eq!(next(&mut c), "a");
        c.begin("a");
        assert_eq!(
            next(&mut c),
            "a.",
            "neither the removal nor what is behind it"
        );
        assert_eq!(next(&mut c), "b!");
        assert_eq!(next(&mut c), "c");
    }

    /// A chunk of a map that says nothing in many words.
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
    fn large_maps_are_not_looked_at_ahead() {
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
    fn what_is_before_an_error_comes_before_it() {
        let mut c = chunks(&["a", "b", "b?"]);
        assert_eq!(next(&mut c), "a");
        c.begin("a");
        assert_eq!(next(&mut c), "b");
        assert_eq!(next(&mut c), "error");
        assert_eq!(next(&mut c), "nothing");
    }
}
