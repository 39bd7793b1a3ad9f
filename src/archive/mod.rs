//! xbstreams and the directories that they are made of and extracted to.
//!
//! Facts: `docs/format/xbstream.md`. Unlike the original:
//!
//! - a stream that is cut off, also between two chunks, and a file without its end are errors that
//!   name the path; what was extracted of such files is removed;
//! - a chunk is placed where its offset says, so chunks of a file may come in any order; a gap or an
//!   overlap is an error;
//! - nothing is written outside of the target, whatever a path says and whatever symbolic links lie in
//!   it, and nothing that exists is overwritten;
//! - what was extracted is on the disk, with its names, before success is told: a disk that turns out to
//!   be full, or fails, behind the page cache is an error that names the file;
//! - memory is bounded ([`ExtractOptions::memory`]), whatever a length field says.

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
pub use options::{ExtractOptions, ExtractReport};
pub use streams::extract;
