//! Files that hold pages, or what a restore reads, are never empty.
//!
//! xtrabackup makes an empty file of an empty file when it compresses; lsnap and the programs make an
//! empty frame. So no byte at all is right for a file that may be empty, and damage for one that may not.

use super::error::ArchiveError;
use crate::codec::CodecError;

/// Looks at what a compressed file has before it is made the file `name`, which `path` shows to a person.
///
/// # Errors
/// [`ArchiveError::Codec`]: it has no byte, and `name` is of a file that is never empty.
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

/// Whether a file holds pages: then a length of zero is damage, and with other files it may be right.
fn is_never_empty(name: &str) -> bool {
    [".ibd", ".ibu", ".delta", ".meta"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
        || name.starts_with("ibdata")
        || name.starts_with("undo_")
        || name.starts_with("xtrabackup_")
}
