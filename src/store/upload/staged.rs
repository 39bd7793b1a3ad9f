//! Puts that don't wait for the store while the caller holds locks.
//!
//! While tables of a server are locked, a store that is slow or unavailable must not prolong the
//! lock. Therefore, between [`Upload::stage`] and [`Upload::unstage`], a put that would have to
//! wait for a slot buffers its bytes: some tens of MiB in memory, more in an unnamed file. They are
//! put when a slot is free.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path as FsPath;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::backend::runtime::compute;
use crate::store::error::StoreError;
use crate::store::upload::state::{Inner, State, Upload, UploadPhase};

/// Largest number of bytes that are buffered in memory.
const IN_MEMORY: u64 = 64 << 20;

impl Upload {
    /// Starts staging: puts no longer wait for the store; data that can't be put at once is
    /// buffered in memory and in an unnamed file in `directory`. Puts wait only if the directory is
    /// full.
    pub fn stage(&self, directory: &FsPath) {
        self.inner.lock().staging.directory = Some(directory.to_owned());
        self.inner.changed.notify_all();
    }

    /// Ends staging: puts wait again, including for the buffered ones.
    pub fn unstage(&self) {
        self.inner.lock().staging.directory = None;
    }
}

/// The bytes of an object that waits for a slot.
pub(super) enum Staged {
    Memory {
        parts: Vec<Bytes>,
        /// Released when the object is stored.
        reservation: Reservation,
    },
    File {
        file: Arc<File>,
        at: u64,
        bytes: u64,
    },
}

/// A reserved part of [`IN_MEMORY`].
pub(super) struct Reservation {
    inner: Arc<Inner>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.inner.lock().staging.in_memory -= self.bytes;
        self.inner.changed.notify_all();
    }
}

/// Buffers the bytes of an object.
pub(super) fn buffer(inner: &Arc<Inner>, parts: Vec<Bytes>) -> Staged {
    let bytes = parts.iter().map(|part| part.len() as u64).sum();
    let fits = |state: &State| {
        let held = state.staging.in_memory;
        held == 0 || held + bytes <= IN_MEMORY
    };
    let state = inner.lock();
    if fits(&state) {
        return in_memory(inner, state, parts, bytes);
    }
    drop(state);
    match in_file(inner, &parts, bytes) {
        Ok(staged) => staged,
        Err(error) => {
            tracing::warn!(
                "an object waits for the store while tables are locked, because its bytes can't be buffered on disk ({error})"
            );
            let goes_on =
                |state: &State| state.failure.is_none() && state.phase == UploadPhase::Open;
            let state = inner.wait_while(|state| goes_on(state) && !fits(state));
            in_memory(inner, state, parts, bytes)
        }
    }
}

fn in_memory(
    inner: &Arc<Inner>,
    mut state: std::sync::MutexGuard<'_, State>,
    parts: Vec<Bytes>,
    bytes: u64,
) -> Staged {
    state.staging.in_memory += bytes;
    let inner = Arc::clone(inner);
    let reservation = Reservation { inner, bytes };
    Staged::Memory { parts, reservation }
}

fn in_file(inner: &Inner, parts: &[Bytes], bytes: u64) -> std::io::Result<Staged> {
    let (file, begin) = {
        let mut state = inner.lock();
        let staging = &mut state.staging;
        let file = match (&staging.file, &staging.directory) {
            (Some(file), _) => Arc::clone(file),
            (None, Some(directory)) => Arc::new(tempfile::tempfile_in(directory)?),
            (None, None) => return Err(std::io::Error::other("no directory is set")),
        };
        staging.file = Some(Arc::clone(&file));
        let begin = staging.end;
        staging.end += bytes;
        (file, begin)
    };
    let mut at = begin;
    for part in parts {
        file.write_all_at(part, at)?;
        at += part.len() as u64;
    }
    let at = begin;
    Ok(Staged::File { file, at, bytes })
}

impl Staged {
    /// Returns the bytes, and a reservation to hold until they are stored.
    pub async fn bytes(self) -> Result<(Vec<Bytes>, Option<Reservation>), StoreError> {
        match self {
            Self::Memory { parts, reservation } => Ok((parts, Some(reservation))),
            Self::File { file, at, bytes } => {
                let read = move || {
                    let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
                    file.read_exact_at(&mut buffer, at).map(|()| buffer)
                };
                let buffer = compute("reading staged bytes", read).await?;
                let buffer = buffer.map_err(|error| {
                    StoreError::io("reading back", FsPath::new("a put's bytes"), error)
                })?;
                Ok((vec![Bytes::from(buffer)], None))
            }
        }
    }
}
