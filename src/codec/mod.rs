//! What may lie around a file's bytes: zstd and lz4 frames, xbcrypt chunks. Pure: bytes in, bytes out.
//!
//! Facts: `specs/xtrabackup-formats.md` 3.10.
