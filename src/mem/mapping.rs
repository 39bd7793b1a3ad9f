//! A memory map of a file that doesn't change.

use bytes::Bytes;
use memmap2::{Advice, Mmap, UncheckedAdvice};
use std::fs::File;
use std::io::Seek;
use std::sync::Arc;

/// Bytes that are released at a time: a multiple of every page size of the machine.
const STEP: usize = 16 << 20;

/// A memory map of a file that is read from start to end.
///
/// If the file is truncated while it is mapped, the process ends by SIGBUS; if it is written to,
/// the bytes change. So a map is only for files that don't change, and for bytes whose checksum is
/// checked on the same memory from which they are used. The data files of a server are read, never
/// mapped.
#[derive(Debug)]
pub struct Mapping {
    map: Arc<Mmap>,
    bytes: Bytes,
    /// Offset of `bytes` in the map.
    from: usize,
    /// The map was released up to this offset.
    released: usize,
}

/// Keeps the map alive as long as slices of it exist.
struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Mapping {
    /// Maps a regular file that is not empty, from its current position on; `None` for everything
    /// else (a pipe, a device, an empty file).
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn of(file: &File) -> std::io::Result<Option<Self>> {
        let meta = file.metadata()?;
        if !meta.is_file() || meta.len() == 0 {
            return Ok(None);
        }
        // Like a reader, begin at the current position.
        let position = { file }.stream_position()?;
        // SAFETY: the map is read-only. The contract of this function requires that the file
        // doesn't change, and the callers ensure it.
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

    /// Returns the bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Releases the memory of the bytes before `upto`, in large steps, because they are not needed
    /// any more, or not soon. If they are accessed again, the system reads them again from the
    /// file, with the same content.
    pub fn release(&mut self, upto: usize) {
        let upto = self.from.saturating_add(upto).min(self.map.len()) / STEP * STEP;
        if upto <= self.released {
            return;
        }
        // SAFETY: the map is a shared map of a file and never written to, so a released page is
        // filled from the same file with the same bytes when it is accessed again. Existing slices
        // see no change except the time of the next access. The range lies within the map.
        let done = unsafe {
            let length = upto - self.released;
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, self.released, length)
        };
        // This is only advice: without it more memory stays in use, and nothing else changes.
        if let Err(error) = done {
            tracing::debug!(%error, "the map of the stream stays in memory");
        }
        self.released = upto;
    }
}
