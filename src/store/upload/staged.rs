//! Puts that do not wait for the store, for as long as the caller holds something up.
//!
//! While tables of a server are locked, a store that is slow or away must not prolong the lock. So between
//! [`Upload::stage`] and [`Upload::unstage`] a put whose turn would have to be waited for takes its bytes aside:
//! some tens of MiB in memory, more in an unnamed file. They are put when there is a turn.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path as FsPath;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::backend::runtime::compute;
use crate::store::error::StoreError;
use crate::store::upload::state::{Inner, Life, State, Upload};

/// Bytes that are taken aside in memory.
const IN_MEMORY: u64 = 64 << 20;

impl Upload {
    /// From now on puts do not wait for the store; what it can't take at once goes to memory and to an unnamed
    /// file in `directory`. Only where that has no room they wait as before.
    pub fn stage(&self, directory: &FsPath) {
        self.inner.lock().staging.directory = Some(directory.to_owned());
        self.inner.changed.notify_all();
    }

    /// From now on puts wait again, those that were taken aside included.
    pub fn unstage(&self) {
        self.inner.lock().staging.directory = None;
    }
}

/// The bytes of an object that waits for its turn.
pub(in crate::store) enum Staged {
    Memory {
        parts: Vec<Bytes>,
        /// Given back when the object is stored.
        room: Room,
    },
    File {
        file: Arc<File>,
        at: u64,
        bytes: u64,
    },
}

/// A share of [`IN_MEMORY`].
pub(in crate::store) struct Room {
    inner: Arc<Inner>,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.inner.lock().staging.in_memory -= self.bytes;
        self.inner.changed.notify_all();
    }
}

/// Takes the bytes of an object aside.
pub(in crate::store) fn take_aside(inner: &Arc<Inner>, parts: Vec<Bytes>) -> Staged {
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
                "an object waits for the store while tables are locked: its bytes can't be kept on disk ({error})"
            );
            let goes_on = |state: &State| state.failure.is_none() && state.life == Life::Open;
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
    let room = Room { inner, bytes };
    Staged::Memory { parts, room }
}

fn in_file(inner: &Inner, parts: &[Bytes], bytes: u64) -> std::io::Result<Staged> {
    let (file, begin) = {
        let mut state = inner.lock();
        let staging = &mut state.staging;
        let file = match (&staging.file, &staging.directory) {
            (Some(file), _) => Arc::clone(file),
            (None, Some(directory)) => Arc::new(tempfile::tempfile_in(directory)?),
            (None, None) => return Err(std::io::Error::other("no directory was named")),
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
    /// The bytes, and what is to be kept until they are stored.
    pub async fn bytes(self) -> Result<(Vec<Bytes>, Option<Room>), StoreError> {
        match self {
            Self::Memory { parts, room } => Ok((parts, Some(room))),
            Self::File { file, at, bytes } => {
                let read = move || {
                    let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
                    file.read_exact_at(&mut buffer, at).map(|()| buffer)
                };
                let buffer = compute("reading what was taken aside", read).await?;
                let buffer = buffer.map_err(|error| {
                    StoreError::io("reading back", FsPath::new("a put's bytes"), error)
                })?;
                Ok((vec![Bytes::from(buffer)], None))
            }
        }
    }
}
