//! What a backup takes over from its base, and what it must not drop: a chain is encrypted with one key as a
//! whole, or not at all.

use super::error::BackupError;
use super::options::BackupOptions;
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::manifest::{Authenticity, Manifest};
use crate::store::OpenFault;
use crate::store::{Repository, RequestFault, StoreError};

/// Checks that the base, all members `before` it and the new backup are encrypted with the same key, or all plain,
/// and that a holder of the key wrote the manifest of each: the incremental can be restored with all of them only.
///
/// # Errors
/// [`BackupError::Key`].
pub(super) fn check_encryption(
    base: &Manifest,
    before: &[Manifest],
    key: Option<&Key>,
) -> Result<(), BackupError> {
    check_member(base, "the base", key)?;
    for member in before {
        check_member(member, "a member that the base stands on", key)?;
    }
    Ok(())
}

/// `what` is what the member is to the new backup.
fn check_member(member: &Manifest, what: &str, key: Option<&Key>) -> Result<(), BackupError> {
    let refuse = |why: String| {
        Err(BackupError::Key {
            backup: member.name.to_string(),
            why,
        })
    };
    let algorithm = member.encryption().unwrap_or("ALGORITHM");
    let Some(key) = key else {
        if member.is_encrypted() {
            return refuse(format!(
                "{what} is encrypted, so the incremental must be, with the same key: add --encrypt={algorithm} \
                 and --encrypt-key-file"
            ));
        }
        return Ok(());
    };
    match member.authenticity(&key.mac_keys()) {
        Authenticity::Proven if algorithm == key.algorithm().name() => Ok(()),
        Authenticity::Proven => refuse(format!(
            "{what} is encrypted with {algorithm}, the key given is for {}: give --encrypt={algorithm}",
            key.algorithm()
        )),
        Authenticity::Plain => refuse(format!(
            "{what} is not encrypted, and a chain is encrypted as a whole or not at all: take a full backup with \
             this key, or leave --encrypt away"
        )),
        Authenticity::FirstForm => refuse(format!(
            "the MAC of {what} has the form of the first lsnaps, which does not cover the whole manifest: take a \
             full backup, or consolidate the chain"
        )),
        Authenticity::Stripped => refuse(format!(
            "{what} has encrypted files, but its manifest has no MAC: it was changed by somebody who does not have \
             the key. Run `lsnap verify` on the chain, and take a full backup"
        )),
        Authenticity::Wrong => refuse(format!(
            "the key does not fit the MAC of the manifest of {what}: it was encrypted with another key, or the \
             manifest was changed by somebody who does not have the key"
        )),
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
        StoreError::Open(OpenFault::NoRepository { .. }) => Ok(true),
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
