//! Names of files in a data directory, as a server and its programs read them.

use super::bare;
use crate::innodb::SpaceId;
use crate::manifest::SpaceFile;

/// Extensions of the files of tables that are not InnoDB's, as the backup knows them.
const TABLES: [&str; 11] = [
    "MYD", "MYI", "MAD", "MAI", "MRG", "ARM", "ARZ", "CSM", "CSV", "opt", "sdi",
];

pub(crate) fn extension(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty()).then_some(extension)
}

pub(crate) fn is_table(name: &str) -> bool {
    extension(name).is_some_and(|extension| TABLES.contains(&extension))
}

/// A server encodes the names of schemas, so that none begins with these signs.
pub(crate) fn is_schema(name: &str) -> bool {
    !name.starts_with(['#', '.'])
}

/// Names at the top of a data directory that a server or its programs read or remove without being told to. Only what
/// an administrator can name freely (system tablespace, list of warm pages) is compared with them: everything else must
/// be on the list.
pub(crate) fn is_read(name: &str) -> bool {
    const READ: [&str; 6] = ["cnf", "ini", "pem", "my", "isl", "index"];
    name.starts_with(['.', '#'])
        || name == "ibtmp1"
        || name.starts_with("ib_logfile")
        || extension(name).is_some_and(|extension| READ.contains(&extension))
}

/// Whether a tablespace file has a name that a server gives to one of its kind.
pub(crate) fn is_tablespace(space: &SpaceFile) -> bool {
    let name = space.name.as_str();
    if space.space_id == SpaceId::SYSTEM {
        return bare::fault(name).is_none() && !is_read(name) && !is_table(name);
    }
    let (directory, file) = name.rsplit_once('/').unwrap_or(("", name));
    let named = matches!(extension(file), Some("ibd" | "ibu"));
    (named && directory.split('/').all(is_schema)) || is_implicit_undo(name)
}

/// `undo_001` to `undo_127`, which a server makes by itself in `innodb_undo_directory`.
pub(crate) fn is_implicit_undo(name: &str) -> bool {
    name.strip_prefix("undo_")
        .is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()))
}
