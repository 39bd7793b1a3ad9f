//! Keys of objects: `<backup>/<path>.<20 digits>` (spec 8.2), byte for byte as xbcloud has them.

use super::{BackupName, StoreError};
use object_store::path::Path;

/// Digits of an object's index.
const DIGITS: usize = 20;

/// The key of object `index` of the file `path`.
///
/// # Errors
/// A path that the store can't hold as it is.
pub(super) fn object(name: &BackupName, path: &str, index: u64) -> Result<Path, StoreError> {
    let text = format!("{name}/{path}.{index:020}");
    // `parse`, not `from`: names with `%`, `#` or `~` must arrive as they are, not escaped.
    let key = Path::parse(&text);
    match key {
        Ok(key) if key.as_ref() == text => Ok(key),
        Ok(_) => Err(bad(
            text,
            "it would be stored under another name".to_owned(),
        )),
        Err(why) => Err(bad(text, why.to_string())),
    }
}

fn bad(object: String, reason: String) -> StoreError {
    StoreError::Failed {
        action: "name the object",
        object,
        reason,
    }
}

/// What a key within a repository says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    pub name: BackupName,
    pub path: &'a str,
    pub index: u64,
}

/// Reads a key; `None` for what is no object of a backup.
pub(super) fn parse(key: &str) -> Option<Parsed<'_>> {
    let (first, rest) = key.split_once('/')?;
    let (name, rest) = if first.ends_with(".incr") {
        let (second, rest) = rest.split_once('/')?;
        (&key[..first.len() + 1 + second.len()], rest)
    } else {
        (first, rest)
    };
    let dot = rest.len().checked_sub(DIGITS + 1)?;
    let (path, index) = (rest.get(..dot)?, rest.get(dot + 1..)?);
    let digits = rest.as_bytes()[dot] == b'.' && index.bytes().all(|b| b.is_ascii_digit());
    if !digits || path.is_empty() {
        return None;
    }
    Some(Parsed {
        name: BackupName::parse(name).ok()?,
        path,
        index: index.parse().ok()?,
    })
}
