//! Decompresses page-compressed pages (`COMPRESSION='zlib'` or `'lz4'`): type 14, the bytes from 38
//! on compressed, the rest of the page a hole in the file.
//!
//! ```text
//! 26 version u8 (1 or 2)    27 algorithm u8 (1 zlib, 2 lz4)    28 original type u16
//! 30 original size u16      32 compressed size u16             (sizes without the 38-byte header)
//! ```
//! The checksum is that of the page before compression, with its original type.

use super::undecodable::Undecodable;
use super::{PageKind, be, page};
use flate2::{Decompress, FlushDecompress, Status};
use std::cell::RefCell;

const VERSION: usize = 26;
const ALGORITHM: usize = 27;
const ORIGINAL_KIND: usize = 28;
const ORIGINAL_SIZE: usize = 30;

const ZLIB: u8 = 1;
const LZ4: u8 = 2;

/// One page and the state of zlib: at most 64 KiB and about 40 KiB for each thread, allocated at
/// the first compressed page.
struct Scratch {
    page: Vec<u8>,
    inflate: Decompress,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        page: Vec::new(),
        inflate: Decompress::new(true),
    });
}

/// Decompresses a page of type 14 into this thread's scratch memory and passes it to `then`. The
/// result has the length of `page`; the caller has checked that it is a page size.
pub(super) fn with_decompressed<R>(
    page: &[u8],
    then: impl FnOnce(&[u8]) -> R,
) -> Result<R, Undecodable> {
    SCRATCH.with_borrow_mut(|scratch| {
        decompress(page, scratch)?;
        Ok(then(&scratch.page))
    })
}

fn decompress(page: &[u8], scratch: &mut Scratch) -> Result<(), Undecodable> {
    if !matches!(be::u8_at(page, VERSION), 1 | 2) {
        return Err(Undecodable::Version(be::u8_at(page, VERSION)));
    }
    let original = usize::from(be::u16_at(page, ORIGINAL_SIZE));
    if original != page.len() - page::DATA {
        return Err(Undecodable::OriginalSize {
            found: original,
            expected: page.len() - page::DATA,
        });
    }
    let compressed = usize::from(be::u16_at(page, page::COMPRESSED_SIZE));
    let input =
        page.get(page::DATA..page::DATA + compressed)
            .ok_or(Undecodable::CompressedSize {
                found: compressed,
                at_most: original,
            })?;

    scratch.page.resize(page.len(), 0);
    let (header, data) = scratch.page.split_at_mut(page::DATA);
    header.copy_from_slice(&page[..page::DATA]);
    header[page::KIND..page::UNCOVERED].copy_from_slice(&page[ORIGINAL_KIND..ORIGINAL_KIND + 2]);
    if matches!(page::kind(header), PageKind::COMPRESSED) || page::kind(header).is_encrypted() {
        return Err(Undecodable::OriginalKind(page::kind(header)));
    }
    let complete = match be::u8_at(page, ALGORITHM) {
        ZLIB => inflate(&mut scratch.inflate, input, data),
        LZ4 => {
            lz4_flex::block::decompress_into(input, data).is_ok_and(|written| written == original)
        }
        other => return Err(Undecodable::Algorithm(other)),
    };
    complete.then_some(()).ok_or(Undecodable::Stream)
}

/// Returns whether `input` is one whole zlib stream, to its last byte, that fills `output` exactly.
fn inflate(state: &mut Decompress, input: &[u8], output: &mut [u8]) -> bool {
    state.reset(true);
    matches!(
        state.decompress(input, output, FlushDecompress::Finish),
        Ok(Status::StreamEnd)
    ) && state.total_in() == input.len() as u64
        && state.total_out() == output.len() as u64
}
