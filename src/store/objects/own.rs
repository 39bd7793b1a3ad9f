//! Which of the keys under a backup's name are the backup's own.
//!
//! A backup consists of `<path>.<20 digits>`, lsnap's and xtrabackup's alike. Other things may lie there:
//! a whole repository, when one was made below another; files of people; and *directory markers*, objects
//! without bytes (`<name>/mysql/`) that consoles make when a person clicks on "create folder", and some
//! stores by themselves. `object_store` has no name that ends with a slash, so of these the last component
//! is left; nothing of a backup's has no bytes, so they are told by that.

use crate::manifest::document::is_document;
use crate::manifest::{CHECKPOINTS, split_object_name};
use crate::store::objects::marker::{ENCRYPTED_ONLY, MARKER};

/// What a key is to the backup under whose name it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// One of its objects.
    Own,
    /// Nothing: it stands for a directory.
    DirectoryMarker,
    /// It is part of another repository or backup, which lies in this one's directory.
    Nested,
    /// Nobody knows.
    Strange,
}

impl Belongs {
    /// `object` is the key after `<name>/`, `bytes` the object's length.
    pub(crate) fn of(object: &str, bytes: u64) -> Self {
        let (directory, last) = match object.rsplit_once('/') {
            Some((directory, last)) => (Some(directory), last),
            None => (None, object),
        };
        if matches!(last, MARKER | ENCRYPTED_ONLY) {
            return Self::Nested;
        }
        match split_object_name(last) {
            // both lie at the top of a backup, and no file of a server has such a name
            Some((file, _)) if directory.is_some() && is_sign(file) => Self::Nested,
            Some(_) => Self::Own,
            None if bytes == 0 => Self::DirectoryMarker,
            None => Self::Strange,
        }
    }

    pub(crate) fn is_directory_marker(object: &str, bytes: u64) -> bool {
        bytes == 0 && Self::of(object, bytes) == Self::DirectoryMarker
    }
}

/// Whether a file tells that the directory in which it lies is a backup.
fn is_sign(file: &str) -> bool {
    is_document(file) || file == CHECKPOINTS
}

/// Whether an object, named after its backup, is one that every backup of xtrabackup's has (whatever
/// suffix compression gave it).
pub(in crate::store) fn is_xtrabackups(object: &str) -> bool {
    object.starts_with("xtrabackup_info.") || object.starts_with("xtrabackup_checkpoints.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let n = "00000000000000000000";
        for (object, bytes, expected) in [
            (format!("ibdata1.{n}"), 1, Belongs::Own),
            (format!("db/t.ibd.{n}"), 0, Belongs::Own),
            (format!("lsnap_manifest.json.{n}"), 9, Belongs::Own),
            (format!("xtrabackup_checkpoints.{n}"), 9, Belongs::Own),
            // a schema, and a table, of such a name
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
            ("README".to_owned(), 5, Belongs::Strange),
            ("t.ibd.0000".to_owned(), 5, Belongs::Strange),
        ] {
            assert_eq!(Belongs::of(&object, bytes), expected, "{object}");
        }
    }
}
