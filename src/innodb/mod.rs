//! What InnoDB's bytes mean: pages, tablespace headers, checksums and the redo log. Pure: bytes in,
//! meaning out; no files, no servers.

mod ids;

pub use ids::{BadPageSize, Lsn, PageNo, PageSize, SpaceId};
