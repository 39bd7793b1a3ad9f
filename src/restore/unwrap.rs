//! What lies around a stored file's bytes: whether it can be taken off, and taking it off.
//!
//! Each object of a wrapped file is whole frames inside of whole xbcrypt chunks, so it unwraps alone
//! and beside others. The manifest says how long the result must be: nothing longer is made of it.

use super::error::RestoreError;
use super::fetch::Stored;
use crate::codec::xbcrypt::{self, Key};
use crate::codec::{self, CodecError, Format};
use crate::store::{Manifest, Wrapping};
use bytes::Bytes;

/// Checks, before anything is fetched, that every member can be read with `key`, and that whoever had
/// the key wrote its manifest.
///
/// # Errors
/// [`RestoreError::Key`], or [`RestoreError::Damaged`] for a manifest that was tampered with.
pub(crate) fn check(chain: &[Manifest], key: Option<&Key>) -> Result<(), RestoreError> {
    chain.iter().try_for_each(|member| check_one(member, key))
}

fn check_one(member: &Manifest, key: Option<&Key>) -> Result<(), RestoreError> {
    let refuse = |why: String| {
        Err(RestoreError::Key {
            backup: member.name.to_string(),
            why,
        })
    };
    let mut encrypted = member.mac.is_some();
    for file in &member.files {
        let Some(wrapping) = &file.wrapping else {
            continue;
        };
        format(wrapping).map_err(|what| RestoreError::Damaged {
            backup: member.name.to_string(),
            path: file.path.to_string(),
            what,
        })?;
        let Some(algorithm) = &wrapping.encryption else {
            continue;
        };
        encrypted = true;
        match key {
            Some(key) if key.algorithm().to_string() == *algorithm => {}
            Some(key) => {
                return refuse(format!(
                    "it is encrypted with {algorithm}, the key given is for {}",
                    key.algorithm()
                ));
            }
            None => {
                return refuse(format!(
                    "it is encrypted with {algorithm}: give --decrypt={algorithm} and --encrypt-key-file"
                ));
            }
        }
    }
    match key {
        Some(key) if encrypted && !member.mac_is_right(&key.mac_key()) => refuse(
            match member.mac {
                Some(_) => {
                    "the key does not fit the MAC of its manifest: another key, or the manifest was changed \
                     by somebody who does not have the key"
                }
                None => {
                    "its files are encrypted, but its manifest has no MAC: it was changed by somebody who \
                     does not have the key"
                }
            }
            .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn format(wrapping: &Wrapping) -> Result<Option<Format>, String> {
    match wrapping.compression.as_deref() {
        None => Ok(None),
        Some("zstd") => Ok(Some(Format::Zstd)),
        Some("lz4") => Ok(Some(Format::Lz4)),
        Some(other) => Err(format!(
            "it is compressed with {other:?}, expected zstd or lz4: a newer lsnap wrote it"
        )),
    }
}

/// The plain bytes of one object, which must be `length`.
///
/// # Errors
/// [`RestoreError::Damaged`], [`RestoreError::Key`].
pub(crate) fn unwrap(
    stored: Stored<'_>,
    index: usize,
    data: Bytes,
    length: u64,
    key: Option<&Key>,
) -> Result<Bytes, RestoreError> {
    let Some(wrapping) = &stored.entry.wrapping else {
        return Ok(data);
    };
    let failed = |error: CodecError| match error {
        CodecError::WrongKey { .. } => RestoreError::Key {
            backup: stored.manifest.name.to_string(),
            why: format!("{} object {index}: {error}", stored.entry.path),
        },
        error => stored.damaged(format!("object {index}: {error}")),
    };
    // Compressed bytes are at most a little longer than plain ones.
    let most = usize::try_from(length).unwrap_or(usize::MAX);
    let mut data = data;
    if wrapping.encryption.is_some() {
        let key = key.ok_or_else(|| RestoreError::Key {
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
        return Err(stored.damaged(format!(
            "object {index} unwraps to {} bytes, expected {length}",
            data.len()
        )));
    }
    Ok(data)
}
