//! Names of backups (they become names of log files) and destinations (paths without the bucket).

/// The longest name, in bytes.
const MAX_NAME: usize = 253;
/// The longest key of an object in S3, in bytes, without the part after the destination.
const MAX_DESTINATION: usize = 700;

/// Returns whether it is a subdomain of RFC 1123, as Kubernetes checks names of resources.
pub(super) fn is_name(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
            && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
    };
    text.len() <= MAX_NAME && text.split('.').all(is_label)
}

/// Checks a destination: it must be a path below the bucket, and no option and no URI of another bucket.
///
/// # Errors
/// The reason, without the path.
pub(super) fn check_destination(text: &str) -> Result<(), &'static str> {
    let is_bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if text.is_empty() {
        Err("it is empty")
    } else if text.len() > MAX_DESTINATION {
        Err("it is longer than 700 bytes")
    } else if text.contains("://") {
        Err("it is a URI; expected a path without the bucket")
    } else if text.chars().any(char::is_control) || text.contains('\\') {
        Err("it has a control character or a backslash")
    } else if text.split('/').any(is_bad) {
        Err("it has an empty component, '.' or '..'")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_subdomains() {
        let long = "a".repeat(253);
        for good in ["a", "cron-c1-20261201", "1.2", "a-b.c-d", long.as_str()] {
            assert!(is_name(good), "{good}");
        }
        let longer = "a".repeat(254);
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "a.-b",
            "A",
            "a_b",
            "a b",
            "a/b",
            "../a",
            "/etc/passwd",
            "a\\b",
            "a\0",
            "ä",
            "a\n",
            longer.as_str(),
        ] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn destinations_are_paths_below_the_bucket() {
        for good in [
            "c1-2026-11-30-10:00:00-full",
            "backups/prod/c1-2026-11-30-10:00:00-full.incr/c1-2026-11-30-11:00:00-incr",
            "--s3-bucket=other",
        ] {
            assert_eq!(check_destination(good), Ok(()), "{good}");
        }
        let long = "a".repeat(701);
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            "s3://other/a",
            "a\nb",
            "a\0",
            "a\\b",
            long.as_str(),
        ] {
            assert!(check_destination(bad).is_err(), "{bad:?}");
        }
    }
}
