//! Checks of file names from a backup that are used in a command line, or in a file that a server
//! acts on.

/// Longest name of a file on Linux, in bytes.
const LONGEST: usize = 255;

/// Returns what is wrong with a name that must be a plain file name; `None` if nothing is.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("an empty name"),
        "." | ".." => Some("the name of a directory"),
        _ if name.contains(['/', '\\']) => Some("a path, expected a bare name"),
        _ if name.chars().any(char::is_control) => Some("a name with a control character"),
        _ if name.len() > LONGEST => Some("a name of more than 255 bytes"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_names_pass() {
        for good in ["binlog.000001", "ibdata1", "-x", "a b", "ü", "..a"] {
            assert_eq!(fault(good), None, "{good}");
        }
        let long = "x".repeat(256);
        for bad in [
            "", ".", "..", "a/b", "/a", "../a", "a\\b", "a\nb", "a\0", &long,
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
