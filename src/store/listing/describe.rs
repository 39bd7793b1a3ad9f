//! All information on one backup that is available without its data.

use crate::store::error::backup::BackupFault;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::manifest::{
    BackupKind, BackupName, Dictionary, Layout, LeftOutEntry, Manifest, ReplicaPosition,
    ServerIdentity, Wrapping, packed,
};
use crate::store::error::StoreError;
use crate::store::lease::holder::LeaseHolder;
use crate::store::listing::chain_group::chain_groups;
use crate::store::listing::listed::Listed;
use crate::store::listing::passed_over::PassedOver;
use crate::store::objects::repository::Repository;

/// A backup and its relation to others.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// Its entry in the listing.
    #[serde(flatten)]
    pub listed: Listed,
    /// Full or incremental.
    pub kind: BackupKind,
    /// The program that made it.
    pub made_by: Option<String>,
    /// The name of its group: the full backup that it belongs to.
    pub family: BackupName,
    /// The backups that a restore needs, the full backup first, this one last. Empty if `broken` is
    /// set, or if the backup isn't one of lsnap.
    pub chain: Vec<BackupName>,
    /// The reason why it can't be restored from this repository, as far as the manifests show.
    pub broken: Option<String>,
    /// The backups that depend on it, or may, the newest first.
    pub needed_by: Vec<BackupName>,
    /// The process that changes the chain now.
    pub in_use_by: Option<LeaseHolder>,
    /// For `latest`: newer backups that were passed over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// The contents of the manifest, for a finished backup of lsnap.
    pub contents: Option<Contents>,
    /// The listing.
    #[serde(skip)]
    pub all: Vec<Listed>,
}

/// A summary of a manifest.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Contents {
    /// The server.
    pub server: ServerIdentity,
    /// Its files by role.
    pub files: BTreeMap<&'static str, FileCount>,
    /// The compressions and encryptions of its files, each once.
    pub wrappings: Vec<Wrapping>,
    /// The storage layout.
    pub layout: Layout,
    /// For a replica: its position in the binary logs of its sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaPosition>,
    /// Files that were not stored.
    pub left_out: Vec<LeftOutEntry>,
    /// The contents of the server's data dictionary; `None` if the lsnap that made the backup
    /// didn't read it.
    pub dictionary: Option<Dictionary>,
    /// Whether it was made with overlap, so that restores merge it; `None` for a full backup.
    pub overlaps: Option<bool>,
    /// Whether its manifest has a MAC made with the key.
    pub authenticated: bool,
}

/// The files of one role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FileCount {
    /// Number of files.
    pub files: u64,
    /// Number of their objects. An object that files share counts once, for the first of them.
    pub objects: u64,
    /// Bytes of the files in objects.
    pub stored_bytes: u64,
}

/// Describes the backup `text` (anything that [`Repository::resolve`] accepts).
///
/// # Errors
/// Those of [`Repository::resolve`], and errors of the store. A damaged backup or a broken chain is
/// not an error; it is part of the description.
pub fn describe(repository: &Repository, text: &str) -> Result<Description, StoreError> {
    let listed = repository.list()?;
    let choice = repository.choose_in(&listed, text)?;
    let name = choice.name;
    let gone = || {
        StoreError::Backup(BackupFault::NotFound {
            name: name.to_string(),
            url: repository.url().to_owned(),
            hint: "it is not in any chain".to_owned(),
        })
    };
    let groups = chain_groups(&listed);
    let (group, backup) = groups
        .iter()
        .find_map(|f| f.members().find(|l| l.name == name).map(|l| (f, l)))
        .ok_or_else(gone)?;
    let (chain, broken) = match backup.summary().map(|_| repository.chain_of(&name)) {
        None => (Vec::new(), None),
        Some(Ok(chain)) => (chain, None),
        Some(Err(error)) => (Vec::new(), Some(error.to_string())),
    };
    Ok(Description {
        kind: backup.kind(),
        made_by: backup.made_by(),
        family: group.name.clone(),
        needed_by: names(group.needing(backup)),
        in_use_by: repository.worked_on_by(&name)?,
        contents: Contents::of(&chain),
        chain: chain.into_iter().map(|m| m.name).collect(),
        broken,
        listed: backup.clone(),
        passed_over: choice.passed_over,
        all: listed.clone(),
    })
}

fn names(backups: Vec<&Listed>) -> Vec<BackupName> {
    backups.into_iter().map(|l| l.name.clone()).collect()
}

impl Contents {
    /// Summarises the last member of a chain.
    fn of(chain: &[Manifest]) -> Option<Self> {
        let (manifest, before) = chain.split_last()?;
        let mut files: BTreeMap<&'static str, FileCount> = BTreeMap::new();
        let mut wrappings: Vec<Wrapping> = Vec::new();
        for file in &manifest.files {
            let count = files.entry(file.role.as_str()).or_default();
            count.files += 1;
            count.objects += packed::counted(file).count() as u64;
            let bytes = file.objects.iter().map(|o| o.bytes);
            count.stored_bytes = bytes.fold(count.stored_bytes, u64::saturating_add);
            let wrapping = file.wrapping.iter().find(|w| !wrappings.contains(w));
            wrappings.extend(wrapping.cloned());
        }
        Some(Self {
            server: manifest.server.clone(),
            files,
            wrappings,
            layout: manifest.layout,
            replica: manifest.replica.clone(),
            left_out: manifest.left_out.clone(),
            dictionary: manifest.dictionary.clone(),
            overlaps: before
                .last()
                .map(|base| manifest.lsn.scan_floor <= base.lsn.start_checkpoint),
            authenticated: manifest.mac.is_some(),
        })
    }
}
