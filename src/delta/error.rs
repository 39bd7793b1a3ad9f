//! What can be wrong with a delta.

use crate::counted::count;
use crate::error_kind::ErrorKind;

/// Why a `.delta` or `.meta` can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// Not the beginning of a cluster.
    #[error(
        "offset {at}: a cluster of the delta begins with {found:02x?}, expected \"xtra\" or \"XTRA\": not a delta, or of another page size than {page_size}"
    )]
    Magic {
        /// Where the cluster begins, in bytes.
        at: u64,
        /// Its first bytes.
        found: [u8; 4],
        /// The page size that was assumed, in bytes.
        page_size: usize,
    },
    /// The file ends too early.
    #[error("offset {at}: the delta ends inside of {part}: it was cut off")]
    Truncated {
        /// Where the header or page begins, in bytes.
        at: u64,
        /// Which part.
        part: String,
    },
    /// A cluster that says that another follows must be full.
    #[error(
        "offset {at}: a cluster of the delta lists {found} and is not the last, expected {expected}: damaged", found = count(found, "page")
    )]
    NotFull {
        /// Where the cluster begins, in bytes.
        at: u64,
        /// Pages listed.
        found: usize,
        /// Pages of a full cluster.
        expected: u32,
    },
    /// A header that is shorter than a page.
    #[error("offset {at}: a cluster header of {found}, expected {expected}", found = count(found, "byte"))]
    ShortHeader {
        /// Where the cluster begins, in bytes.
        at: u64,
        /// Its length.
        found: usize,
        /// The page size.
        expected: usize,
    },
    /// A line or value of a `.meta` that makes no sense.
    #[error(".meta file: {0}")]
    Meta(String),
    /// Reading failed.
    #[error("offset {at} of the delta: {source}")]
    Io {
        /// Where the header or page begins, in bytes.
        at: u64,
        /// What the system said.
        source: std::io::Error,
    },
}

impl DeltaError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Magic { .. }
            | Self::Truncated { .. }
            | Self::NotFull { .. }
            | Self::ShortHeader { .. }
            | Self::Meta(_) => ErrorKind::Damaged,
            Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }
}
