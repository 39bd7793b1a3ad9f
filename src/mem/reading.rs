//! Positioned reads into aligned memory, past the page cache or through it.

use super::ALIGNMENT;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// Reads into `buffer` from `start` on until its first `need` bytes are there, and returns how many are: fewer
/// only where the file ends, more where a read gave more. With `direct` (the file is open with `O_DIRECT`)
/// `start`, the buffer's address and its length are multiples of [`ALIGNMENT`].
///
/// # Errors
/// What the system says; an interrupted read is repeated.
pub fn read_until(
    file: &File,
    buffer: &mut [u8],
    start: u64,
    need: usize,
    direct: bool,
) -> io::Result<usize> {
    // Many devices take multiples of 512 as well; not all do, so hold ourselves to it.
    debug_assert!(
        !direct
            || (start as usize | buffer.len() | buffer.as_ptr().addr()).is_multiple_of(ALIGNMENT)
    );
    let mut have = 0;
    while have < need {
        // A direct read may stop anywhere but may begin only at a multiple.
        let from = match direct {
            true => have / ALIGNMENT * ALIGNMENT,
            false => have,
        };
        match file.read_at(&mut buffer[from..], start + from as u64) {
            Ok(got) if from + got > have => have = from + got,
            Ok(_) => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(have)
}
