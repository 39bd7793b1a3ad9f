//! A directory with a backup, as a manifest whose objects are ranges of the files.

use crate::delta::pages_per_cluster;
use crate::manifest::{FileRole, Manifest, ObjectEntry};

/// Length of the ranges that files without digests are read in, in bytes.
const RANGE_BYTES: u64 = 8 << 20;

/// A directory that was found to hold a backup.
#[derive(Debug)]
pub(crate) struct Opened {
    /// What is in it. Objects are ranges of the files that are there; a digest that is empty is not
    /// known.
    pub(crate) manifest: Manifest,
    /// Whether another program than lsnap made it.
    pub(crate) foreign: bool,
    /// What a person should know.
    pub(crate) warnings: Vec<String>,
}

/// A file's bytes in ranges without digests; in a delta a range begins with every cluster.
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
