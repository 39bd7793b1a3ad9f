//! Everything that is known of one backup, without reading its data.

use crate::store::error::backup::BackupFault;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::manifest::{
    BackupKind, BackupName, Dictionary, FileRole, Layout, LeftOutEntry, Manifest, ReplicaPosition,
    ServerIdentity, Wrapping, packed,
};
use crate::store::error::StoreError;
use crate::store::lease::holder::LeaseHolder;
use crate::store::listing::chain_group::chain_groups;
use crate::store::listing::listed::Listed;
use crate::store::listing::passed_over::PassedOver;
use crate::store::objects::repository::Repository;

/// A backup and its place among the others.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// As it is listed.
    #[serde(flatten)]
    pub listed: Listed,
    /// Full or incremental.
    pub kind: BackupKind,
    /// The program that made it.
    pub made_by: Option<String>,
    /// The full backup that it belongs to.
    pub family: BackupName,
    /// What a restore needs, the full backup first, this one last; empty when `broken` says why, or when
    /// it is not lsnap's.
    pub chain: Vec<BackupName>,
    /// Why it can't be restored from here, as far as manifests tell.
    pub broken: Option<String>,
    /// What stands on it, or may, the newest first.
    pub needed_by: Vec<BackupName>,
    /// Who works on the chain now.
    pub in_use_by: Option<LeaseHolder>,
    /// Of `latest`: what is newer and was passed over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// Of a finished one of lsnap's: what its manifest says.
    pub contents: Option<Contents>,
}

/// A manifest in short.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Contents {
    /// The server.
    pub server: ServerIdentity,
    /// Its files by what they are.
    pub files: BTreeMap<&'static str, FileCount>,
    /// How files are compressed and encrypted, each way once.
    pub wrappings: Vec<Wrapping>,
    /// Where the bytes are.
    pub layout: Layout,
    /// Of a replica: where it was in its sources' binary logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaPosition>,
    /// What was not stored.
    pub left_out: Vec<LeftOutEntry>,
    /// What the server's dictionary had; `None` where the lsnap that made it didn't look.
    pub dictionary: Option<Dictionary>,
    /// Whether it was made with overlap, so that restores merge it; `None` for a full backup.
    pub overlaps: Option<bool>,
    /// Whether its manifest carries a code made with the key.
    pub authenticated: bool,
}

/// Files of one role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileCount {
    /// How many.
    pub files: u64,
    /// Their objects; one that files share counts once, where the first of them does.
    pub objects: u64,
    /// Bytes of the files in objects.
    pub stored_bytes: u64,
}

/// Everything known of the backup `text` (anything that [`Repository::resolve`] takes).
///
/// # Errors
/// Those of [`Repository::resolve`], and of a store that fails. A backup that is damaged or a chain
/// that is broken is no error: that is described.
pub fn describe(repository: &Repository, text: &str) -> Result<Description, StoreError> {
    let listed = repository.list()?;
    let choice = repository.choose_in(&listed, text)?;
    let name = choice.name;
    let gone = || {
        StoreError::Backup(BackupFault::NotFound {
            name: name.to_string(),
            url: repository.url().to_owned(),
            hint: "it is in no chain".to_owned(),
        })
    };
    let groups = chain_groups(&listed);
    let (family, backup) = groups
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
        family: family.name.clone(),
        needed_by: names(family.needing(backup)),
        in_use_by: repository.worked_on_by(&name)?,
        contents: Contents::of(&chain),
        chain: chain.into_iter().map(|m| m.name).collect(),
        broken,
        listed: backup.clone(),
        passed_over: choice.passed_over,
    })
}

fn names(backups: Vec<&Listed>) -> Vec<BackupName> {
    backups.into_iter().map(|l| l.name.clone()).collect()
}

impl Contents {
    /// Of the last of a chain.
    fn of(chain: &[Manifest]) -> Option<Self> {
        let (manifest, before) = chain.split_last()?;
        let mut files: BTreeMap<&'static str, FileCount> = BTreeMap::new();
        let mut wrappings: Vec<Wrapping> = Vec::new();
        for file in &manifest.files {
            let count = files.entry(role(&file.role)).or_default();
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

const fn role(role: &FileRole) -> &'static str {
    match role {
        FileRole::Tablespace(_) => "tablespace",
        FileRole::Delta(_) => "delta",
        FileRole::DeltaMeta => "delta_meta",
        FileRole::Plain => "plain",
        FileRole::BinaryLog => "binary_log",
        FileRole::Redo => "redo",
        FileRole::Metadata => "metadata",
    }
}
