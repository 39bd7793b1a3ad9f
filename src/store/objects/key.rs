//! Keys of objects: `<backup>/<path>.<20 digits>`, byte for byte those of xbcloud
//! (`docs/format/manifest.md#keys-and-objects`).
//!
//! `object_store` has two ways to create a path. `Path::from` percent-encodes `#`, `%`, `~`, `[`,
//! `|` and others, which would turn `#undo` into `%23undo`: such a backup would not be compatible
//! with xbcloud. `Path::parse` keeps every byte and refuses paths without a safe form (empty, `.`
//! and `..` segments, ASCII control characters). Only the latter is used, and its result is
//! compared with the input. The resulting names were tested: the local store uses a file URL and
//! decodes it again, so names on disk are the keys; S3's are percent-encoded in requests only. (Its
//! ban of `#<digits>` applies to names that *end* so; lsnap's end in `.<20 digits>`.)

use object_store::path::Path;

use crate::counted::count;
use crate::manifest::{BackupName, ManifestError, check_path};
use crate::store::error::StoreError;
use crate::store::objects::short::short_key;

/// Longest key that S3, GCS and Azure accept, in bytes.
const MAX_KEY: usize = 1024;
/// Returns the key of an object of a backup. `max_component` is the longest component that the
/// store supports, in bytes.
pub(in crate::store) fn location(
    name: &BackupName,
    object: &str,
    max_component: Option<usize>,
) -> Result<Path, StoreError> {
    check_path(object)?;
    raw(&format!("{name}/{object}"), max_component).map_err(|error| match error {
        StoreError::Manifest(ManifestError::BadPath { reason, .. }) => bad(object, reason),
        other => other,
    })
}

/// Returns any key, relative to the repository. It is kept byte for byte, except for a file name
/// that is too long for the store ([`crate::store::objects::short`]).
pub(in crate::store) fn raw(key: &str, max_component: Option<usize>) -> Result<Path, StoreError> {
    check_path(key)?;
    let short = max_component.and_then(|_| short_key(key));
    let key = short.as_deref().unwrap_or(key);
    if key.len() > MAX_KEY {
        return Err(bad(
            key,
            format!(
                "its key {key} has {}, object stores accept at most {MAX_KEY}",
                count(key.len(), "byte")
            ),
        ));
    }
    if let Some(max) = max_component
        && let Some(long) = key.split('/').find(|c| c.len() > max)
    {
        return Err(bad(
            key,
            format!(
                "component {long} has {}, the names in a directory have at most {max}: a schema with such a \
                 long name needs an object store as repository",
                count(long.len(), "byte")
            ),
        ));
    }
    exact(key).ok_or_else(|| {
        bad(
            key,
            "the store can't represent this name byte for byte".to_owned(),
        )
    })
}

/// Returns the prefix of a backup's objects. Stores match whole components, so `prod-full` doesn't
/// match `prod-full-2`.
pub(in crate::store) fn prefix(directory: &str) -> Result<Path, StoreError> {
    exact(directory).ok_or_else(|| {
        bad(
            directory,
            "the store can't represent this name byte for byte".to_owned(),
        )
    })
}

fn exact(key: &str) -> Option<Path> {
    Path::parse(key).ok().filter(|path| path.as_ref() == key)
}

fn bad(path: &str, reason: String) -> StoreError {
    ManifestError::bad_path(path, reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{object_name, split_object_name};
    use proptest::prelude::*;

    #[test]
    fn object_names_are_those_of_xbcloud() {
        assert_eq!(object_name("db/t.ibd", 0), "db/t.ibd.00000000000000000000");
        assert_eq!(object_name("a", u64::MAX), "a.18446744073709551615");
        assert_eq!(
            split_object_name("db/t.ibd.00000000000000000012"),
            Some(("db/t.ibd", 12))
        );
        for other in [
            "",
            "a",
            ".00000000000000000000",
            "a.0000000000000000000",
            "a.99999999999999999999",
            "a.0000000000000000000x",
            "a-00000000000000000000",
            "ä0000000000000000000",
            "a.+0000000000000000001",
        ] {
            assert_eq!(split_object_name(other), None, "{other}");
        }
    }

    #[test]
    fn keys_are_not_percent_encoded() {
        let name = BackupName::parse("c-2026-11-18-11:06:40-full").unwrap();
        for path in [
            "#undo",
            "a@0020b/t#p#p0.ibd",
            "db/p#P#p0.ibd",
            "%41/~x",
            "a b/ü",
            "[x]|y/`z`",
            "back\\slash",
        ] {
            let key = location(&name, path, None).unwrap();
            assert_eq!(key.as_ref(), format!("{name}/{path}"));
        }
        assert_ne!(
            Path::from("#undo").as_ref(),
            "#undo",
            "`Path::from` no longer encodes, so `location` need not avoid it"
        );
    }

    #[test]
    fn names_without_a_valid_key_are_refused() {
        let name = BackupName::parse("b").unwrap();
        for path in [
            "", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\nb", "a\u{7f}",
        ] {
            assert!(location(&name, path, None).is_err(), "{path:?}");
        }
        assert!(location(&name, &"x".repeat(1022), None).is_ok());
        assert!(location(&name, &"x".repeat(1023), None).is_err());
        let schema = |len| format!("{}/{}", "x".repeat(len), object_name("t.ibd", 0));
        assert!(location(&name, &schema(252), Some(252)).is_ok());
        let error = location(&name, &schema(253), Some(252)).unwrap_err();
        assert!(error.to_string().contains("253 bytes"), "{error}");
        // a file's name is shortened if it is too long
        let table = object_name(&format!("db/{}", "x".repeat(255)), 7);
        assert_eq!(
            location(&name, &table, None).unwrap().as_ref(),
            format!("{name}/{table}")
        );
        let short = location(&name, &table, Some(252)).unwrap();
        let last = short.filename().unwrap();
        assert_eq!((last.len(), split_object_name(last).unwrap().1), (252, 7));
    }

    proptest! {
        #[test]
        fn any_name_splits_or_not_without_panic(text in any::<String>()) {
            if let Some((path, index)) = split_object_name(&text) {
                prop_assert_eq!(object_name(path, index), text);
            }
        }

        #[test]
        fn object_names_round_trip(path in "[^\\x00-\\x1f\\x7f]{1,40}", index in any::<u64>()) {
            let name = object_name(&path, index);
            prop_assert_eq!(split_object_name(&name), Some((path.as_str(), index)));
        }

        #[test]
        fn keys_keep_every_byte(path in any::<String>()) {
            let name = BackupName::parse("b-full").unwrap();
            if let Ok(key) = location(&name, &path, None) {
                prop_assert_eq!(key.as_ref(), format!("b-full/{path}"));
            }
        }
    }
}
