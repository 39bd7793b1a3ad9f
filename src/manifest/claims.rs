//! What a manifest may claim of a file.

use crate::counted::count;
use crate::innodb::Lsn;
use crate::manifest::{FileEntry, FileRole, Finding};

/// The longest file that a manifest may claim, in bytes: 2^32 pages of 64 KiB.
const LONGEST_FILE: u64 = 1 << 48;

impl FileEntry {
    /// A delta that begins above the backup's own floor would leave out pages.
    pub(crate) fn check_floor(&self, scan_floor: Lsn) -> Result<(), Finding> {
        let Some(floor) = self.role.space().and_then(|space| space.floor) else {
            return Ok(());
        };
        if !matches!(self.role, FileRole::Delta(_)) {
            return Err(Finding::new(
                format!("file {} is a whole file with the floor {floor}", self.path),
                "none",
            ));
        }
        if floor > scan_floor {
            return Err(Finding::new(
                format!("file {} is a delta with the floor {floor}", self.path),
                format!("at most {scan_floor}, that of the backup"),
            ));
        }
        Ok(())
    }

    /// What it claims to be is not more than a file can be, nor than its objects hold.
    pub(crate) fn check_lengths(&self) -> Result<(), Finding> {
        let restored = self.role.space().map_or(0, |space| space.bytes);
        let claimed = self.bytes.max(restored);
        if claimed > LONGEST_FILE {
            return Err(Finding::new(
                format!(
                    "file {} has {claimed}",
                    self.path,
                    claimed = count(claimed, "byte")
                ),
                format!("at most {LONGEST_FILE}"),
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
            )
            .into());
        }
        Ok(())
    }
}
