//! The errors of reading a delta.

use crate::counted::count;
use crate::error_kind::ErrorKind;

/// Why a `.delta` or `.meta` can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The bytes are not the start of a cluster.
    #[error(
        "offset {at}: a cluster of the delta begins with {found:02x?}, expected \"xtra\" or \"XTRA\": not a delta, or of another page size than {page_size}"
    )]
    Magic {
        /// Offset of the cluster, in bytes.
        at: u64,
        /// The first bytes of the cluster.
        found: [u8; 4],
        /// The page size that the reader used, in bytes.
        page_size: usize,
    },
    /// The file ends in the middle of a header or page.
    #[error("offset {at}: the delta ends inside {part}: it was cut off")]
    Truncated {
        /// Offset of the header or page, in bytes.
        at: u64,
        /// The part that is incomplete.
        part: String,
    },
    /// A cluster that is not the last one lists fewer pages than a full cluster.
    #[error(
        "offset {at}: a cluster of the delta lists {found} and is not the last, expected {expected}: damaged", found = count(found, "page")
    )]
    NotFull {
        /// Offset of the cluster, in bytes.
        at: u64,
        /// Number of pages listed.
        found: usize,
        /// Number of pages of a full cluster.
        expected: u32,
    },
    /// A header is shorter than a page.
    #[error("offset {at}: a cluster header of {found}, expected {expected}", found = count(found, "byte"))]
    ShortHeader {
        /// Offset of the cluster, in bytes.
        at: u64,
        /// Length of the header, in bytes.
        found: usize,
        /// The page size, in bytes.
        expected: usize,
    },
    /// A line or value of a `.meta` file is not valid.
    #[error(".meta file: {0}")]
    Meta(String),
    /// Reading failed.
    #[error("offset {at} of the delta: {source}")]
    Io {
        /// Offset of the header or page, in bytes.
        at: u64,
        /// The error of the operating system.
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
