//! lsnap's own documents in a backup (manifest, summary, claim): JSON with a digest of itself,
//! stored as an ordinary file of the backup, so that `xbcloud get | xbstream -x` extracts it.
//!
//! ```text
//! {"digest":"blake3:<64 lower-case hex digits>",<the rest of the JSON object>
//! ```
//!
//! The digest is BLAKE3 of the document's bytes, with the 64 digits replaced by `0`. It covers
//! bytes instead of parsed fields, so that it also covers fields of a newer lsnap that this version
//! doesn't know. A manifest's MAC follows directly (see [`crate::manifest::mac`]). The object
//! consists of P chunks and one E chunk. When it is read, every chunk header is encoded again and
//! compared, so a flipped byte *anywhere* in the object is detected.

use super::digest::HEX;
use super::{BackupName, DIGEST_TAG, Finding, ManifestError, digest_text, mac};
use crate::counted::count;
use crate::xbstream;
use crate::xbstream::Chunk;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The manifest: a backup is finished when the object of this file is written, as the last one.
pub const MANIFEST: &str = "lsnap_manifest.json";
/// The summary: the manifest without its files.
pub(crate) const SUMMARY: &str = "lsnap_summary.json";
/// The first object of an upload: it claims the name of the backup.
pub const CLAIM: &str = "lsnap_upload.json";
/// Marks a backup whose deletion has begun. A backup with it and without a manifest can be deleted
/// completely.
pub(crate) const DELETING: &str = "lsnap_deleting.json";

/// Largest document that is read, in bytes.
pub(crate) const MAX_DOCUMENT: u64 = 1 << 30;
/// Largest object of a document that is read, in bytes: includes the headers of its chunks.
pub(crate) const MAX_OBJECT: u64 = MAX_DOCUMENT + (MAX_DOCUMENT >> 4);
/// Payload of one chunk, in bytes.
const CHUNK: usize = 8 << 20;
const HEAD: &str = "{\"digest\":\"";
/// Returns whether `path` is one of lsnap's documents. Backup code must not write files with these
/// paths.
#[must_use]
pub fn is_document(path: &str) -> bool {
    matches!(path, MANIFEST | SUMMARY | CLAIM | DELETING)
}

/// A document ready to be stored.
pub(crate) struct Sealed {
    /// The object's bytes.
    pub parts: Vec<Bytes>,
    /// The document's own digest.
    pub digest: String,
}

impl Sealed {
    /// Length of the object in bytes.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(|p| p.len() as u64).sum()
    }
}

/// Creates the object of the document `path`. `value` must serialise as a non-empty JSON object
/// without a field `digest`.
pub(crate) fn seal<T: Serialize>(
    name: &BackupName,
    path: &str,
    value: &T,
) -> Result<Sealed, ManifestError> {
    let refuse = |reason: String| ManifestError::Refused {
        name: name.clone(),
        reason: format!("{path}: {reason}"),
    };
    let (json, digest) = seal_json(value).map_err(&refuse)?;
    if json.len() as u64 > MAX_DOCUMENT {
        return Err(refuse(format!(
            "{}, at most {MAX_DOCUMENT} can be read back",
            count(json.len(), "byte")
        )));
    }
    let parts = wrap(path, &Bytes::from(json)).map_err(|e| refuse(e.to_string()))?;
    Ok(Sealed { parts, digest })
}

/// Creates an object with arbitrary JSON in place of the document `path`; returns its bytes and its
/// digest.
#[cfg(test)]
pub(crate) fn forge(path: &str, value: &serde_json::Value) -> (Vec<u8>, String) {
    let (json, digest) = seal_json(value).unwrap();
    (wrap(path, &Bytes::from(json)).unwrap().concat(), digest)
}

fn seal_json<T: Serialize>(value: &T) -> Result<(Vec<u8>, String), String> {
    let mut json = unsealed(value)?;
    let hash = blake3::hash(&json);
    json[DIGITS].copy_from_slice(hash.to_hex().as_bytes());
    Ok((json, digest_text(hash)))
}

/// The position of the digest's digits.
const DIGITS: std::ops::Range<usize> = {
    let start = HEAD.len() + DIGEST_TAG.len();
    start..start + HEX
};

/// Returns the document with zeros as the digits of its digest.
fn unsealed<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let body = serde_json::to_vec(value).map_err(|e| e.to_string())?;
    let [b'{', rest @ ..] = body.as_slice() else {
        return Err("not a JSON object".to_owned());
    };
    let mut json = Vec::with_capacity(body.len() + 100);
    json.extend_from_slice(HEAD.as_bytes());
    json.extend_from_slice(DIGEST_TAG.as_bytes());
    json.extend_from_slice(&[b'0'; HEX]);
    json.extend_from_slice(b"\",");
    json.extend_from_slice(rest);
    Ok(json)
}

/// Returns the hash of the document of `value`, with zeros as the digits of its digest and its MAC.
pub(crate) fn without_digits<T: Serialize>(value: &T) -> Result<[u8; 32], String> {
    hash_without_digits(&unsealed(value)?)
        .ok_or_else(|| "the MAC is not its first field".to_owned())
}

/// Returns the same hash of a document that was read and whose digest was checked; `None` if the
/// MAC is not directly after the digest.
pub(crate) fn hash_without_digits(json: &[u8]) -> Option<[u8; 32]> {
    let (head, rest) = json.split_at_checked(DIGITS.start)?;
    let (_, rest) = rest.split_at_checked(HEX)?;
    let tail = rest
        .strip_prefix(b"\",")?
        .strip_prefix(mac::FIELD.as_bytes())?;
    let between = &rest[..rest.len() - tail.len()];
    let (_, tail) = tail.split_at_checked(HEX)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(head).update(&[b'0'; HEX]).update(between);
    hasher.update(&[b'0'; HEX]).update(tail);
    Some(*hasher.finalize().as_bytes())
}

fn wrap(path: &str, json: &Bytes) -> Result<Vec<Bytes>, xbstream::XbstreamError> {
    let mut parts = Vec::new();
    let mut offset = 0;
    while offset < json.len() {
        let data = json.slice(offset..json.len().min(offset + CHUNK));
        let crc = xbstream::crc(&data);
        parts.push(xbstream::payload_head(
            path,
            offset as u64,
            data.len() as u64,
            crc,
        )?);
        offset += data.len();
        parts.push(data);
    }
    parts.push(xbstream::end_chunk(path)?);
    Ok(parts)
}

/// Opens a document's object: returns its JSON text, whose digest was checked, and the digest. The
/// error holds what was found and what was expected.
pub(crate) fn open(path: &str, object: &Bytes) -> Result<(Bytes, String), Finding> {
    if object.len() as u64 > MAX_OBJECT {
        return Err(format!(
            "{}, at most {MAX_DOCUMENT} are read",
            count(object.len(), "byte")
        )
        .into());
    }
    let json = unwrap(path, object)?;
    let digest = check_digest(&json)?;
    Ok((json, digest))
}

/// Parses a document that [`open`] has checked.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Finding> {
    serde_json::from_slice(json).map_err(|e| format!("its JSON is not as expected: {e}").into())
}

fn unwrap(path: &str, object: &Bytes) -> Result<Bytes, Finding> {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut offset = 0u64;
    let mut rest = object.as_ref();
    let mut ended = false;
    for chunk in xbstream::chunks(object.clone()) {
        let chunk = chunk.map_err(|e| e.to_string())?;
        if ended {
            return Err("bytes follow the end chunk".into());
        }
        match chunk {
            Chunk::Payload { data, .. } => {
                // Encoding the header again also compares header bytes that the reader tolerates
                // (flags).
                let head =
                    xbstream::payload_head(path, offset, data.len() as u64, xbstream::crc(&data));
                rest = strip(rest, &head.map_err(|e| e.to_string())?, path, offset)?;
                rest = rest
                    .get(data.len()..)
                    .ok_or("a chunk is longer than the object")?;
                offset += data.len() as u64;
                pieces.push(data);
            }
            Chunk::End { .. } => {
                let head = xbstream::end_chunk(path).map_err(|e| e.to_string())?;
                rest = strip(rest, &head, path, offset)?;
                ended = true;
            }
            other => return Err(format!("unexpected chunk {other:?}").into()),
        }
    }
    if !ended || !rest.is_empty() {
        return Err(format!(
            "no end chunk after {offset}: it is cut off",
            offset = count(offset, "byte")
        )
        .into());
    }
    match pieces.len() {
        1 => Ok(pieces.swap_remove(0)),
        _ => Ok(Bytes::from(pieces.concat())),
    }
}

fn strip<'a>(rest: &'a [u8], head: &[u8], path: &str, offset: u64) -> Result<&'a [u8], Finding> {
    rest.strip_prefix(head).ok_or_else(|| {
        format!("the chunk header for byte {offset} is not the one that was written for {path}")
            .into()
    })
}

pub(super) fn check_digest(json: &[u8]) -> Result<String, Finding> {
    let not_ours = || format!("it does not begin with {HEAD}{DIGEST_TAG}<{HEX} digits>");
    let start = HEAD.len() + DIGEST_TAG.len();
    let (head, tail) = json.split_at_checked(start).ok_or_else(not_ours)?;
    let (digits, rest) = tail.split_at_checked(HEX).ok_or_else(not_ours)?;
    if !head.starts_with(HEAD.as_bytes())
        || !head.ends_with(DIGEST_TAG.as_bytes())
        || !rest.starts_with(b"\",")
    {
        return Err(not_ours().into());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(head).update(&[b'0'; HEX]).update(rest);
    let hash = hasher.finalize();
    if hash.to_hex().as_bytes() != digits {
        return Err(Finding::new(
            format!("digest found {}", digest_text(hash)),
            format!(
                "{DIGEST_TAG}{}",
                String::from_utf8_lossy(digits).escape_debug()
            ),
        ));
    }
    Ok(digest_text(hash))
}

#[cfg(test)]
mod tests {
    use crate::manifest::document::*;
    use proptest::prelude::*;

    fn object(value: &serde_json::Value) -> Bytes {
        let name = BackupName::parse("b").unwrap();
        Bytes::from(seal(&name, MANIFEST, value).unwrap().parts.concat())
    }

    fn sample() -> serde_json::Value {
        serde_json::json!({"format": 1, "id": "x", "later": {"a": [1, 2, null]}})
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let good = object(&sample());
        let (json, digest) = open(MANIFEST, &good).unwrap();
        let back: serde_json::Value = parse(&json).unwrap();
        assert_eq!(back["digest"], digest.as_str());
        assert_eq!(back["later"], sample()["later"]);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.to_vec();
                bad[at] ^= 1 << bit;
                assert!(open(MANIFEST, &bad.into()).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn every_cut_and_every_tail_is_refused() {
        let good = object(&sample());
        for len in 0..good.len() {
            assert!(open(MANIFEST, &good.slice(..len)).is_err(), "cut at {len}");
        }
        let twice = Bytes::from([good.as_ref(), good.as_ref()].concat());
        assert!(open(MANIFEST, &twice).is_err());
        assert!(open(SUMMARY, &good).is_err(), "another document's object");
    }

    #[test]
    fn a_forged_crc_does_not_help() {
        let name = BackupName::parse("b").unwrap();
        let sealed = seal(&name, MANIFEST, &sample()).unwrap();
        let json = String::from_utf8(sealed.parts[1].to_vec())
            .unwrap()
            .replace("\"x\"", "\"y\"");
        let parts = wrap(MANIFEST, &Bytes::from(json)).unwrap();
        let error = open(MANIFEST, &Bytes::from(parts.concat())).unwrap_err();
        assert!(error.found.contains("digest found"), "{error}");
    }

    #[test]
    fn several_chunks_are_one_document() {
        let long = serde_json::json!({"a": "x".repeat(2 * CHUNK + 5)});
        let name = BackupName::parse("b").unwrap();
        let sealed = seal(&name, MANIFEST, &long).unwrap();
        assert_eq!(sealed.parts.len(), 3 * 2 + 1);
        let (json, _) = open(MANIFEST, &Bytes::from(sealed.parts.concat())).unwrap();
        assert_eq!(parse::<serde_json::Value>(&json).unwrap()["a"], long["a"]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(MANIFEST, &Bytes::from(bytes.clone())).is_err());
            prop_assert!(check_digest(&bytes).is_err());
        }

        #[test]
        fn mutations_are_refused(at in any::<prop::sample::Index>(), insert in proptest::collection::vec(any::<u8>(), 0..20), drop in 0usize..20) {
            let good = object(&sample());
            let at = at.index(good.len());
            let mut bad = good[..at].to_vec();
            bad.extend(&insert);
            bad.extend(&good[(at + drop).min(good.len())..]);
            if bad != good {
                prop_assert!(open(MANIFEST, &Bytes::from(bad)).is_err());
            }
        }
    }
}
