//! A directory with a backup, represented as a manifest whose objects are ranges of the files.

use crate::delta::pages_per_cluster;
use crate::manifest::{FileRole, Manifest, ObjectEntry};

/// Length of the ranges in which files without digests are read, in bytes.
const RANGE_BYTES: u64 = 8 << 20;

/// The backup in a directory.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Its manifest. Objects are ranges of the existing files; a digest is `None` if it is unknown.
    pub(crate) manifest: Manifest,
    /// True if a program other than lsnap made it.
    pub(crate) foreign: bool,
    /// Warnings for the report.
    pub(crate) warnings: Vec<String>,
}

/// Splits a file into ranges without digests; in a delta, a range begins with every cluster.
pub(crate) fn ranges(role: &FileRole, length: u64) -> Vec<ObjectEntry> {
    let step = match role {
        FileRole::Delta(space) => {
            let cluster = u64::from(pages_per_cluster(space.page_size)) + 1;
            RANGE_BYTES.min(cluster * space.page_size.bytes() as u64)
        }
        _ => RANGE_BYTES,
    };
    (0..length.div_ceil(step).max(1))
        .map(|index| ObjectEntry {
            index,
            offset: index * step,
            at: None,
            pack: None,
            bytes: step.min(length - index * step),
            digest: None,
        })
        .collect()
}
