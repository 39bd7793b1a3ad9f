//! What a backup takes over from its base, and what it must not drop: a chain is encrypted with one key as a
//! whole, or not at all.

use super::error::BackupError;
use super::options::BackupOptions;
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::manifest::{Authenticity, Manifest};
use crate::store::RequestFault;
use crate::store::{Repository, StoreError};

/// Checks that the base and the new backup are both encrypted with the same key, or both plain, and that a
/// holder of the key wrote the base's manifest.
///
/// # Errors
/// [`BackupError::Key`].
pub(super) fn check_encryption(base: &Manifest, key: Option<&Key>) -> Result<(), BackupError> {
    let refuse = |why: String| {
        Err(BackupError::Key {
            backup: base.name.to_string(),
            why,
        })
    };
    let algorithm = base.encryption().unwrap_or("ALGORITHM");
    let Some(key) = key else {
        if base.is_encrypted() {
            return refuse(format!(
                "the base is encrypted, so the incremental must be, with the same key: add --encrypt={algorithm} \
                 and --encrypt-key-file"
            ));
        }
        return Ok(());
    };
    match base.authenticity(&key.mac_keys()) {
        Authenticity::Proven if algorithm == key.algorithm().name() => Ok(()),
        Authenticity::Proven => refuse(format!(
            "the base is encrypted with {algorithm}, the key given is for {}: give --encrypt={algorithm}",
            key.algorithm()
        )),
        Authenticity::Plain => refuse(
            "the base is not encrypted, and a chain is encrypted as a whole or not at all: take a full backup with \
             this key, or leave --encrypt away"
                .to_owned(),
        ),
        Authenticity::FirstForm => refuse(
            "the MAC of the base has the form of the first lsnaps, which does not cover the whole manifest: take a \
             full backup, or consolidate the chain"
                .to_owned(),
        ),
        Authenticity::Stripped | Authenticity::Wrong => refuse(
            "the key does not fit the MAC of the base's manifest: it was encrypted with another key, or the manifest \
             was changed by somebody who does not have the key"
                .to_owned(),
        ),
    }
}

/// Refuses a plain backup into a repository that takes encrypted ones only. Gives whether it is to become such a
/// repository: when the caller wants it, or when the first backup of all is encrypted.
///
/// # Errors
/// [`BackupError::Key`], or the repository's own error.
pub(super) fn guard(repo: &Repository, options: &BackupOptions) -> Result<bool, BackupError> {
    if options.key.is_some() {
        return Ok(options.encrypted_only || is_new(repo)?);
    }
    if options.encrypted_only || repo.is_encrypted_only()? {
        return Err(BackupError::Key {
            backup: repo.url().to_owned(),
            why: "the repository takes encrypted backups only: add --encrypt=AES256 and --encrypt-key-file, or \
                  name another repository"
                .to_owned(),
        });
    }
    Ok(false)
}

/// Whether nobody has put a backup there.
fn is_new(repo: &Repository) -> Result<bool, BackupError> {
    let nothing = |error| match error {
        StoreError::NoRepository { .. } => Ok(true),
        other => Err(other.into()),
    };
    match repo.marker() {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(false),
        // Somebody else sees to it.
        Err(StoreError::Request {
            kind: RequestFault::Denied,
            ..
        }) => return Ok(false),
        Err(error) => return nothing(error),
    }
    repo.list()
        .map_or_else(nothing, |listed| Ok(listed.is_empty()))
}

/// How files are compressed: as the caller wants, otherwise as the base's are.
///
/// # Errors
/// [`BackupError::Codec`] for a base that a newer lsnap made.
pub(super) fn compression(
    base: Option<&Manifest>,
    options: &BackupOptions,
) -> Result<Option<Compression>, BackupError> {
    if options.uncompressed || options.compression.is_some() {
        return Ok(options.compression.filter(|_| !options.uncompressed));
    }
    let inherited = base.and_then(Manifest::compression);
    Ok(inherited.map(str::parse).transpose()?)
}
