//! Parses InnoDB's formats: pages, tablespace headers, checksums and the redo log. No I/O and no
//! servers.
//!
//! The facts come from the formats as the server writes them (`docs/format/pages.md`,
//! `docs/format/redo.md`) and were checked against real files of MySQL 9.7.4; `testdata/pages` and
//! `testdata/redo` contain samples. All numbers of InnoDB are big-endian.

mod be;
mod checksum;
mod data_files;
mod decompress;
mod doublewrite;
mod error;
#[cfg(test)]
mod fixtures;
mod flags;
mod ids;
mod kind;
pub mod page;
#[cfg(test)]
mod real_tree;
pub mod redo;
mod space;
mod undecodable;
mod verify;
#[cfg(test)]
mod verify_tests;

pub(crate) use data_files::{base_names, data_files};
pub use doublewrite::doublewrite_extents;
pub use error::InnodbError;
pub use flags::SpaceFlags;
pub use ids::{BadPageSize, EndLsn, Lsn, PageNo, PageSize, ScanFloor, SpaceId, StartCheckpoint};
pub use kind::PageKind;
pub use space::SpaceHeader;
pub use undecodable::Undecodable;
pub use verify::{PageFault, PageState, PageVerifier};
