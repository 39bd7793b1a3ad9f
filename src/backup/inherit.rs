//! Settings that a backup inherits from its base, and checks that a chain is encrypted with one key
//! as a whole, or not at all.

use super::error::BackupError;
use super::options::BackupOptions;
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::manifest::{Authenticity, Manifest};
use crate::store::OpenFault;
use crate::store::{Repository, RequestFault, StoreError};

/// Checks that the base, all members `before` it and the new backup are encrypted with the same
/// key, or all unencrypted, and that a holder of the key wrote the manifest of each: the
/// incremental can only be restored together with all of them.
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
        check_member(member, "a member that the base depends on", key)?;
    }
    Ok(())
}

/// Checks one member. `what` describes its role for the new backup.
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
                "{what} is encrypted, so the incremental must be too, with the same key: set BackupOptions::key to an \
                 {algorithm} key"
            ));
        }
        return Ok(());
    };
    match member.authenticity(&key.mac_keys()) {
        Authenticity::Proven if algorithm == key.algorithm().name() => Ok(()),
        Authenticity::Proven => refuse(format!(
            "{what} is encrypted with {algorithm}, but BackupOptions::key is a key for {}: use it as an {algorithm} key",
            key.algorithm()
        )),
        Authenticity::Plain => refuse(format!(
            "{what} is not encrypted, and a chain is encrypted as a whole or not at all: take a full backup with \
             this key, or leave BackupOptions::key unset"
        )),
        Authenticity::FirstForm => refuse(format!(
            "the MAC of {what} has the form of the first versions of lsnap, which does not cover the whole manifest: \
             take a full backup, or consolidate the chain"
        )),
        Authenticity::Stripped => refuse(format!(
            "{what} has encrypted files, but its manifest has no MAC: it was changed without the key. Verify the \
             chain, and take a full backup"
        )),
        Authenticity::Wrong => refuse(format!(
            "the key does not fit the MAC of the manifest of {what}: it was encrypted with another key, or the \
             manifest was changed without the key"
        )),
    }
}

/// Refuses an unencrypted backup into a repository that accepts encrypted backups only. Returns
/// whether the repository becomes encrypted-only: if the caller requests it, or if the first backup
/// in it is encrypted.
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
            why: "the repository takes encrypted backups only: set BackupOptions::key, or \
                  use another repository"
                .to_owned(),
        });
    }
    Ok(false)
}

/// Returns whether the repository has no backups.
fn is_new(repo: &Repository) -> Result<bool, BackupError> {
    let nothing = |error| match error {
        StoreError::Open(OpenFault::NoRepository { .. }) => Ok(true),
        other => Err(other.into()),
    };
    match repo.marker() {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(false),
        // The request that begins the upload reports this error.
        Err(StoreError::Request {
            kind: RequestFault::Denied,
            ..
        }) => return Ok(false),
        Err(error) => return nothing(error),
    }
    repo.list()
        .map_or_else(nothing, |listed| Ok(listed.is_empty()))
}

/// Returns the compression: as in the options, otherwise as in the base.
///
/// # Errors
/// [`BackupError::Codec`] for a base of a newer lsnap with an unknown compression.
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
