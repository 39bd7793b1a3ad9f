//! The xbstream format: what travels between backup programs, and what an object of a repository is.
//!
//! Facts: `docs/format/xbstream.md` (read in `xbstream_write.cc`, `xbstream_read.cc`).
//! All numbers are little-endian. A stream is a sequence of chunks; there is no header and no trailer.
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
//! The CRC is that of zlib (ISO 3309); that of a sparse chunk covers its map, then its payload.
//!
//! MariaDB's programs know three types more, and a flag. They are in no documentation; what is said
//! here was found by feeding chunks made by hand to the `mbstream` of MariaDB 11.8.9 (Debian trixie),
//! type byte by type byte, and to that of 10.11.19 (Debian bookworm), which does the same with all of
//! them; `tests/mbstream.rs` holds the extraction against whichever is installed. No backup that
//! `mariadb-backup` 11.8.9 made here had any, also not with DDL during it.
//!
//! ```text
//! R: rename                  D: remove      S: seek              flag 0x02 of P: rewrite
//! new path length u32        (nothing)      offset u64
//! new path
//! ```
//!
//! * `R` and `D` are for files that have ended; for one that is not there they do nothing. A file that
//!   has the new path is replaced.
//! * `S` is the type byte of Percona's sparse chunk too. Behind a seek comes the magic of the next
//!   chunk, which in a sparse chunk would be a length of more than 2^62: so they can't be mistaken. The
//!   file's next payload must be at the offset, and each one from then on where the one before it ended.
//!   The offset may lie before or behind the end so far; with no payload behind it, a seek changes
//!   nothing.
//! * A payload with exactly the flag 0x02 and no other, of a file that has ended, empties the file and
//!   begins it anew. In Percona's newest streams the same bit says that a file is one object; there no file
//!   comes twice, so it changes nothing.
//!
//! Unlike the original, a stream that ends inside of a chunk is an error that says where, and a
//! length field that lies can't make the reader allocate.

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

/// What every chunk begins with.
pub const MAGIC: &[u8; 8] = b"XBSTCK01";
/// Flag of a chunk whose type may be unknown to the reader.
pub const FLAG_IGNORABLE: u8 = 0x01;
/// Flag of a payload that begins a file anew which had ended (newer MariaDB).
pub const FLAG_REWRITE: u8 = 0x02;
/// Paths are shorter than this, in bytes (`FN_REFLEN` of the original).
pub const PATH_MAX: usize = 512;
/// Length of what every chunk begins with, up to the path.
const HEAD: usize = 14;
/// Entries of a sparse map that are accepted: a map of this size is 8 MiB.
const ENTRIES_MAX: u32 = 1 << 20;
