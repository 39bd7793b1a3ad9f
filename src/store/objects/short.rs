//! Short names for files whose object names are too long for a directory.
//!
//! An object is named `<path>.<20 digits>`, an incremental's `<path>.delta.<20 digits>`, with
//! suffixes for compression and encryption in between. This is longer than the name of its file,
//! which may be as long as the file system permits. In a directory, the object of such a file has a
//! *short name*: the beginning of the file's name, and a hash of all of it. The manifest and the
//! xbstream chunks in the object have the file's own name: `xbcloud get` of a copy in a bucket
//! returns the right stream.
//!
//! Object stores don't have this limit, so they don't have short names, unless a directory was
//! copied there; readers then find the short name.

use crate::manifest::{object_name, split_object_name};
use std::collections::HashMap;

use crate::manifest::INDEX_DIGITS;

/// Longest path component on a local file system, in bytes, less the `#<n>` that the store appends
/// while it writes.
pub(super) const MAX_LOCAL_COMPONENT: usize = 255 - 3;

/// Hexadecimal digits of the hash.
const HASH: usize = 32;
/// Longest file name, in bytes, that is not shortened.
const MAX_FILE: usize = MAX_LOCAL_COMPONENT - INDEX_DIGITS - 1;

/// Returns the short form of a file's path, if it needs one. Only the last component changes.
fn short_path(path: &str) -> Option<String> {
    let (directory, file) = split(path);
    if file.len() <= MAX_FILE {
        return None;
    }
    let hash = blake3::hash(file.as_bytes()).to_hex();
    let mut cut = MAX_FILE - HASH - 1;
    while !file.is_char_boundary(cut) {
        cut -= 1;
    }
    let (begin, hash) = (file.get(..cut)?, hash.get(..HASH)?);
    Some(format!("{directory}{begin}-{hash}"))
}

/// Returns the short form of an object's key, if it needs one.
pub(super) fn short_key(key: &str) -> Option<String> {
    let (path, index) = split_object_name(key)?;
    Some(object_name(&short_path(path)?, index))
}

/// Splits a path into the directory with its slash, and the file.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |at| at + 1))
}

/// The mapping from short names to paths.
#[derive(Debug, Default)]
pub struct ShortNames<'a>(HashMap<String, &'a str>);

impl<'a> ShortNames<'a> {
    /// Creates the mapping for the files of a backup.
    pub fn of(paths: impl Iterator<Item = &'a str>) -> Self {
        Self(paths.filter_map(|p| Some((short_path(p)?, p))).collect())
    }

    /// Returns the path of the file whose object was listed as `listed`.
    #[must_use]
    pub fn path<'p>(&self, listed: &'p str) -> &'p str
    where
        'a: 'p,
    {
        self.0.get(listed).copied().unwrap_or(listed)
    }

    /// Returns each short name and its path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(short, path)| (short.as_str(), *path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_names_that_are_too_long_are_shortened() {
        assert_eq!(MAX_FILE, 231);
        let fits = format!("db/{}.ibd", "x".repeat(227));
        assert_eq!(short_path(&fits), None);
        let paths: Vec<String> = ["", ".delta", ".meta", ".delta.zst.xbcrypt"]
            .iter()
            .map(|suffix| format!("db/{}.ibd{suffix}", "x".repeat(228)))
            .collect();
        let names = ShortNames::of(paths.iter().map(String::as_str));
        // each path has a short name of its own
        assert_eq!(names.iter().count(), paths.len());
        for path in &paths {
            let short = short_path(path).unwrap();
            assert_eq!(names.path(&short), path);
            assert_eq!(short.len(), "db/".len() + MAX_FILE);
        }
        assert_eq!(names.path("db/t.ibd"), "db/t.ibd");
    }

    proptest! {
        #[test]
        fn short_keys_fit_and_are_not_shortened_again(file in "[a-zä中]{1,255}", index in any::<u64>()) {
            let key = object_name(&format!("full/db/{file}"), index);
            let short = short_key(&key).unwrap_or_else(|| key.clone());
            prop_assert!(short.split('/').all(|c| c.len() <= MAX_LOCAL_COMPONENT));
            prop_assert_eq!(short_key(&short), None);
            prop_assert_eq!(split_object_name(&short).map(|(_, i)| i), Some(index));
        }
    }
}
