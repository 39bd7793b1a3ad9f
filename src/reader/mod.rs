//! Reading backups: the files of a chain and the objects with their bytes, fetched from a
//! repository, a directory or a stream, unwrapped, and checked against the manifest. The layers
//! restore, verify and consolidate use it.

pub(crate) mod bare;
pub(crate) mod bitmap;
pub(crate) mod chain;
pub(crate) mod clusters;
pub(crate) mod content;
pub(crate) mod counters;
pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod fetch;
pub(crate) mod file_plan;
pub(crate) mod first_page;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod foreign;
pub(crate) mod layout;
pub(crate) mod opened;
pub(crate) mod paths;
pub(crate) mod proof;
pub(crate) mod redo_log;
pub(crate) mod resources;
pub(crate) mod server_names;
pub(crate) mod source;
pub(crate) mod spaces;
pub(crate) mod stored;
pub(crate) mod streamed;
pub(crate) mod unwrap;

pub use counters::MemberReport;
pub use error::ReadError;
pub use file_plan::{FilePlan, PlainPlan, SourceKind, SourcePlan};
