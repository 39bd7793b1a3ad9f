//! The file [`MANIFEST`]: its chunks at the end of a stream, and its text in an extracted one.

use super::document::{MAX_DOCUMENT, check_digest, parse, seal};
use super::{Finding, MANIFEST, Manifest, ManifestError};
use crate::counted::count;
use bytes::Bytes;

/// Returns the chunks of the file [`MANIFEST`], which end a backup that is one stream.
///
/// # Errors
/// [`ManifestError::Refused`] if the manifest contradicts itself.
pub fn manifest_chunks(manifest: &Manifest) -> Result<Vec<Bytes>, ManifestError> {
    manifest.check().map_err(|what| ManifestError::Refused {
        name: manifest.name.clone(),
        reason: what.to_string(),
    })?;
    Ok(seal(&manifest.name, MANIFEST, manifest)?.parts)
}

/// Parses the text of the file [`MANIFEST`] of an extracted stream.
///
/// # Errors
/// The found and the expected value.
pub fn parse_manifest(text: &[u8]) -> Result<Manifest, Finding> {
    if text.len() as u64 > MAX_DOCUMENT {
        return Err(format!(
            "{}, at most {MAX_DOCUMENT} are read",
            count(text.len(), "byte")
        )
        .into());
    }
    let digest = check_digest(text)?;
    let mut manifest: Manifest = parse(text)?;
    manifest.digest = digest;
    manifest.read_from(text);
    manifest.check()?;
    Ok(manifest)
}
