//! What a manifest may claim of a file.

use crate::counted::count;
use crate::innodb::Lsn;
use crate::manifest::{FileEntry, FileRole};

/// The longest file that a manifest may claim, in bytes: 2^32 pages of 64 KiB.
const LONGEST_FILE: u64 = 1 << 48;

impl FileEntry {
    /// A delta that begins above the backup's own floor would leave out pages.
    pub(crate) fn check_floor(&self, scan_floor: Lsn) -> Result<(), String> {
        let Some(floor) = self.role.space().and_then(|space| space.floor) else {
            return Ok(());
        };
        if !matches!(self.role, FileRole::Delta(_)) {
            return Err(format!(
                "file {} is a whole file with the floor {floor}, expected none",
                self.path
            ));
        }
        if floor > scan_floor {
            return Err(format!(
                "file {} is a delta with the floor {floor}, expected at most {scan_floor}, that of the backup",
                self.path
            ));
        }
        Ok(())
    }

    /// What it claims to be is not more than a file can be, nor than its objects hold.
    pub(crate) fn check_lengths(&self) -> Result<(), String> {
        let restored = self.role.space().map_or(0, |space| space.bytes);
        let claimed = self.bytes.max(restored);
        if claimed > LONGEST_FILE {
            return Err(format!(
                "file {} has {claimed}, expected at most {LONGEST_FILE}",
                self.path,
                claimed = count(claimed, "byte")
            ));
        }
        // These have no holes, so without a wrapping no byte of them comes from nothing.
        let solid = matches!(
            self.role,
            FileRole::Delta(_) | FileRole::DeltaMeta | FileRole::Redo
        );
        let stored = self
            .objects
            .iter()
            .fold(0, |sum: u64, o| sum.saturating_add(o.bytes));
        if solid && self.wrapping.is_none() && stored < self.bytes {
            return Err(format!(
                "file {} has {}, but its objects only {stored}",
                self.path,
                count(self.bytes, "byte")
            ));
        }
        Ok(())
    }
}
