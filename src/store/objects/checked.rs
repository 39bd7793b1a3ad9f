//! Reads objects and checks them against their entries in the manifest.

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::manifest::{Digest, Finding, ObjectEntry};
use crate::store::backend::runtime::compute;
use crate::store::error::StoreError;
use crate::store::objects::single::{Got, get};

/// Reads the object at `location` and checks that it is the one that `entry` describes.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Damaged`], or an error of the store.
pub(in crate::store) async fn get_checked(
    store: &dyn ObjectStore,
    location: &Path,
    entry: &ObjectEntry,
) -> Result<Bytes, StoreError> {
    let (key, expected) = (location.to_string(), entry.bytes);
    let bytes = match get(store, location, Some(expected), |n| n == expected).await? {
        Got::Bytes(bytes) => Some(bytes),
        Got::Nothing => None,
        Got::Length(found) => return Err(wrong_length(&key, found, expected)),
    };
    let entry = entry.clone();
    compute("digest", move || check(&key, &entry, bytes)).await?
}

/// Returns `bytes` if they are those of `entry`. `None` means that the object doesn't exist.
/// `named` is the name in errors.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Damaged`].
pub(in crate::store) fn check(
    named: &str,
    entry: &ObjectEntry,
    bytes: Option<Bytes>,
) -> Result<Bytes, StoreError> {
    let bytes = bytes.ok_or_else(|| StoreError::Missing {
        object: named.to_owned(),
        bytes: entry.bytes,
    })?;
    if bytes.len() as u64 != entry.bytes {
        return Err(wrong_length(named, bytes.len() as u64, entry.bytes));
    }
    let found = Digest::of(&bytes);
    if Some(found) != entry.digest {
        return Err(StoreError::Damaged {
            object: named.to_owned(),
            what: Finding::new(format!("digest found {found}"), entry.digest_text()),
        });
    }
    Ok(bytes)
}

fn wrong_length(named: &str, found: u64, expected: u64) -> StoreError {
    StoreError::Damaged {
        object: named.to_owned(),
        what: Finding::new(format!("length found {found}"), expected),
    }
}
