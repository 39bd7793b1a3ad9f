//! The documents of `list`, `show`, `pin` and `unpin`.

use super::BackupEntry;
use crate::manifest::{
    BackupName, Dictionary, FileEntry, LeftOutEntry, Manifest, ReplicaPosition, ServerIdentity,
};
use crate::store::{Contents, Description, FileCount, ForeignInfo, LeaseHolder, PassedOver};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// The backups of a repository.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct ListDocument {
    /// The repository's URL.
    pub(in crate::cli) repository: String,
    /// All backups, chain after chain, each full backup before its incrementals.
    pub(in crate::cli) backups: Vec<BackupEntry>,
}

/// The result of `pin` and `unpin`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct PinDocument {
    /// The backup that was named, after the command.
    pub(in crate::cli) backup: BackupEntry,
    /// Whether the command changed the state of its chain.
    pub(in crate::cli) changed: bool,
}

/// All information on one backup that is available without its data.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct ShowDocument<'a> {
    /// The backup.
    pub(in crate::cli) backup: BackupEntry,
    /// The backups that a restore needs, the full backup first, this one last. Empty if `broken` is set, or if the
    /// backup has no manifest of lsnap.
    pub(in crate::cli) restore_chain: &'a [BackupName],
    /// The reason why it can't be restored from this repository, as far as the manifests show.
    pub(in crate::cli) broken: Option<&'a str>,
    /// The backups that depend on it, or may, the newest first.
    pub(in crate::cli) needed_by: &'a [BackupName],
    /// The process that changes the chain now.
    pub(in crate::cli) in_use_by: Option<Process<'a>>,
    /// For `latest`: newer backups that were passed over.
    pub(in crate::cli) passed_over: &'a [PassedOver],
    /// The contents of the manifest; null if it has no manifest of lsnap.
    pub(in crate::cli) contents: Option<ContentsDocument<'a>>,
    /// The metadata of a backup of another program. Its times are in the server's time zone.
    pub(in crate::cli) foreign: Option<&'a ForeignInfo>,
    /// With `--files`: the files of the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) files: Option<Vec<FileDocument<'a>>>,
}

/// A process that holds a lease.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Process<'a> {
    /// The host's name.
    pub(in crate::cli) host: &'a str,
    /// The process ID.
    pub(in crate::cli) pid: u32,
    /// When it took the lease, by its own clock.
    pub(in crate::cli) started_at: DateTime<Utc>,
}

/// The contents of a manifest, without its files.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct ContentsDocument<'a> {
    /// The server.
    pub(in crate::cli) server: &'a ServerIdentity,
    /// The counts of its files by their roles.
    pub(in crate::cli) files_by_role: &'a BTreeMap<&'static str, FileCount>,
    /// The compression of its files (`zstd`, `lz4`), each once.
    pub(in crate::cli) compressions: Vec<&'a str>,
    /// The encryption of its files (`AES256`), each once.
    pub(in crate::cli) encryptions: Vec<&'a str>,
    /// For a replica: its position in the binary logs of its sources.
    pub(in crate::cli) replica: Option<&'a ReplicaPosition>,
    /// Files that were found and deliberately not stored.
    pub(in crate::cli) left_out: &'a [LeftOutEntry],
    /// The tablespaces of the server's dictionary; null in backups of versions that didn't read them.
    pub(in crate::cli) dictionary: Option<&'a Dictionary>,
    /// Whether a restore merges it with its chain in one pass; null for a full backup.
    pub(in crate::cli) overlaps: Option<bool>,
    /// Whether its manifest has a MAC made with the key.
    pub(in crate::cli) authenticated: bool,
}

/// A file of a backup.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct FileDocument<'a> {
    /// Its path as stored: `db/t.ibd.delta`, `db/t.ibd.zst`.
    pub(in crate::cli) path: &'a str,
    /// Its path without the suffixes of compression and encryption.
    pub(in crate::cli) plain_path: &'a str,
    /// Its role: `tablespace`, `delta`, `delta_meta`, `plain`, `binary_log`, `redo` or `metadata`.
    pub(in crate::cli) role: &'static str,
    /// Bytes before compression and encryption.
    pub(in crate::cli) bytes: u64,
    /// Bytes of its objects, or of its part of an object that files share.
    pub(in crate::cli) stored_bytes: u64,
    /// Number of its objects.
    pub(in crate::cli) objects: u64,
    /// Its compression.
    pub(in crate::cli) compression: Option<&'a str>,
    /// Its encryption.
    pub(in crate::cli) encryption: Option<&'a str>,
    /// The id of its tablespace.
    pub(in crate::cli) space_id: Option<u32>,
}

impl<'a> ShowDocument<'a> {
    /// Creates the document; `manifest` for its files.
    pub(in crate::cli) fn of(
        description: &'a Description,
        backup: BackupEntry,
        manifest: Option<&'a Manifest>,
    ) -> Self {
        Self {
            backup,
            restore_chain: &description.chain,
            broken: description.broken.as_deref(),
            needed_by: &description.needed_by,
            in_use_by: description.in_use_by.as_ref().map(Process::of),
            passed_over: &description.passed_over,
            contents: description.contents.as_ref().map(ContentsDocument::of),
            foreign: description.listed.foreign.as_deref(),
            files: manifest.map(|m| m.files.iter().map(FileDocument::of).collect()),
        }
    }
}

impl<'a> Process<'a> {
    fn of(holder: &'a LeaseHolder) -> Self {
        Self {
            host: &holder.host,
            pid: holder.pid,
            started_at: holder.started,
        }
    }
}

impl<'a> ContentsDocument<'a> {
    fn of(contents: &'a Contents) -> Self {
        let wrappings = contents.wrappings.iter();
        let mut compressions: Vec<&str> = wrappings
            .clone()
            .filter_map(|w| Some(w.compression.as_ref()?.as_str()))
            .collect();
        let mut encryptions: Vec<&str> = wrappings
            .filter_map(|w| Some(w.encryption.as_ref()?.as_str()))
            .collect();
        for names in [&mut compressions, &mut encryptions] {
            names.sort_unstable();
            names.dedup();
        }
        Self {
            server: &contents.server,
            files_by_role: &contents.files,
            compressions,
            encryptions,
            replica: contents.replica.as_ref(),
            left_out: &contents.left_out,
            dictionary: contents.dictionary.as_ref(),
            overlaps: contents.overlaps,
            authenticated: contents.authenticated,
        }
    }
}

impl<'a> FileDocument<'a> {
    fn of(file: &'a FileEntry) -> Self {
        let wrapping = file.wrapping.as_ref();
        let bytes = file.objects.iter().map(|object| object.bytes);
        Self {
            path: file.path.as_stored(),
            plain_path: file.plain_path(),
            role: file.role.as_str(),
            bytes: file.bytes,
            stored_bytes: bytes.fold(0, u64::saturating_add),
            objects: file.objects.len() as u64,
            compression: wrapping.and_then(|w| Some(w.compression.as_ref()?.as_str())),
            encryption: wrapping.and_then(|w| Some(w.encryption.as_ref()?.as_str())),
            space_id: file.role.space().map(|space| space.space_id.0),
        }
    }
}
