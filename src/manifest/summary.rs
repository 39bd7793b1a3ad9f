//! The summary: a manifest without its files.

use super::dictionary::is_zero;
use super::{
    BackupKind, BackupName, BaseRef, Binlog, Dictionary, LsnRange, Manifest, PageCounts,
    ScheduledRun,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The manifest without its files: all that a listing and the rules for chains need. It is stored
/// next to the manifest as `lsnap_summary.json`, because a manifest grows with the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The manifest's format number.
    pub format: u32,
    /// The manifest's own digest.
    pub manifest_digest: String,
    /// Length in bytes of the manifest's object.
    pub manifest_bytes: u64,
    /// See [`Manifest::lsnap_version`].
    pub lsnap_version: String,
    /// See [`Manifest::id`].
    pub id: String,
    /// See [`Manifest::name`].
    pub name: BackupName,
    /// See [`Manifest::kind`].
    pub kind: BackupKind,
    /// See [`Manifest::base`].
    pub base: Option<BaseRef>,
    /// See [`Manifest::started_at`].
    pub started_at: DateTime<Utc>,
    /// See [`Manifest::finished_at`].
    pub finished_at: DateTime<Utc>,
    /// See [`ServerIdentity::uuid`](super::ServerIdentity::uuid).
    pub server_uuid: String,
    /// See [`ServerIdentity::redo_log_uuid`](super::ServerIdentity::redo_log_uuid); `None` in summaries of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo_log_uuid: Option<u32>,
    /// See [`ServerIdentity::version`](super::ServerIdentity::version).
    pub server_version: String,
    /// See [`ServerIdentity::hostname`](super::ServerIdentity::hostname); empty in summaries of the first versions.
    #[serde(default)]
    pub hostname: String,
    /// See [`Manifest::lsn`].
    pub lsn: LsnRange,
    /// See [`Manifest::binlog`].
    pub binlog: Option<Binlog>,
    /// See [`Manifest::pages`].
    pub pages: PageCounts,
    /// Number of files.
    pub files: u64,
    /// Length of the tablespaces after a restore in bytes; saturates.
    pub data_bytes: u64,
    /// See [`Manifest::objects`].
    pub objects: u64,
    /// See [`Manifest::stored_bytes`].
    pub stored_bytes: u64,
    /// See [`Dictionary::lacking`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing_tables: u64,
    /// See [`Manifest::scheduled`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<ScheduledRun>,
}

impl Summary {
    /// Returns the fields that differ from the manifest, each with its name, what was found and
    /// what was expected. Fields that an earlier version didn't write are skipped. The manifest's
    /// length and digest are skipped too: they are compared with the object itself.
    #[must_use]
    pub fn differences(&self, manifest: &Manifest) -> Vec<(String, String, String)> {
        let mut of_manifest = Self::of(manifest, self.manifest_digest.clone(), self.manifest_bytes);
        if self.redo_log_uuid.is_none() {
            of_manifest.redo_log_uuid = None;
        }
        if self.hostname.is_empty() {
            of_manifest.hostname.clear();
        }
        let fields = |summary: &Self| match serde_json::to_value(summary) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (found, expected) = (fields(self), fields(&of_manifest));
        let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
        let text = |value: Option<&serde_json::Value>| {
            value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let differ = names
            .into_iter()
            .filter(|name| found.get(*name) != expected.get(*name));
        differ
            .map(|name| {
                (
                    name.clone(),
                    text(found.get(name)),
                    text(expected.get(name)),
                )
            })
            .collect()
    }

    /// Returns the summary of a manifest that is stored with `digest` in an object of `bytes`
    /// bytes.
    pub(crate) fn of(manifest: &Manifest, digest: String, bytes: u64) -> Self {
        Self {
            format: manifest.format,
            manifest_digest: digest,
            manifest_bytes: bytes,
            lsnap_version: manifest.lsnap_version.clone(),
            id: manifest.id.clone(),
            name: manifest.name.clone(),
            kind: manifest.kind,
            base: manifest.base.clone(),
            started_at: manifest.started_at,
            finished_at: manifest.finished_at,
            server_uuid: manifest.server.uuid.clone(),
            redo_log_uuid: Some(manifest.server.redo_log_uuid),
            server_version: manifest.server.version.clone(),
            hostname: manifest.server.hostname.clone(),
            lsn: manifest.lsn,
            binlog: manifest.binlog.clone(),
            pages: manifest.pages,
            files: manifest.files.len() as u64,
            data_bytes: manifest.data_bytes(),
            objects: manifest.objects(),
            stored_bytes: manifest.stored_bytes(),
            missing_tables: manifest.dictionary.as_ref().map_or(0, Dictionary::lacking),
            scheduled: manifest.scheduled.clone(),
        }
    }
}
