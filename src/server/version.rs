//! Versions of servers, and which of them lsnap supports.

use std::fmt;

/// The first server whose redo log has format 6.
pub const OLDEST_SUPPORTED: Version = Version(8, 0, 30);
/// The newest series (major, minor) whose backups were restored in lsnap's own tests. After 9.7,
/// MySQL versions start with the year (26.7, ...), so any of those is newer.
pub const NEWEST_TESTED: (u16, u16) = (9, 7);

/// A server's version: major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16, pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}
