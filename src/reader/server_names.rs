//! Names of files in a data directory, as a server and its tools interpret them.

use super::bare;
use crate::innodb::SpaceId;
use crate::manifest::SpaceFile;

/// Extensions of the files of tables of other engines than InnoDB, as the backup uses them.
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

/// Returns whether it can be the name of a schema. A server encodes these names, so none begins
/// with these characters.
pub(crate) fn is_schema(name: &str) -> bool {
    !name.starts_with(['#', '.'])
}

/// Returns whether a server or its tools read or remove a file with this name at the top of a data
/// directory without being configured to. Only files that an administrator can name freely (system
/// tablespace, list of warm pages) are checked against these names: all others must be on the list.
pub(crate) fn is_read(name: &str) -> bool {
    const READ: [&str; 6] = ["cnf", "ini", "pem", "my", "isl", "index"];
    name.starts_with(['.', '#'])
        || name == "ibtmp1"
        || name.starts_with("ib_logfile")
        || extension(name).is_some_and(|extension| READ.contains(&extension))
}

/// Returns whether a tablespace file has a name that a server gives to files of its kind.
pub(crate) fn is_tablespace(space: &SpaceFile) -> bool {
    let name = space.name.as_str();
    if space.space_id == SpaceId::SYSTEM {
        return bare::fault(name).is_none() && !is_read(name) && !is_table(name);
    }
    let (directory, file) = name.rsplit_once('/').unwrap_or(("", name));
    let named = matches!(extension(file), Some("ibd" | "ibu"));
    (named && directory.split('/').all(is_schema)) || is_implicit_undo(name)
}

/// Returns whether it is one of `undo_001` to `undo_127`, which a server creates by itself in
/// `innodb_undo_directory`.
pub(crate) fn is_implicit_undo(name: &str) -> bool {
    name.strip_prefix("undo_")
        .is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()))
}
