//! Detects empty files that can't be empty: those with pages, and those that a restore reads.
//!
//! xtrabackup compresses an empty file to an empty file; lsnap and the compression programs write an empty frame.
//! So a compressed file without a byte is valid if the file can be empty, and damaged if it can't.

use super::error::ArchiveError;
use crate::codec::CodecError;

/// Checks the length of a compressed file before it is decompressed to the file `name`; `path` is for the error.
///
/// # Errors
/// [`ArchiveError::Codec`]: it is empty, and a file of this `name` can't be empty.
pub(super) fn check(path: &str, name: &str, compressed: u64) -> Result<(), ArchiveError> {
    let last = name.rsplit('/').next().unwrap_or(name);
    if compressed > 0 || !is_never_empty(last) {
        return Ok(());
    }
    Err(ArchiveError::Codec {
        path: path.to_owned(),
        source: CodecError::Truncated {
            at: 0,
            part: "the file, which has not even an empty frame",
        },
    })
}

/// Returns whether a file of this name is never empty.
fn is_never_empty(name: &str) -> bool {
    [".ibd", ".ibu", ".delta", ".meta"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
        || name.starts_with("ibdata")
        || name.starts_with("undo_")
        || name.starts_with("xtrabackup_")
}
