//! What may lie around a file's bytes: zstd and lz4 frames, xbcrypt chunks. Pure: bytes in, bytes out.
//!
//! Facts: `docs/format/wrapping.md`. A wrapped file is `name[.zst|.lz4|.qp][.xbcrypt]`: the
//! bytes are compressed first, then encrypted. A compressed file is any number of whole frames, one
//! after the other; an encrypted one any number of whole chunks. So ranges of a file can be wrapped
//! and unwrapped beside each other, and every decoder of these formats reads the result.

mod error;
mod frames;
mod suffix;
pub mod xbcrypt;

#[cfg(test)]
mod tests;

pub use error::CodecError;
pub use frames::{Compression, Decompressor, Format, compress, decompress};
pub use suffix::{Suffixes, suffixes};
