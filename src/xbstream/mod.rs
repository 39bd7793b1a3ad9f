//! The xbstream format: the format of the streams between backup programs, and of the objects of a
//! repository.
//!
//! Facts: `docs/format/xbstream.md` (from `xbstream_write.cc` and `xbstream_read.cc`). All numbers
//! are little-endian. A stream is a sequence of chunks; there is no header and no trailer.
//!
//! ```text
//! every chunk          P: payload            S: sparse              E: end of file
//! +0  "XBSTCK01"  8    length   u64          entries  u32           (nothing)
//! +8  flags       1    offset   u64          length   u64
//! +9  type        1    crc32    u32          offset   u64
//! +10 path length u32  payload [length]      crc32    u32
//! +14 path                                   (skip u32, len u32) [entries]
//!                                            payload [length]
//! ```
//!
//! The CRC is zlib's CRC-32 (ISO 3309). The CRC of a sparse chunk covers its map, then its payload.
//!
//! MariaDB's programs use three more types and one more flag. No documentation describes them. The
//! facts here were found by feeding hand-made chunks, one for each type byte, to `mbstream` of
//! MariaDB 11.8.9 (Debian trixie) and 10.11.19 (Debian bookworm), which behave the same.
//! `tests/mbstream.rs` compares the extraction with the version that is installed. No backup that
//! `mariadb-backup` 11.8.9 made in these tests contained them, not even with concurrent DDL.
//!
//! ```text
//! R: rename                  D: remove      S: seek              flag 0x02 of P: rewrite
//! new path length u32        (nothing)      offset u64
//! new path
//! ```
//!
//! * `R` and `D` are for files that have ended; if the file doesn't exist, they do nothing. A file
//!   that already has the new path is replaced.
//! * `S` is also the type byte of Percona's sparse chunk. A seek is followed by the magic of the
//!   next chunk, which in a sparse chunk would be a length of more than 2^62, so the two are always
//!   distinguishable. The next payload of the file must be at this offset, and each later payload
//!   at the end of the one before it. The offset may lie before or after the current end. A seek
//!   without a payload after it changes nothing.
//! * A payload with exactly the flag 0x02 and no other flag, for a file that has ended, truncates
//!   the file and starts it again. In Percona's newest streams the same bit says that the file is a
//!   single object; in these streams no file occurs twice, so the flag changes nothing.
//!
//! Unlike in xtrabackup, a stream that ends in the middle of a chunk is an error that contains
//! the offset, and a wrong length field can't cause an allocation.

mod chunk;
mod error;
mod located;
mod reader;
mod slice;
mod writer;

#[cfg(test)]
mod tests;

pub use chunk::{Chunk, SparseEntry, Unchecked};
pub use error::XbstreamError;
pub use located::{Located, LocatedChunks, ReadAt};
pub use reader::Reader;
pub use slice::{Chunks, chunks};
pub(crate) use writer::frame;
pub use writer::{
    Writer, crc, end_chunk, hole_chunk, payload_head, remove_chunk, rename_chunk, rewrite_head,
    seek_chunk,
};

/// The first bytes of every chunk.
pub const MAGIC: &[u8; 8] = b"XBSTCK01";
/// Flag of a chunk that a reader may skip if it doesn't know the type.
pub const FLAG_IGNORABLE: u8 = 0x01;
/// Flag of a payload that truncates and starts again a file that has ended (newer MariaDB).
pub const FLAG_REWRITE: u8 = 0x02;
/// Paths are shorter than this, in bytes (`FN_REFLEN` of xtrabackup).
pub const PATH_MAX: usize = 512;
/// Length of the fixed fields of a chunk before its path, in bytes.
const HEAD: usize = 14;
/// Largest number of entries of a sparse map that is accepted; such a map takes 8 MiB.
const ENTRIES_MAX: u32 = 1 << 20;
