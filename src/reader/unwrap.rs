//! Decryption and decompression of stored files, and the checks whether they are possible.
//!
//! Each object of a wrapped file consists of whole frames in whole xbcrypt chunks, so objects can
//! be unwrapped separately and concurrently. The manifest has the length of the result: no more
//! bytes are produced.

use crate::codec;
use crate::codec::xbcrypt::Key;
use crate::codec::{CodecError, Format, xbcrypt};
use crate::counted::count;
use crate::manifest::{
    Authenticity, CompressionFormat, EncryptionAlgorithm, Finding, Manifest, Wrapping,
};
use crate::reader::error::ReadError;
use crate::reader::stored::Stored;
use bytes::Bytes;

/// The key of backups, and the extent to which they must be authenticated.
#[derive(Clone, Copy, Default)]
pub(crate) struct Opening<'a> {
    /// The key of encrypted members.
    pub(crate) key: Option<&'a Key>,
    /// Accept members that the key doesn't authenticate: plain ones, and those whose MAC has the
    /// first form.
    pub(crate) unauthenticated: bool,
}

/// Checks, before anything is fetched, that every member can be read, and that every manifest was
/// written with the key. If a key is given, or one member is encrypted, every member must be
/// authenticated: an attacker with access to the store could replace an encrypted backup by a plain
/// one, so the claim of a manifest that it is plain proves nothing. Returns warnings for members
/// that were accepted without proof.
///
/// # Errors
/// [`ReadError::Key`], or [`ReadError::Damaged`] for a manifest that is invalid.
pub(crate) fn check(chain: &[Manifest], opening: Opening<'_>) -> Result<Vec<String>, ReadError> {
    let mut warnings = Vec::new();
    for member in chain {
        formats(member)?;
        let checked = match opening.key {
            None => without_key(member),
            Some(key) => algorithms(member, key).and_then(|()| with_key(member, key, opening)),
        };
        let warning = checked.map_err(|why| ReadError::Key {
            backup: member.name.to_string(),
            why,
        })?;
        warnings.extend(warning.map(|text| format!("{}: {text}", member.name)));
    }
    Ok(warnings)
}

/// Checks a member without the key: how its files are wrapped, and that its manifest has a MAC if
/// it, or the member `before` it, is encrypted. Whether the MAC is right can't be checked without
/// the key.
///
/// # Errors
/// [`ReadError::Key`], or [`ReadError::Damaged`] for a manifest that is invalid.
pub(crate) fn check_without_key(
    before: Option<&Manifest>,
    member: &Manifest,
) -> Result<(), ReadError> {
    formats(member)?;
    let encrypted = member.is_encrypted();
    let why = match (&member.mac, before) {
        (None, _) if encrypted => STRIPPED.to_owned(),
        (Some(mac), _) if !mac.is_well_formed() => {
            "the MAC of its manifest does not have a form that lsnap writes: the manifest was changed without \
             the key"
                .to_owned()
        }
        (_, Some(before)) if before.is_encrypted() && !encrypted => format!(
            "it is not encrypted, but its base {} is: nothing proves that it was made with the key",
            before.name
        ),
        (_, Some(before)) if encrypted && !before.is_encrypted() => format!(
            "it is encrypted, but its base {} is not: nothing proves that the base was made with the key",
            before.name
        ),
        _ => return Ok(()),
    };
    Err(ReadError::Key {
        backup: member.name.to_string(),
        why,
    })
}

/// The reason why a manifest without a MAC is refused.
const STRIPPED: &str =
    "its files are encrypted, but its manifest has no MAC: it was changed without the key";

fn formats(member: &Manifest) -> Result<(), ReadError> {
    for file in &member.files {
        let Some(wrapping) = &file.wrapping else {
            continue;
        };
        format(wrapping).map_err(|what| ReadError::damaged(&member.name, &file.path, what))?;
    }
    Ok(())
}

fn without_key(member: &Manifest) -> Result<Option<String>, String> {
    if !member.is_encrypted() {
        return Ok(None);
    }
    Err(format!(
        "it is encrypted{}: set RestoreOptions::key to its key",
        member
            .encryption()
            .map_or(String::new(), |name| format!(" with {name}"))
    ))
}

fn algorithms(member: &Manifest, key: &Key) -> Result<(), String> {
    if !key.is_named() {
        return Ok(());
    }
    let wrappings = member.files.iter().filter_map(|f| f.wrapping.as_ref());
    let mut algorithms = wrappings.filter_map(|w| w.encryption.as_ref());
    let named = EncryptionAlgorithm::from(key.algorithm());
    match algorithms.find(|algorithm| **algorithm != named) {
        None => Ok(()),
        Some(other) => Err(format!(
            "it is encrypted with {other}, the key given is for {named}: set RestoreOptions::key to a key for {other}"
        )),
    }
}

/// Returns the reason why a member is refused, or a warning for one that is accepted.
fn with_key(member: &Manifest, key: &Key, opening: Opening<'_>) -> Result<Option<String>, String> {
    let (refusal, accepted) = match member.authenticity(&key.mac_keys()) {
        Authenticity::Proven => return Ok(None),
        Authenticity::Wrong => {
            return Err(
                "the key does not fit the MAC of its manifest: it is another key, or the manifest was changed \
                 without the key"
                    .to_owned(),
            );
        }
        Authenticity::Stripped => {
            return Err(STRIPPED.to_owned());
        }
        Authenticity::Plain => (
            "a key was given, but it is not encrypted and its manifest has no MAC: anyone with write access to the \
             repository can have put it in place of an encrypted one. If it is known to be a plain backup, \
             restore without the key; in a chain with encrypted members",
            "it is not encrypted; its creator is unknown",
        ),
        Authenticity::FirstForm => (
            "its MAC has the form of the first versions, which leaves some fields of the manifest unprotected: \
             anyone with write access to the repository can have changed those. If that is excluded",
            "its MAC has the form of the first versions and does not cover the whole manifest; consolidate the chain \
             or take a new full backup to get one that does",
        ),
    };
    if opening.unauthenticated {
        return Ok(Some(accepted.to_owned()));
    }
    Err(format!(
        "{refusal}, set RestoreOptions::accept_unauthenticated"
    ))
}

fn format(wrapping: &Wrapping) -> Result<Option<Format>, Finding> {
    match &wrapping.compression {
        None => Ok(None),
        Some(CompressionFormat::Zstd) => Ok(Some(Format::Zstd)),
        Some(CompressionFormat::Lz4) => Ok(Some(Format::Lz4)),
        Some(other) => Err(Finding::new(
            format!("it is compressed with {:?}", other.as_str()),
            "zstd or lz4: it was written by a newer version",
        )),
    }
}

/// Unwraps one object; its plain bytes must be `length` bytes long.
///
/// # Errors
/// [`ReadError::Damaged`], [`ReadError::Key`].
pub(crate) fn unwrap(
    stored: Stored<'_>,
    index: usize,
    data: Bytes,
    length: u64,
    key: Option<&Key>,
) -> Result<Bytes, ReadError> {
    let Some(wrapping) = &stored.entry.wrapping else {
        return Ok(data);
    };
    let failed = |error: CodecError| match error {
        CodecError::WrongKey { .. } => ReadError::Key {
            backup: stored.manifest.name.to_string(),
            why: format!("{} object {index}: {error}", stored.entry.path),
        },
        error => stored
            .damaged(format!("object {index}: {error}"))
            .because(error),
    };
    // Compressed bytes are at most slightly longer than plain ones.
    let most = usize::try_from(length).unwrap_or(usize::MAX);
    let mut data = data;
    if wrapping.encryption.is_some() {
        let key = key.ok_or_else(|| ReadError::Key {
            backup: stored.manifest.name.to_string(),
            why: "it is encrypted and no key was given".to_owned(),
        })?;
        let most = data.len();
        data = Bytes::from(xbcrypt::decrypt(key, &data, most).map_err(failed)?);
    }
    if let Some(format) = format(wrapping).map_err(|what| stored.damaged(what))? {
        data = Bytes::from(codec::decompress(format, &data, most).map_err(failed)?);
    }
    if data.len() as u64 != length {
        return Err(stored.damaged(Finding::new(
            format!("object {index} unwraps to {}", count(data.len(), "byte")),
            length,
        )));
    }
    Ok(data)
}
