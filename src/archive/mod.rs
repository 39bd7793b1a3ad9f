//! Creates xbstreams from directories, and extracts them to directories.
//!
//! Facts: `docs/format/xbstream.md`. In contrast to Percona's xbstream:
//!
//! - a stream that is cut off, also between two chunks, and a file without its end are errors with
//!   the path; the incomplete files are removed;
//! - a chunk is written at its offset, so the chunks of a file can come in any order; a gap or an
//!   overlap is an error;
//! - nothing is written outside of the target, independent of paths and of symbolic links in it, and
//!   existing files are not overwritten;
//! - all files and their names are synced before success is returned: if the disk turns out to be full
//!   or fails behind the page cache, the error has the file;
//! - memory is limited ([`ExtractOptions::memory`]), independent of the length fields.

pub(crate) mod coverage;
mod create;
mod entry;
mod error;
mod extract;
pub mod fifo;
mod finish;
mod in_place;
mod input;
mod list;
mod never_empty;
mod options;
mod order;
mod pipe;
mod place;
pub(crate) mod root;
mod shared;
mod sparse;
mod streams;
mod unsynced;
mod unwrapped;

#[cfg(test)]
pub(crate) mod fifo_tests;
#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod sync_tests;
#[cfg(test)]
mod tests;

pub use create::{CreateOptions, CreateReport, create};
pub use error::ArchiveError;
pub(crate) use extract::Extraction;
pub use in_place::{InPlaceOptions, InPlaceReport, Layer, unwrap_in_place};
pub use input::Input;
pub use list::{ListOptions, ListReport, Listed, list};
pub use options::{ExtractOptions, ExtractReport, OnFile, PART};
pub use streams::extract;
