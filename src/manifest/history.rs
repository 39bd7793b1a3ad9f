//! Marks of the server's history in a backup. With them, the next incremental detects whether the
//! server is still the one that was backed up, or an older state of it that continued separately.

use serde::{Deserialize, Serialize};

use crate::innodb::{Lsn, PageNo, SpaceId};

/// Marks that only the server that was backed up still has, if it continued from there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The content of the end of the redo log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo: Option<RedoMark>,
    /// `blake3:<64 hex digits>` of the binary log file of the backup's position, from its beginning
    /// to that position (at most 4 MiB); the flag that marks the file as open counts as not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binlog: Option<String>,
    /// Pages that had changed most recently, and some that had not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<PageMark>,
}

/// The content of a part of the redo log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedoMark {
    /// Its start: the start of a block.
    pub from: Lsn,
    /// Its end.
    pub to: Lsn,
    /// `blake3:<64 hex digits>` of its records, without headers and checksums of the blocks.
    pub digest: String,
}

/// The LSN of a page as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageMark {
    /// Its tablespace.
    pub space_id: SpaceId,
    /// The file of the tablespace, as [`crate::manifest::SpaceFile::node`].
    #[serde(default, skip_serializing_if = "is_first")]
    pub node: u32,
    /// Its page number within the file.
    pub page: PageNo,
    /// The LSN of its last change.
    pub lsn: Lsn,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde requires
const fn is_first(node: &u32) -> bool {
    *node == 0
}
