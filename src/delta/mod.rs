//! The page deltas of an incremental backup: `.delta` and `.meta` files.
//!
//! Facts: `docs/format/delta.md` (from `write_filt.cc` and `xtrabackup_apply_delta`). Numbers are
//! big-endian. P is the physical page size of the tablespace.
//!
//! ```text
//! a .delta is a sequence of clusters; a cluster is
//!   page 0       +0  "xtra": another cluster follows, "XTRA": this is the last one
//!                +4  page numbers, u32 each; 0xFFFFFFFF ends a list that is not full
//!   page k       the image of the k-th listed page
//! at most P/4-1 pages in a cluster; only the last cluster may hold fewer
//! ```

mod error;
mod meta;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use error::DeltaError;
pub use meta::Meta;
pub use reader::{ClusterHeader, DeltaReader};
pub use writer::{DeltaStats, DeltaWriter, Piece};

use crate::innodb::PageSize;

/// Magic of a cluster that is followed by another cluster.
const MORE: &[u8; 4] = b"xtra";
/// Magic of the last cluster.
const LAST: &[u8; 4] = b"XTRA";
/// Terminates a list of page numbers that is not full.
const END: u32 = 0xFFFF_FFFF;

/// Returns the number of pages of a full cluster.
#[must_use]
pub const fn pages_per_cluster(size: PageSize) -> u32 {
    (size.bytes() / 4 - 1) as u32
}
