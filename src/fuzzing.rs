//! Entry points of the fuzzer (`fuzz/`) to parsers of external bytes that public functions reach
//! only with a file, a server or a repository. Not part of the stable API.

use crate::store::StoreError;
use bytes::Bytes;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Returns the GTIDs of the events of a binary log (without its first four bytes): the set as text,
/// and whether some can't be parsed.
///
/// # Errors
/// The value found and its offset.
pub fn binlog_gtids(events: impl Read) -> Result<(String, bool), String> {
    let found = crate::backup::binlog::gtids(events)?;
    Ok((found.text(), found.unreadable))
}

/// Returns the path components below the root to which an entry of a stream is extracted.
/// `absolute` allows absolute paths.
///
/// # Errors
/// The reason why the name is refused.
pub fn extracted_name(
    name: &str,
    absolute: bool,
) -> Result<Vec<&str>, crate::archive::ArchiveError> {
    crate::archive::root::components(name, absolute).map(|(_, parts)| parts)
}

/// Returns the places of tablespaces in an `xtrabackup_tablespaces`: `None` for each that is refused. `backup` is the
/// directory of the backup.
///
/// # Errors
/// The text is not such a file.
pub fn external_places(
    text: &str,
    datadir: &Path,
    backup: &Path,
) -> Result<Vec<Option<PathBuf>>, String> {
    crate::restore::external_places(text, datadir, backup)
}

/// Returns the directory of a repository URL.
///
/// # Errors
/// The reason why the URL has no directory.
pub fn repository_directory(url: &str) -> Result<PathBuf, StoreError> {
    crate::store::url::directory(url)
}

/// Returns the JSON in the object of one of lsnap's documents.
///
/// # Errors
/// The value found and the value expected.
pub fn open_document(path: &str, object: &Bytes) -> Result<Bytes, String> {
    crate::manifest::document::open(path, object)
        .map(|(json, _)| json)
        .map_err(|what| what.to_string())
}
