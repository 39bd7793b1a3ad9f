//! Names of objects in a backup: `<path>.<20 digits>`, and the paths that may be stored.

use super::ManifestError;

/// Digits of an index.
pub(crate) const INDEX_DIGITS: usize = 20;

/// The part of an object's key after the backup's name: `<path>.<20 digits>`.
#[must_use]
pub fn object_name(path: &str, index: u64) -> String {
    format!("{path}.{index:0width$}", width = INDEX_DIGITS)
}

/// Splits `<path>.<20 digits>`; `None` for anything else (also for digits beyond `u64`).
#[must_use]
pub fn split_object_name(name: &str) -> Option<(&str, u64)> {
    let at = name.len().checked_sub(INDEX_DIGITS + 1)?;
    // `get`: `at` may lie within a character
    let (path, tail) = (name.get(..at)?, name.get(at..)?);
    let digits = tail.strip_prefix('.')?;
    if path.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((path, digits.parse().ok()?))
}

/// Checks a path within a backup.
///
/// # Errors
/// [`ManifestError::BadPath`]: empty, absolute, with empty, `.` or `..` segments or ASCII control
/// characters.
pub fn check_path(path: &str) -> Result<(), ManifestError> {
    let reason = if path.is_empty() {
        "it is empty"
    } else if path.starts_with('/') {
        "it is absolute"
    } else if path.split('/').any(|s| matches!(s, "" | "." | "..")) {
        "it has an empty, `.` or `..` component"
    } else if path.chars().any(|c| c.is_ascii_control()) {
        "it holds control characters"
    } else {
        return Ok(());
    };
    Err(ManifestError::bad_path(path, reason.to_owned()))
}
