//! Checks of the paths in a manifest: a backup must not be able to write outside of the target.
//!
//! A stored path is relative, with `/` as the separator. MySQL writes every character except for
//! letters, digits and a few symbols as `@xxxx`, so control characters and backslashes don't occur
//! in the paths of a server.

use crate::manifest::{PathFault, path_fault};
use crate::reader::error::ReadError;
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// Directories that the redo applier creates; no file of a manifest may be in them.
const RESERVED: [&str; 4] = [
    "#innodb_redo",
    "#innodb_temp",
    ".lsnap-prepare",
    ".lsnap-restoring",
];

/// Longest path that is accepted, in bytes (the limit is 512 in the stream format, 4096 in Linux).
const LONGEST: usize = 512;

const CONTROL: &str = "with a NUL or another control character";

/// Returns what is wrong with a path; `None` if nothing is.
fn fault(path: &str) -> Option<&'static str> {
    let fault = path_fault(path).map(|fault| match fault {
        PathFault::Empty => "an empty path",
        PathFault::Absolute => "an absolute path",
        PathFault::Climbs => "with a `..` component",
        PathFault::Component => "with an empty or `.` component",
        PathFault::Control => CONTROL,
    });
    if fault.is_some() {
        return fault;
    }
    if path.len() >= LONGEST {
        return Some("longer than 511 bytes");
    }
    if path.contains('\\') {
        return Some("with a backslash");
    }
    if path.chars().any(char::is_control) {
        return Some(CONTROL);
    }
    // The platform must split the path into the same components.
    if !Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return Some("which is not a plain relative path");
    }
    let first = path.split('/').next().unwrap_or(path);
    if RESERVED.contains(&first) {
        return Some("in a directory that the restore creates itself");
    }
    None
}

/// Checks that a path is a plain relative one.
pub(crate) fn check(backup: &str, path: &str) -> Result<(), ReadError> {
    fault(path).map_or(Ok(()), |why| {
        Err(ReadError::Path {
            backup: backup.to_owned(),
            path: path.to_owned(),
            why,
        })
    })
}

/// The paths of a restored directory: all are different, and none is a directory of another.
#[derive(Debug, Default)]
pub(crate) struct PathSet {
    /// `true` for a file, `false` for a directory that contains one.
    seen: BTreeMap<String, bool>,
}

impl PathSet {
    /// Checks and adds the path of a file.
    pub(crate) fn add(&mut self, backup: &str, path: &str) -> Result<(), ReadError> {
        check(backup, path)?;
        let refuse = |why| ReadError::Path {
            backup: backup.to_owned(),
            path: path.to_owned(),
            why,
        };
        match self.seen.insert(path.to_owned(), true) {
            Some(true) => return Err(refuse("twice")),
            Some(false) => return Err(refuse("which is also a directory of another file")),
            None => {}
        }
        for (end, _) in path.match_indices('/') {
            if self.seen.insert(path[..end].to_owned(), false) == Some(true) {
                return Err(refuse("below a path which is also a file"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::reader::paths::*;
    use proptest::prelude::*;

    #[test]
    fn paths_of_a_server_pass() {
        for path in [
            "ibdata1",
            "db/t.ibd",
            "db/t#p#p0.ibd",
            "d@002d1/t@0020x.ibd",
            "undo_001",
            "a..b/c",
        ] {
            assert!(check("b", path).is_ok(), "{path}");
        }
    }

    #[test]
    fn traversal_is_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "db/../../x",
            "db/..",
            "..",
            ".",
            "./x",
            "db//t",
            "db/",
            "a\0b",
            "..\\x",
            "db\\..\\x",
            "a\nb",
            "#innodb_redo/#ib_redo0",
            ".lsnap-restoring/x",
        ] {
            let error = check("b", path).unwrap_err();
            assert!(matches!(error, ReadError::Path { .. }), "{path}");
        }
        assert!(check("b", &"x".repeat(512)).is_err());
    }

    #[test]
    fn duplicates_and_files_as_directories_are_refused() {
        let mut set = PathSet::default();
        set.add("b", "db/t.ibd").unwrap();
        set.add("b", "db/u.ibd").unwrap();
        assert!(set.add("b", "db/t.ibd").is_err());
        assert!(set.add("b", "db").is_err());
        assert!(set.add("b", "db/u.ibd/x").is_err());
    }

    proptest! {
        /// A path that passes stays below the directory that it is joined to.
        #[test]
        fn accepted_paths_stay_below_the_directory(path in "[a-c./\\\\\u{0}#]{0,12}") {
            if check("b", &path).is_ok() {
                let joined = Path::new("/root").join(&path);
                prop_assert!(joined.starts_with("/root"));
                prop_assert!(!joined.components().any(|part| part == Component::ParentDir));
                prop_assert!(joined != Path::new("/root"));
            }
        }
    }
}
