//! Classification of the keys under a backup's name.
//!
//! The objects of a backup, of lsnap or xtrabackup, are named `<path>.<20 digits>`. Other objects
//! may exist under its name: a whole repository that was created in the wrong place, files of
//! users, and *directory markers*, which are empty objects (`<name>/mysql/`) that consoles create
//! for "create folder", and that some stores create themselves. `object_store` can't represent a
//! name that ends with a slash, so only the last component of such a key remains. Objects of a
//! backup are never empty, so empty objects are directory markers.

use crate::manifest::document::is_document;
use crate::manifest::{CHECKPOINTS, split_object_name};
use crate::store::objects::marker::{ENCRYPTED_ONLY, MARKER};

/// The relation of a key to the backup under whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// An object of the backup.
    Own,
    /// A directory marker, which doesn't count.
    DirectoryMarker,
    /// Part of another repository or backup in this backup's directory.
    Nested,
    /// Unknown.
    Unknown,
}

impl Belongs {
    /// Classifies an object. `object` is the key after `<name>/`, `bytes` the object's length.
    pub(crate) fn of(object: &str, bytes: u64) -> Self {
        let (directory, last) = match object.rsplit_once('/') {
            Some((directory, last)) => (Some(directory), last),
            None => (None, object),
        };
        if matches!(last, MARKER | ENCRYPTED_ONLY) {
            return Self::Nested;
        }
        match split_object_name(last) {
            // a backup has these files at its top level only, and no file of a server has such a
            // name
            Some((file, _)) if directory.is_some() && is_sign(file) => Self::Nested,
            Some(_) => Self::Own,
            None if bytes == 0 => Self::DirectoryMarker,
            None => Self::Unknown,
        }
    }

    pub(crate) fn is_directory_marker(object: &str, bytes: u64) -> bool {
        bytes == 0 && Self::of(object, bytes) == Self::DirectoryMarker
    }
}

/// Returns whether a file shows that its directory is a backup.
fn is_sign(file: &str) -> bool {
    is_document(file) || file == CHECKPOINTS
}

/// Returns whether an object is one that every backup of xtrabackup has, with any suffix of
/// compression. `object` is the key after the backup's name.
pub(in crate::store) fn is_xtrabackups(object: &str) -> bool {
    object.starts_with("xtrabackup_info.") || object.starts_with("xtrabackup_checkpoints.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_classified() {
        let n = "00000000000000000000";
        for (object, bytes, expected) in [
            (format!("ibdata1.{n}"), 1, Belongs::Own),
            (format!("db/t.ibd.{n}"), 0, Belongs::Own),
            (format!("lsnap_manifest.json.{n}"), 9, Belongs::Own),
            (format!("xtrabackup_checkpoints.{n}"), 9, Belongs::Own),
            // a schema and a table of such a name
            (format!("xtrabackup_checkpoints/t.ibd.{n}"), 9, Belongs::Own),
            (
                format!("db/xtrabackup_checkpoints.ibd.{n}"),
                9,
                Belongs::Own,
            ),
            (
                format!("a-full/lsnap_manifest.json.{n}"),
                9,
                Belongs::Nested,
            ),
            (
                format!("p/a-full/lsnap_upload.json.{n}"),
                9,
                Belongs::Nested,
            ),
            (format!("a/xtrabackup_checkpoints.{n}"), 9, Belongs::Nested),
            ("lsnap_repository.json".to_owned(), 9, Belongs::Nested),
            ("a/lsnap_repository.json".to_owned(), 9, Belongs::Nested),
            ("mysql".to_owned(), 0, Belongs::DirectoryMarker),
            ("mysql/x".to_owned(), 0, Belongs::DirectoryMarker),
            ("README".to_owned(), 5, Belongs::Unknown),
            ("t.ibd.0000".to_owned(), 5, Belongs::Unknown),
        ] {
            assert_eq!(Belongs::of(&object, bytes), expected, "{object}");
        }
    }
}
