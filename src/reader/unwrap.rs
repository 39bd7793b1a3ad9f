//! What lies around a stored file's bytes: whether it can be taken off, and taking it off.
//!
//! Each object of a wrapped file is whole frames inside of whole xbcrypt chunks, so it unwraps alone
//! and beside others. The manifest says how long the result must be: nothing longer is made of it.

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

/// What opens backups, and how much must be proven of them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Opening<'a> {
    /// What encrypted members are decrypted with.
    pub(crate) key: Option<&'a Key>,
    /// Take members that the key proves nothing of: plain ones, and those whose MAC has the first form.
    pub(crate) unauthenticated: bool,
}

/// Checks, before anything is fetched, that every member can be read, and that a holder of the key wrote
/// every manifest: as soon as a key is given, or one member is encrypted, each member must be. A store can
/// exchange an encrypted backup for a plain one, so the manifest's own word that it is plain counts for nothing.
/// Gives the warnings for what was accepted nevertheless.
///
/// # Errors
/// [`ReadError::Key`], or [`ReadError::Damaged`] for a manifest that can't be true.
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

/// Checks what can be seen of a member without the key: how its files are wrapped, and that its manifest has a
/// MAC if it, or the member `before` it, is encrypted. Whether the MAC is right, only the key shows.
///
/// # Errors
/// [`ReadError::Key`], or [`ReadError::Damaged`] for a manifest that can't be true.
pub(crate) fn check_without_key(
    before: Option<&Manifest>,
    member: &Manifest,
) -> Result<(), ReadError> {
    formats(member)?;
    let encrypted = member.is_encrypted();
    let why = match (&member.mac, before) {
        (None, _) if encrypted => STRIPPED.to_owned(),
        (Some(mac), _) if !mac.is_well_formed() => {
            "the MAC of its manifest is not one that lsnap writes: the manifest was changed by somebody who does not \
             have the key"
                .to_owned()
        }
        (_, Some(before)) if before.is_encrypted() && !encrypted => format!(
            "it is not encrypted, but {}, on which it stands, is: nothing proves that a holder of the key made it",
            before.name
        ),
        (_, Some(before)) if encrypted && !before.is_encrypted() => format!(
            "it is encrypted, but {}, on which it stands, is not: nothing proves that a holder of the key made that",
            before.name
        ),
        _ => return Ok(()),
    };
    Err(ReadError::Key {
        backup: member.name.to_string(),
        why,
    })
}

/// Why a manifest without a MAC is refused.
const STRIPPED: &str = "its files are encrypted, but its manifest has no MAC: it was changed by somebody who does not \
                        have the key";

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
    let algorithm = member.encryption().unwrap_or("ALGORITHM");
    Err(format!(
        "it is encrypted: give its key with --decrypt={algorithm} and --encrypt-key-file"
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
            "it is encrypted with {other}, the key given is for {named}: give --decrypt={other}"
        )),
    }
}

/// Why a member is refused, or a warning for one that is accepted.
fn with_key(member: &Manifest, key: &Key, opening: Opening<'_>) -> Result<Option<String>, String> {
    let (refusal, accepted) = match member.authenticity(&key.mac_keys()) {
        Authenticity::Proven => return Ok(None),
        Authenticity::Wrong => {
            return Err(
                "the key does not fit the MAC of its manifest: another key, or the manifest was changed by \
                 somebody who does not have the key"
                    .to_owned(),
            );
        }
        Authenticity::Stripped => {
            return Err(STRIPPED.to_owned());
        }
        Authenticity::Plain => (
            "a key was given, but it is not encrypted and its manifest has no MAC: whoever can write to the \
             repository can have put it in the place of an encrypted one. If it is known to be a plain backup, \
             leave the key away; in a chain with encrypted members",
            "it is not encrypted; nothing proves who made it",
        ),
        Authenticity::FirstForm => (
            "its MAC has the form of the first lsnaps, which leaves some fields of the manifest unprotected: \
             whoever can write to the repository can have changed those. If nobody else could",
            "its MAC has the form of the first lsnaps and does not cover the whole manifest; `lsnap consolidate` \
             or a new full backup makes one that does",
        ),
    };
    if opening.unauthenticated {
        return Ok(Some(accepted.to_owned()));
    }
    Err(format!("{refusal}, add --accept-unauthenticated"))
}

fn format(wrapping: &Wrapping) -> Result<Option<Format>, Finding> {
    match &wrapping.compression {
        None => Ok(None),
        Some(CompressionFormat::Zstd) => Ok(Some(Format::Zstd)),
        Some(CompressionFormat::Lz4) => Ok(Some(Format::Lz4)),
        Some(other) => Err(Finding::new(
            format!("it is compressed with {:?}", other.as_str()),
            "zstd or lz4: a newer lsnap wrote it",
        )),
    }
}

/// The plain bytes of one object, which must be `length`.
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
    // Compressed bytes are at most a little longer than plain ones.
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
