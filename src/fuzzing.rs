//! Doors for the fuzzer (`fuzz/`) to parsers of outside bytes that no public function reaches without a file,
//! a server or a repository. Not for anybody else: nothing here is kept stable.

use crate::store::StoreError;
use bytes::Bytes;
use std::io::Read;
use std::path::PathBuf;

/// The GTIDs of the events of a binary log, which come after its first four bytes: the set as text, and
/// whether there are any that can't be read.
///
/// # Errors
/// What was found at which offset.
pub fn binlog_gtids(events: impl Read) -> Result<(String, bool), String> {
    let found = crate::backup::binlog::gtids(events)?;
    Ok((found.text(), found.unreadable))
}

/// The components that a name of a stream is extracted to, below the root; whether it is absolute is what
/// `absolute` may allow.
///
/// # Errors
/// Why nothing is extracted under this name.
pub fn extracted_name(
    name: &str,
    absolute: bool,
) -> Result<Vec<&str>, crate::archive::ArchiveError> {
    crate::archive::root::components(name, absolute).map(|(_, parts)| parts)
}

/// The directory that the URL of a repository names.
///
/// # Errors
/// Why it names none.
pub fn repository_directory(url: &str) -> Result<PathBuf, StoreError> {
    crate::store::url::directory(url)
}

/// The JSON in the object of one of lsnap's documents.
///
/// # Errors
/// What was found and what was expected.
pub fn open_document(path: &str, object: &Bytes) -> Result<Bytes, String> {
    crate::manifest::document::open(path, object)
        .map(|(json, _)| json)
        .map_err(|what| what.to_string())
}
