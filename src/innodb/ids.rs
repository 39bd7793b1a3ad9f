//! Types for LSNs, page numbers, space ids and page sizes, so that they can't be mixed up.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A log sequence number: a byte position in the redo log of one server.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Returns the LSN of the redo block (512 bytes) that contains this position.
    #[must_use]
    pub const fn block_start(self) -> Self {
        Self(self.0 & !511)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The checkpoint at which the redo log of a backup starts. The pages of the backup are read after it was chosen.
///
/// A type of its own, as those of [`ScanFloor`] and [`EndLsn`] are: the three are LSNs of one backup, and one in the
/// place of another gives a backup that lacks changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StartCheckpoint(Lsn);

impl StartCheckpoint {
    /// The checkpoint at this LSN.
    #[must_use]
    pub const fn at(lsn: Lsn) -> Self {
        Self(lsn)
    }

    /// Its LSN.
    #[must_use]
    pub const fn lsn(self) -> Lsn {
        self.0
    }
}

impl fmt::Display for StartCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The LSN at which the redo log of a backup ends: the position that `performance_schema.log_status` gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndLsn(Lsn);

impl EndLsn {
    /// The end at this LSN.
    #[must_use]
    pub const fn at(lsn: Lsn) -> Self {
        Self(lsn)
    }

    /// Its LSN.
    #[must_use]
    pub const fn lsn(self) -> Lsn {
        self.0
    }
}

impl fmt::Display for EndLsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The LSN from which on an incremental takes pages (`docs/design.md#overlap`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanFloor(Lsn);

impl ScanFloor {
    /// That of a file of which every page is taken that isn't zeros.
    pub const WHOLE: Self = Self(Lsn(0));

    /// That of an incremental on a backup that started at this checkpoint.
    #[must_use]
    pub const fn of_base(start: StartCheckpoint) -> Self {
        Self(start.0)
    }

    /// A floor at this LSN, whatever the base is: without the overlap, or for a measurement.
    #[must_use]
    pub const fn at(lsn: Lsn) -> Self {
        Self(lsn)
    }

    /// Its LSN.
    #[must_use]
    pub const fn lsn(self) -> Lsn {
        self.0
    }

    /// Whether a page with this LSN is taken. LSN 0 says nothing about a page.
    #[must_use]
    pub fn takes(self, page: Lsn) -> bool {
        page >= self.0
    }
}

impl fmt::Display for ScanFloor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a page within one *file* (not within the tablespace: a system tablespace of several
/// files counts anew in each, as `.delta` files do).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PageNo(pub u32);

impl fmt::Display for PageNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a tablespace. It stays the same when the tablespace is renamed; a truncated table gets
/// a new one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct SpaceId(pub u32);

impl SpaceId {
    /// The system tablespace (`ibdata1`, ...).
    pub const SYSTEM: Self = Self(0);
    /// The data dictionary, `mysql.ibd`.
    pub const DICTIONARY: Self = Self(0xFFFF_FFFE);
}

impl fmt::Display for SpaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The size of a page in bytes: a power of two from 1 KiB (compressed pages) to 64 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "u32", into = "u32")]
pub struct PageSize(u32);

/// A number that is not an InnoDB page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no InnoDB page size: expected a power of two from 1024 to 65536")]
pub struct BadPageSize(pub u32);

impl PageSize {
    /// 16 KiB, the server's default.
    pub const DEFAULT: Self = Self(16384);

    /// Creates a page size from a number of bytes.
    ///
    /// # Errors
    /// [`BadPageSize`] if it is not a power of two from 1024 to 65536.
    pub const fn new(bytes: u32) -> Result<Self, BadPageSize> {
        if bytes.is_power_of_two() && bytes >= 1024 && bytes <= 65536 {
            Ok(Self(bytes))
        } else {
            Err(BadPageSize(bytes))
        }
    }

    /// Returns the size in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<u32> for PageSize {
    type Error = BadPageSize;
    fn try_from(bytes: u32) -> Result<Self, BadPageSize> {
        Self::new(bytes)
    }
}

impl From<PageSize> for u32 {
    fn from(size: PageSize) -> Self {
        size.0
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
