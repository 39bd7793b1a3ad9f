//! Putting one object of an upload.

use crate::manifest::{Digest, ObjectEntry};
use crate::store::backend::runtime::compute;
use crate::store::error::StoreError;
use crate::store::objects::single::{create, exists};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, PutPayload};

pub(in crate::store) enum Outcome {
    Stored(ObjectEntry),
    /// Certainly not stored by this upload.
    Refused(StoreError),
    /// The request failed, and the object may exist: its name and digest.
    Unsure(String, String, StoreError),
    /// The task died.
    Lost,
}

pub(super) async fn put_object(
    store: &dyn ObjectStore,
    location: &Path,
    object: String,
    (index, offset): (u64, u64),
    parts: Vec<Bytes>,
) -> Outcome {
    let hashing = parts.clone();
    let hashed = compute("digest", move || {
        let mut hasher = blake3::Hasher::new();
        for part in &hashing {
            hasher.update(part);
        }
        (hasher.count(), Digest::from(hasher.finalize()))
    });
    let (bytes, digest) = match hashed.await {
        Ok(hashed) => hashed,
        Err(error) => return Outcome::Refused(error),
    };
    match create(store, location, PutPayload::from_iter(pieces(parts))).await {
        Ok(()) => Outcome::Stored(ObjectEntry {
            at: None,
            index,
            offset,
            bytes,
            digest: Some(digest),
            pack: None,
        }),
        Err(error) if exists(&error) => Outcome::Refused(StoreError::ObjectExists {
            key: location.to_string(),
        }),
        Err(error) => Outcome::Unsure(
            object,
            digest.to_string(),
            StoreError::backend("putting", location.to_string(), error),
        ),
    }
}

/// Splits the bytes into parts of at most 1 MiB without copying. A local store writes each part
/// with one call, and large writes are slower on Linux than small ones (see `restore::sparse`).
fn pieces(parts: Vec<Bytes>) -> impl Iterator<Item = Bytes> {
    const PIECE: usize = 1 << 20;
    parts.into_iter().flat_map(|part| {
        let starts = (0..part.len()).step_by(PIECE);
        starts.map(move |at| part.slice(at..part.len().min(at + PIECE)))
    })
}
