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

/// What is wrong with a path within a backup.
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

/// Says what keeps a path from being a plain relative one, if anything.
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
/// [`ManifestError::BadPath`]: empty, absolute, with empty, `.` or `..` segments or ASCII control
/// characters.
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
