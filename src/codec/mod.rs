//! The wrappings of a file's bytes: zstd and lz4 frames, xbcrypt chunks. No I/O.
//!
//! Facts: `docs/format/wrapping.md`. A wrapped file is `name[.zst|.lz4|.qp][.xbcrypt]`: the bytes
//! are compressed first, then encrypted. A compressed file is a sequence of whole frames; an
//! encrypted file is a sequence of whole chunks. So ranges of a file can be wrapped and unwrapped
//! concurrently, and every decoder of these formats can read the result.

mod error;
mod frames;
mod suffix;
pub mod xbcrypt;

#[cfg(test)]
mod tests;

pub use error::CodecError;
pub use frames::{Compression, Decompressor, Format, compress, decompress};
pub use suffix::{Suffixes, suffixes};
