//! The chain of a backup that was made as a stream and uploaded to a repository. An incremental's
//! base is an ordinary backup of that repository, or another stream in it; it is found by its id.

use super::error::ReadError;
use crate::counted::count;
use crate::manifest::{BackupName, Digest, Finding, Manifest, ObjectEntry};
use crate::reader::directory;
use crate::store::{ChainFault, ListedState, Repository, StoreError, Streamed};
use bytes::Bytes;
use std::collections::BTreeSet;

/// A chain, base first: the manifest of each member, and the stream if it is one.
pub(crate) type Chain = Vec<(Manifest, Option<Streamed>)>;

/// Finds the chain of the stream `name`.
///
/// # Errors
/// [`ReadError::Store`], [`ReadError::Damaged`].
pub(crate) fn chain(repo: &Repository, name: &BackupName) -> Result<Chain, ReadError> {
    let mut chain = Chain::new();
    let mut seen = BTreeSet::new();
    let mut next = Some(repo.streamed(name)?);
    while let Some(streamed) = next.take() {
        let manifest = described(&streamed)?;
        let (member, base) = (manifest.name.clone(), manifest.base.clone());
        let again = !seen.insert(manifest.id.clone());
        chain.push((manifest, Some(streamed)));
        let Some(base) = base.filter(|_| !again) else {
            break;
        };
        let ordinary = repo.manifest(&base.name);
        if ordinary.is_ok_and(|found| found.id == base.id) {
            let older = repo.chain_of(&base.name)?;
            chain.extend(older.into_iter().rev().map(|manifest| (manifest, None)));
            break;
        }
        next = find(repo, &base.id)?;
        if next.is_none() {
            let why = ChainFault::MissingBase {
                member,
                base: base.name,
                url: repo.url().to_owned(),
            };
            return Err(StoreError::BrokenChain {
                name: name.clone(),
                why: Box::new(why),
            }
            .into());
        }
    }
    chain.reverse();
    Ok(chain)
}

/// Finds the stream with this id in the repository.
fn find(repo: &Repository, id: &str) -> Result<Option<Streamed>, StoreError> {
    for listed in repo.list()? {
        if listed.state == (ListedState::Stream { finished: true }) {
            let streamed = repo.streamed(&listed.name)?;
            if streamed.manifest().id == id {
                return Ok(Some(streamed));
            }
        }
    }
    Ok(None)
}

/// Returns the manifest, after comparing its files with those in the repository.
fn described(streamed: &Streamed) -> Result<Manifest, ReadError> {
    let mut manifest = streamed.manifest().clone();
    let layout = manifest.layout;
    let backup = manifest.name.to_string();
    for entry in &mut manifest.files {
        let path = entry.path.as_stored().to_owned();
        let checked = match streamed.length(&path) {
            Some(length) => directory::as_stored(entry, length, layout).map(drop),
            None => Err("it is not there".into()),
        };
        checked.map_err(|what: Finding| {
            ReadError::damaged(
                &backup,
                path,
                what.found_in(format_args!("the stream {}", streamed.name())),
            )
        })?;
    }
    Ok(manifest)
}

/// Reads a range of a stored file and compares it with its digest.
pub(crate) fn range(
    repo: &Repository,
    streamed: &Streamed,
    path: &str,
    object: &ObjectEntry,
) -> Result<Bytes, StoreError> {
    let from = object.stored_offset().0;
    let data = streamed.range(repo, path, from, object.bytes)?;
    let found = Digest::of(&data);
    if Some(found) == object.digest {
        return Ok(data);
    }
    Err(StoreError::Damaged {
        object: format!("{}/{path}", streamed.name()),
        what: Finding::new(
            format!(
                "the {} at offset {from} have the digest {found}",
                count(object.bytes, "byte")
            ),
            object.digest_text(),
        ),
    })
}
