//! Lists the files of a stream, and checks it, without writing.

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

/// Options of tests.
#[cfg(test)]
pub(super) fn verifying() -> ListOptions {
    ListOptions {
        verify: true,
        ..ListOptions::default()
    }
}

/// One file of a stream.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Listed {
    /// The path in the stream.
    pub path: String,
    /// Length of the file in bytes, including holes.
    pub bytes: u64,
    /// Number of its bytes in the stream.
    pub data: u64,
    /// Number of chunks, without the end chunk.
    pub chunks: u64,
    /// Whether its end was received and no byte is missing.
    pub complete: bool,
    /// Its fault, if it is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The reason why an extraction refuses its path, if that was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// How to list a stream.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListOptions {
    /// Check the checksum of every chunk, and whether an extraction accepts every path.
    pub verify: bool,
    /// Assume an extraction that accepts absolute paths and `..`
    /// ([`ExtractOptions::absolute_names`](super::ExtractOptions::absolute_names)).
    pub absolute_names: bool,
    /// Cancels the job.
    pub cancel: Cancel,
}

/// The files of a stream.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ListReport {
    /// The files, sorted by path.
    pub files: Vec<Listed>,
    /// Number of chunks of unknown types that are marked as ignorable.
    pub ignored_chunks: u64,
    /// Whether the checksums were checked.
    pub verified: bool,
}

impl ListReport {
    /// Returns whether every file is complete and no path is refused.
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

/// Reads all of `inputs`, each in a thread of its own, because the writer of several can fill one before it
/// continues with another.
///
/// # Errors
/// An input is not an xbstream, is cut off within a chunk, or is damaged; [`ArchiveError::Empty`] if no input
/// has a chunk; [`ArchiveError::Interrupted`].
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

/// Sets [`Listed::refused`] of each file whose path an extraction refuses: an invalid path, or one that leads
/// through another file of the stream.
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

/// State shared by the threads.
struct Listing<'a> {
    verify: bool,
    progress: &'a dyn Progress,
    /// Cancelled by the first failure, or with the job.
    ended: Cancel,
    found: Mutex<Files>,
    /// The first failure.
    failure: OnceLock<ArchiveError>,
}

#[derive(Default)]
struct Files {
    files: BTreeMap<String, Seen>,
    ignored: u64,
    /// Whether a chunk was read.
    any: bool,
}

impl Listing<'_> {
    fn fail(&self, error: ArchiveError) {
        // Keeps the first failure: those of threads that it stopped come later.
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
            self.progress.advance(Phase::Transfer, chunk.len() as u64);
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

/// Applies a chunk to the list of files.
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
        // Ignored if the file doesn't exist.
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
        // The missing bytes can follow the end of a file with a gap.
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
