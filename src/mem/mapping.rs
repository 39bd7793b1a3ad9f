//! A file that stands still, as bytes that nobody copied.

use bytes::Bytes;
use memmap2::{Advice, Mmap, UncheckedAdvice};
use std::fs::File;
use std::io::Seek;
use std::sync::Arc;

/// How much is given back at a time, in bytes: a multiple of every page of a machine.
const STEP: usize = 16 << 20;

/// A file that is mapped into memory, read from its beginning to its end.
///
/// Whoever cuts the file off while it is mapped ends this process by SIGBUS, and whoever writes to it
/// changes the bytes: so it is for files that stand still, and for bytes whose checksums are looked at
/// in the same place from which they are used. A server's data files are read, never mapped.
#[derive(Debug)]
pub struct Mapping {
    map: Arc<Mmap>,
    bytes: Bytes,
    /// Where `bytes` begin in the map.
    from: usize,
    /// Up to here the map was given back.
    released: usize,
}

/// Keeps the map alive as long as anybody has bytes of it.
struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Mapping {
    /// Maps a regular file that has bytes, from its present position on; `None` for anything else (a pipe, a
    /// device, an empty file).
    ///
    /// # Errors
    /// What the system says.
    pub fn of(file: &File) -> std::io::Result<Option<Self>> {
        let meta = file.metadata()?;
        if !meta.is_file() || meta.len() == 0 {
            return Ok(None);
        }
        // What was read before is not of interest: as a reader would, begin at the present position.
        let position = { file }.stream_position()?;
        // SAFETY: the map is read-only; that the file must stand still is this function's contract, and the
        // reasons why it does are its callers'.
        let map = Arc::new(unsafe { Mmap::map(file)? });
        let _ = map.advise(Advice::Sequential);
        let from = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(map.len());
        Ok(Some(Self {
            bytes: Bytes::from_owner(Owner(Arc::clone(&map))).slice(from..),
            map,
            from,
            released: 0,
        }))
    }

    /// The bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Gives the memory of the bytes before `upto` back, in large steps: they are not needed any more, or not
    /// soon. Who looks at them again finds them as they were, and the system has read them again.
    pub fn release(&mut self, upto: usize) {
        let upto = self.from.saturating_add(upto).min(self.map.len()) / STEP * STEP;
        if upto <= self.released {
            return;
        }
        // SAFETY: the map is one of a file, shared and never written to, so that a page that was given back is
        // filled from the same file with the same bytes when it is touched again: to all that have slices of
        // it nothing changes but the time that the next look takes. The range lies within the map.
        let done = unsafe {
            let length = upto - self.released;
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, self.released, length)
        };
        // Only advice: without it there is more in memory, and nothing else is different.
        if let Err(error) = done {
            tracing::debug!(%error, "the map of the stream stays in memory");
        }
        self.released = upto;
    }
}
