//! Access to single objects by location.

use crate::store::backend::local_read;
use crate::store::backend::paced::Expected;
use crate::store::error::StoreError;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload};

/// Reads a whole object if `wanted` accepts its length in bytes, which is checked first. `expected`
/// is the length, or the largest possible length, if the caller knows it.
pub(in crate::store) async fn get(
    store: &dyn ObjectStore,
    location: &Path,
    expected: Option<u64>,
    wanted: impl Fn(u64) -> bool + Send,
) -> Result<Got, StoreError> {
    let failed = |e| StoreError::backend("reading", location.to_string(), e);
    let mut options = GetOptions::default();
    if let Some(expected) = expected {
        options.extensions.insert(Expected(expected));
    }
    let result = match store.get_opts(location, options).await {
        Ok(result) => result,
        Err(object_store::Error::NotFound { .. }) => return Ok(Got::Nothing),
        Err(error) => return Err(failed(error)),
    };
    if !wanted(result.meta.size) {
        return Ok(Got::Length(result.meta.size));
    }
    let bytes = local_read::collect(result).await.map_err(failed)?;
    Ok(match bytes.len() as u64 {
        found if wanted(found) => Got::Bytes(bytes),
        found => Got::Length(found),
    })
}

/// The result of reading a key.
pub(in crate::store) enum Got {
    Bytes(Bytes),
    /// There is no such object.
    Nothing,
    /// The length of an object that was not wanted. Its bytes were not kept.
    Length(u64),
}

/// Returns whether a create was refused because the object exists.
pub(in crate::store) const fn exists(error: &Error) -> bool {
    matches!(
        error,
        Error::AlreadyExists { .. } | Error::Precondition { .. }
    )
}

/// Puts an object under an unused key.
///
/// # Errors
/// An error of the store. [`exists`] recognises the error of an existing object.
pub(in crate::store) async fn create(
    store: &dyn ObjectStore,
    at: &Path,
    payload: PutPayload,
) -> Result<(), Error> {
    let options = PutOptions {
        mode: PutMode::Create,
        ..PutOptions::default()
    };
    store.put_opts(at, payload, options).await.map(drop)
}
