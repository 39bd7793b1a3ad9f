//! Positioned reads into aligned memory, through the page cache or with `O_DIRECT`.

use super::ALIGNMENT;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// Reads into `buffer` from offset `start` on until its first `need` bytes are filled, and returns
/// the number of bytes filled: fewer only at the end of the file, more if a read returned more.
/// With `direct` (the file is open with `O_DIRECT`), `start`, the address of the buffer and its
/// length are multiples of [`ALIGNMENT`].
///
/// # Errors
/// The error of the operating system; an interrupted read is repeated.
pub fn read_until(
    file: &File,
    buffer: &mut [u8],
    start: u64,
    need: usize,
    direct: bool,
) -> io::Result<usize> {
    // Many devices also accept multiples of 512, but not all do, so require the larger alignment.
    debug_assert!(
        !direct
            || (start as usize | buffer.len() | buffer.as_ptr().addr()).is_multiple_of(ALIGNMENT)
    );
    let mut have = 0;
    while have < need {
        // A direct read may stop anywhere, but must begin at a multiple.
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
