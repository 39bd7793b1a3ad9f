//! What a backup knows of the server's past, so that the next incremental can tell whether the server still is
//! the one that was backed up, or an older state of it that went on by itself.

use serde::{Deserialize, Serialize};

use crate::innodb::{Lsn, PageNo, SpaceId};

/// Marks that only the server that was backed up, and went on from there, still bears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The end of the redo log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo: Option<RedoMark>,
    /// `blake3:<64 hex digits>` of the beginning of the binary log file that the backup's position names, up to
    /// that position (at most 4 MiB); the flag that says that the file is open counts as not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binlog: Option<String>,
    /// Pages that had changed most recently, and some that had not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<PageMark>,
}

/// The contents of a piece of the redo log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedoMark {
    /// Where it begins: the start of a block.
    pub from: Lsn,
    /// Where it ends.
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
    /// Its number within the file.
    pub page: PageNo,
    /// The LSN of its last change.
    pub lsn: Lsn,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
const fn is_first(node: &u32) -> bool {
    *node == 0
}
