//! Names of files that a directory can't hold.
//!
//! An object is named `<path>.<20 digits>`, an incremental's `<path>.delta.<20 digits>`, with suffixes for
//! compression and encryption between: longer than the file that it holds, whose name may be as long as the
//! file system allows. In a directory the object of such a file has a *short name*: the beginning of the
//! file's name, and a hash of all of it. The manifest, and the xbstream chunks in the object, have the file's
//! own name: `xbcloud get` of a copy in a bucket gives the right stream.
//!
//! Object stores have no such limit, and there is no short name in them, unless a directory was copied there;
//! then readers find the short one.

use crate::manifest::{object_name, split_object_name};
use std::collections::HashMap;

use crate::manifest::INDEX_DIGITS;

/// Longest path component on a local file system, less the `#<n>` that the store appends while it
/// writes.
pub(in crate::store) const MAX_LOCAL_COMPONENT: usize = 255 - 3;

/// Hexadecimal digits of the hash.
const HASH: usize = 32;
/// Longest name of a file whose objects keep it.
const MAX_FILE: usize = MAX_LOCAL_COMPONENT - INDEX_DIGITS - 1;

/// The short form of a file's path, if it needs one: only its last component changes.
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

/// The short form of an object's key, if it needs one.
pub(in crate::store) fn short_key(key: &str) -> Option<String> {
    let (path, index) = split_object_name(key)?;
    Some(object_name(&short_path(path)?, index))
}

/// The directory with its slash, and the file.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |at| at + 1))
}

/// The paths behind short names.
#[derive(Debug, Default)]
pub struct ShortNames<'a>(HashMap<String, &'a str>);

impl<'a> ShortNames<'a> {
    /// Those of a backup's files.
    pub fn of(paths: impl Iterator<Item = &'a str>) -> Self {
        Self(paths.filter_map(|p| Some((short_path(p)?, p))).collect())
    }

    /// The path of the file that an object was listed under.
    #[must_use]
    pub fn path<'p>(&self, listed: &'p str) -> &'p str
    where
        'a: 'p,
    {
        self.0.get(listed).copied().unwrap_or(listed)
    }

    /// Each short name and the path behind it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(short, path)| (short.as_str(), *path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_does_not_fit_is_shortened() {
        assert_eq!(MAX_FILE, 231);
        let fits = format!("db/{}.ibd", "x".repeat(227));
        assert_eq!(short_path(&fits), None);
        let paths: Vec<String> = ["", ".delta", ".meta", ".delta.zst.xbcrypt"]
            .iter()
            .map(|suffix| format!("db/{}.ibd{suffix}", "x".repeat(228)))
            .collect();
        let names = ShortNames::of(paths.iter().map(String::as_str));
        // one for each: none is another's
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
        fn short_keys_fit_and_are_short_already(file in "[a-zä中]{1,255}", index in any::<u64>()) {
            let key = object_name(&format!("full/db/{file}"), index);
            let short = short_key(&key).unwrap_or_else(|| key.clone());
            prop_assert!(short.split('/').all(|c| c.len() <= MAX_LOCAL_COMPONENT));
            prop_assert_eq!(short_key(&short), None);
            prop_assert_eq!(split_object_name(&short).map(|(_, i)| i), Some(index));
        }
    }
}
