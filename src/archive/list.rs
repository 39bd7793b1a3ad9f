//! What a stream holds, without writing any of it.

use super::coverage::Track;
use super::error::ArchiveError;
use super::input::Input;
use super::root::components;
use crate::cancel::Cancel;
use crate::locked::Locked;
use crate::progress::{Phase, Progress};
use crate::xbstream::Chunk;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

/// For tests.
#[cfg(test)]
pub(super) fn verifying() -> ListOptions {
    ListOptions {
        verify: true,
        ..ListOptions::default()
    }
}

/// One file of a stream.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// As it stands in the stream.
    pub path: String,
    /// Length of the file, holes included, in bytes.
    pub bytes: u64,
    /// Bytes of it that are in the stream.
    pub data: u64,
    /// Chunks, the end not counted.
    pub chunks: u64,
    /// Its end came, and no byte is missing.
    pub complete: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Why an extraction refuses its path, if that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// How much of a stream is looked at.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListOptions {
    /// The checksum of every chunk, and whether an extraction takes every path.
    pub verify: bool,
    /// The extraction is one that takes absolute paths and `..`
    /// ([`ExtractOptions::absolute_names`](super::ExtractOptions::absolute_names)).
    pub absolute_names: bool,
    /// Ends the reading early.
    pub cancel: Cancel,
}

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ListReport {
    /// Sorted by path.
    pub files: Vec<Listed>,
    /// Chunks of unknown types that said that they may be ignored.
    pub ignored_chunks: u64,
    /// Whether the checksums were looked at.
    pub verified: bool,
}

impl ListReport {
    /// Whether every file is complete, and none has a path that is known to be refused.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let good = |file: &Listed| file.complete && file.refused.is_none();
        self.files.iter().all(good)
    }
}

#[derive(Default)]
struct Seen {
    track: Track,
    data: u64,
    chunks: u64,
    ended: bool,
    fault: Option<String>,
}

/// Reads all of `inputs`, each by a thread of its own: the writer of several may fill one before it goes on
/// with another.
///
/// # Errors
/// A stream that is no xbstream, cut off within a chunk, or damaged; [`ArchiveError::Empty`] if no input has a
/// single chunk; [`ArchiveError::Interrupted`].
pub fn list(
    inputs: Vec<Input>,
    options: ListOptions,
    progress: &dyn Progress,
) -> Result<ListReport, ArchiveError> {
    let listing = Listing {
        verify: options.verify,
        progress,
        ended: options.cancel.child(),
        found: Mutex::default(),
        failure: OnceLock::new(),
    };
    let mut inputs = inputs.into_iter();
    let first = inputs.next();
    std::thread::scope(|scope| {
        let listing = &listing;
        let others = inputs.map(|input| scope.spawn(move || listing.go_through(input)));
        let others: Vec<_> = others.collect();
        if let Some(input) = first {
            listing.go_through(input);
        }
        for thread in others {
            if thread.join().is_err() {
                listing.fail(ArchiveError::Panicked("lists a stream"));
            }
        }
    });
    options.cancel.check()?;
    if let Some(error) = listing.failure.into_inner() {
        return Err(error);
    }
    let found = listing.found.unlocked();
    if !found.any {
        return Err(ArchiveError::Empty);
    }
    let mut files: Vec<_> = found.files.into_iter().map(Seen::listed).collect();
    if options.verify {
        refuse(&mut files, options.absolute_names);
    }
    Ok(ListReport {
        files,
        ignored_chunks: found.ignored,
        verified: options.verify,
    })
}

/// Says of each file whether an extraction takes its path: whether it is one, and whether it leads through another
/// file of the stream.
fn refuse(files: &mut [Listed], absolute_names: bool) {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut refused = vec![None; files.len()];
    for (number, (file, refused)) in files.iter().zip(&mut refused).enumerate() {
        match components(&file.path, absolute_names) {
            Ok((absolute, parts)) => {
                let root = if absolute { "/" } else { "" };
                let place = format!("{root}{}", parts.join("/"));
                if let Some(first) = places.insert(place, number) {
                    *refused = Some(format!("is the same file as {:?}", files[first].path));
                }
            }
            Err(ArchiveError::Path { why, .. }) => *refused = Some(why),
            Err(error) => *refused = Some(error.to_string()),
        }
    }
    for (place, &number) in &places {
        let mut above = place.as_str();
        while let Some((directory, _)) = above.rsplit_once('/') {
            above = directory;
            if let Some(&file) = places.get(above) {
                let why = format!("goes through {:?}, which is a file", files[file].path);
                refused[number].get_or_insert(why);
            }
        }
    }
    for (file, why) in files.iter_mut().zip(refused) {
        file.refused = why;
    }
}

/// What the threads of a list share.
struct Listing<'a> {
    verify: bool,
    progress: &'a dyn Progress,
    /// Cancelled by the first failure, and with the job.
    ended: Cancel,
    found: Mutex<Files>,
    /// The first one.
    failure: OnceLock<ArchiveError>,
}

#[derive(Default)]
struct Files {
    files: BTreeMap<String, Seen>,
    ignored: u64,
    /// A chunk came.
    any: bool,
}

impl Listing<'_> {
    fn fail(&self, error: ArchiveError) {
        // Whoever is stopped comes after who stopped him.
        let _ = self.failure.set(error);
        self.ended.cancel();
    }

    fn go_through(&self, input: Input) {
        if let Err(error) = self.read(input) {
            self.fail(error);
        }
    }

    fn read(&self, input: Input) -> Result<(), ArchiveError> {
        let mut next = input.chunks(&self.ended)?;
        while !self.ended.is_cancelled()
            && let Some(found) = next()?
        {
            let chunk = found.load()?;
            self.progress.advance(Phase::Copy, chunk.len() as u64);
            let chunk = if self.verify {
                chunk.check()?
            } else {
                chunk.trust()
            };
            let mut found = self.found.locked();
            found.any = true;
            match chunk {
                Chunk::Unknown { .. } => found.ignored += 1,
                _ => take(&mut found.files, &chunk),
            }
        }
        Ok(())
    }
}

/// What a chunk does to the files.
fn take(files: &mut BTreeMap<String, Seen>, chunk: &Chunk) {
    let path = chunk.path();
    let ended = files.get(path).is_some_and(|seen| seen.ended);
    match chunk {
        Chunk::Rename { to, .. } if ended => {
            if let Some(seen) = files.remove(path) {
                files.insert(to.clone(), seen);
            }
        }
        Chunk::Remove { .. } if ended => {
            files.remove(path);
        }
        // Of a file that is not there they mean nothing.
        Chunk::Rename { .. } | Chunk::Remove { .. } => {}
        _ => {
            if ended && chunk.is_rewrite() {
                files.remove(path);
            }
            files.entry(path.to_owned()).or_default().add(chunk);
        }
    }
}

impl Seen {
    fn add(&mut self, chunk: &Chunk) {
        // Of one that ended with a gap, what is missing may still come.
        if self.ended && self.track.gap().is_none() && !matches!(chunk, Chunk::End { .. }) {
            self.fault
                .get_or_insert("it goes on after its end".to_owned());
            return;
        }
        let data = match chunk {
            Chunk::Payload { data, .. } | Chunk::Sparse { data, .. } => data,
            Chunk::Seek { offset, .. } => {
                if let Err(what) = self.track.seek(*offset) {
                    self.fault.get_or_insert(what);
                }
                return;
            }
            Chunk::End { .. } => {
                if self.ended {
                    self.fault.get_or_insert("it ends twice".to_owned());
                }
                self.ended = true;
                return;
            }
            _ => return,
        };
        self.chunks += 1;
        self.data += data.len() as u64;
        let Some((from, to)) = chunk.range() else {
            return;
        };
        let placed = self.track.expect((from, to));
        if let Err(what) = placed.and_then(|()| self.track.add(from, to)) {
            self.fault.get_or_insert(what);
        }
    }

    fn listed((path, seen): (String, Self)) -> Listed {
        let mut fault = seen.fault;
        if let Some((from, to)) = seen.track.gap() {
            fault.get_or_insert(format!("bytes {from} to {to} are missing"));
        }
        if !seen.ended {
            fault.get_or_insert("its end is missing".to_owned());
        }
        Listed {
            path,
            bytes: seen.track.length(),
            data: seen.data,
            chunks: seen.chunks,
            complete: fault.is_none(),
            fault,
            refused: None,
        }
    }
}
