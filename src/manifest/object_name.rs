//! Names of objects in a backup: `<path>.<20 digits>`, and the paths that may be stored.

use super::ManifestError;

/// Number of digits of an index.
pub(crate) const INDEX_DIGITS: usize = 20;

/// Returns the part of an object's key after the backup's name: `<path>.<20 digits>`.
#[must_use]
pub fn object_name(path: &str, index: u64) -> String {
    format!("{path}.{index:0width$}", width = INDEX_DIGITS)
}

/// Splits `<path>.<20 digits>`; returns `None` for other names and for numbers that exceed `u64`.
#[must_use]
pub fn split_object_name(name: &str) -> Option<(&str, u64)> {
    let at = name.len().checked_sub(INDEX_DIGITS + 1)?;
    // `get`, because `at` may be within a character.
    let (path, tail) = (name.get(..at)?, name.get(at..)?);
    let digits = tail.strip_prefix('.')?;
    if path.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((path, digits.parse().ok()?))
}

/// The rule that a path within a backup violates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathFault {
    Empty,
    Absolute,
    /// A `..` component.
    Climbs,
    /// An empty or `.` component.
    Component,
    /// An ASCII control character.
    Control,
}

/// Returns the rule that a path violates; `None` if it is a plain relative path.
pub(crate) fn path_fault(path: &str) -> Option<PathFault> {
    let has = |part: fn(&str) -> bool| path.split('/').any(part);
    if path.is_empty() {
        Some(PathFault::Empty)
    } else if path.starts_with('/') {
        Some(PathFault::Absolute)
    } else if has(|part| part == "..") {
        Some(PathFault::Climbs)
    } else if has(|part| matches!(part, "" | ".")) {
        Some(PathFault::Component)
    } else if path.chars().any(|c| c.is_ascii_control()) {
        Some(PathFault::Control)
    } else {
        None
    }
}

/// Checks a path within a backup.
///
/// # Errors
/// [`ManifestError::BadPath`] if it is empty or absolute, or has an empty, `.` or `..` component or
/// an ASCII control character.
pub fn check_path(path: &str) -> Result<(), ManifestError> {
    let reason = match path_fault(path) {
        None => return Ok(()),
        Some(PathFault::Empty) => "it is empty",
        Some(PathFault::Absolute) => "it is absolute",
        Some(PathFault::Climbs | PathFault::Component) => "it has an empty, `.` or `..` component",
        Some(PathFault::Control) => "it holds control characters",
    };
    Err(ManifestError::bad_path(path, reason.to_owned()))
}
