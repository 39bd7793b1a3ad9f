//! The description of a backup, which is the same in all documents.

use crate::counted::count;
use crate::innodb::Lsn;
use crate::manifest::{BackupKind, BackupName, Binlog, LsnRange, Manifest, Summary};
use crate::store::{Listed, ListedState, chain_groups};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// A backup. Fields that are not known are null.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct BackupEntry {
    /// Its name, by which every command finds it.
    pub(in crate::cli) name: BackupName,
    /// The first part of the name.
    pub(in crate::cli) cluster: Option<String>,
    /// The full backup of its chain; its own name if it is one.
    pub(in crate::cli) chain: BackupName,
    /// Full or incremental.
    pub(in crate::cli) kind: BackupKind,
    /// How it is stored.
    pub(in crate::cli) format: Format,
    /// Its state, as far as a listing shows.
    pub(in crate::cli) state: State,
    /// The reason for a state other than `finished`: what was found and what was expected.
    pub(in crate::cli) problem: Option<String>,
    /// Whether its chain is pinned; null if the command didn't list the repository.
    pub(in crate::cli) pinned: Option<bool>,
    /// The backup on which the incremental is based.
    pub(in crate::cli) base: Option<BackupName>,
    /// The UUID in its manifest.
    pub(in crate::cli) id: Option<String>,
    /// The program that made it, with its version.
    pub(in crate::cli) made_by: Option<String>,
    /// The time of its state: `finished_at`, else the time in its name, else that of its newest object.
    pub(in crate::cli) made_at: Option<DateTime<Utc>>,
    /// Seconds since `made_at` when the document was made.
    pub(in crate::cli) age_seconds: Option<i64>,
    /// The start of the backup.
    pub(in crate::cli) started_at: Option<DateTime<Utc>>,
    /// The time when its last file was stored.
    pub(in crate::cli) finished_at: Option<DateTime<Utc>>,
    /// Seconds from `started_at` to `finished_at`.
    pub(in crate::cli) duration_seconds: Option<f64>,
    /// Bytes of the objects of its files, without lsnap's own documents. If it has no manifest: of all objects under
    /// its name.
    pub(in crate::cli) stored_bytes: u64,
    /// Number of these objects.
    pub(in crate::cli) objects: u64,
    /// Number of its files.
    pub(in crate::cli) files: Option<u64>,
    /// Bytes of the tablespaces after a restore.
    pub(in crate::cli) data_bytes: Option<u64>,
    /// Its positions in the redo log.
    pub(in crate::cli) lsn: Option<EntryLsn>,
    /// Its position in the server's binary log.
    pub(in crate::cli) binlog: Option<Binlog>,
    /// The server.
    pub(in crate::cli) server: Option<EntryServer>,
    /// Number of tables whose data it lacks.
    pub(in crate::cli) missing_tables: u64,
}

/// How a backup is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum Format {
    /// With a manifest of lsnap, or as lsnap began to store it.
    Lsnap,
    /// A stream of lsnap that was stored chunk by chunk (`lsnap cloud put`).
    Stream,
    /// A stream of xtrabackup that was stored chunk by chunk.
    Xtrabackup,
}

/// The state of a backup, as far as a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum State {
    /// It can be restored.
    Finished,
    /// It can be restored, but lacks tables whose files were missing when it was made.
    Incomplete,
    /// A backup of its chain is missing: it can't be restored.
    BaseMissing,
    /// It is in progress, or was interrupted.
    Unfinished,
    /// It has a summary but no manifest: it lost it, was interrupted immediately before the end, or is about to finish.
    ManifestMissing,
    /// Its deletion was begun and not completed.
    Deleting,
    /// Objects are missing or changed: it can't be restored.
    Damaged,
    /// It is not in the repository.
    Missing,
}

/// Positions in the redo log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct EntryLsn {
    /// The `to_lsn` of its base; 0 for a full backup.
    pub(in crate::cli) from_lsn: Option<Lsn>,
    /// The `from_lsn` of the next incremental.
    pub(in crate::cli) to_lsn: Option<Lsn>,
    /// The end of its redo log.
    pub(in crate::cli) last_lsn: Option<Lsn>,
    /// The checkpoint at which its redo log begins.
    pub(in crate::cli) start_checkpoint: Option<Lsn>,
    /// Every page with this LSN or a later one is in it; 0 for a full backup.
    pub(in crate::cli) scan_floor: Option<Lsn>,
}

/// The server of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct EntryServer {
    /// `@@server_uuid`.
    pub(in crate::cli) uuid: Option<String>,
    /// `@@version`.
    pub(in crate::cli) version: String,
    /// `@@hostname`.
    pub(in crate::cli) hostname: Option<String>,
}

impl From<LsnRange> for EntryLsn {
    fn from(lsn: LsnRange) -> Self {
        Self {
            from_lsn: Some(lsn.from_lsn),
            to_lsn: Some(lsn.to_lsn),
            last_lsn: Some(lsn.last_lsn),
            start_checkpoint: Some(lsn.start_checkpoint),
            scan_floor: Some(lsn.scan_floor),
        }
    }
}

impl State {
    /// Returns the state of a listed backup.
    pub(in crate::cli) fn of(backup: &Listed) -> Self {
        match backup.state {
            ListedState::Finished(_) if backup.lacks_tables() => Self::Incomplete,
            ListedState::Finished(_)
            | ListedState::Foreign { finished: true }
            | ListedState::Stream { finished: true } => Self::Finished,
            ListedState::BaseMissing(_) => Self::BaseMissing,
            ListedState::Unfinished if backup.summarized => Self::ManifestMissing,
            ListedState::Unfinished
            | ListedState::Stream { finished: false }
            | ListedState::Foreign { finished: false } => Self::Unfinished,
            ListedState::Deleting => Self::Deleting,
            ListedState::Damaged { .. } => Self::Damaged,
        }
    }

    /// Returns the word of tables; in capitals if the backup can't be restored or relied on.
    pub(in crate::cli) const fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Incomplete => "INCOMPLETE",
            Self::BaseMissing => "BASE MISSING",
            Self::Unfinished => "UNFINISHED",
            Self::ManifestMissing => "MANIFEST MISSING",
            Self::Deleting => "DELETING",
            Self::Damaged => "DAMAGED",
            Self::Missing => "MISSING",
        }
    }
}

/// Returns the reason for a state other than finished, if more is known than the state.
pub(in crate::cli) fn problem(backup: &Listed) -> Option<String> {
    match (&backup.state, State::of(backup)) {
        (ListedState::Damaged { reason }, _) => Some(reason.clone()),
        (ListedState::BaseMissing(summary), _) => {
            let base = summary.base.as_ref()?;
            Some(format!(
                "its base {}, or a backup before that one, is not in the repository",
                base.name
            ))
        }
        (_, State::Incomplete) => {
            Some(lacks(backup.summary().map_or(0, |s| s.missing_tables)))
        }
        (_, State::ManifestMissing) => Some(
            "it has a summary but no manifest: it lost lsnap_manifest.json, was interrupted immediately before the end, \
             or is about to finish"
                .to_owned(),
        ),
        (ListedState::Stream { finished: false } | ListedState::Foreign { finished: false }, _) => {
            Some(
                "xtrabackup_tablespaces, which is stored last, is missing: it is in progress, was interrupted, or \
                 lost that object"
                    .to_owned(),
            )
        }
        _ => None,
    }
}

impl BackupEntry {
    /// Describes a backup of which only the name is known.
    fn missing(name: &BackupName) -> Self {
        Self {
            name: name.clone(),
            cluster: name.cluster().map(str::to_owned),
            chain: name.base(),
            kind: if name.is_incremental() {
                BackupKind::Incremental
            } else {
                BackupKind::Full
            },
            format: Format::Lsnap,
            state: State::Missing,
            problem: Some("it is not in the repository".to_owned()),
            pinned: None,
            base: None,
            id: None,
            made_by: None,
            made_at: name.time(),
            age_seconds: None,
            started_at: None,
            finished_at: None,
            duration_seconds: None,
            stored_bytes: 0,
            objects: 0,
            files: None,
            data_bytes: None,
            lsn: None,
            binlog: None,
            server: None,
            missing_tables: 0,
        }
    }

    /// Describes a listed backup of a chain.
    fn listed(backup: &Listed, chain: &BackupName, now: DateTime<Utc>) -> Self {
        let made_at = backup.made_at();
        let own = Self {
            chain: chain.clone(),
            kind: backup.kind(),
            format: match backup.state {
                ListedState::Stream { .. } => Format::Stream,
                ListedState::Foreign { .. } => Format::Xtrabackup,
                _ => Format::Lsnap,
            },
            state: State::of(backup),
            problem: problem(backup),
            pinned: Some(backup.pinned),
            made_by: backup.made_by(),
            made_at: Some(made_at),
            age_seconds: Some((now - made_at).num_seconds()),
            stored_bytes: backup.stored_bytes,
            objects: backup.objects,
            ..Self::missing(&backup.name)
        };
        match (backup.summary(), &backup.foreign) {
            (Some(summary), _) => own.with_summary(summary),
            (None, Some(foreign)) => Self {
                lsn: foreign.to_lsn.map(|to_lsn| EntryLsn {
                    from_lsn: foreign.from_lsn,
                    to_lsn: Some(to_lsn),
                    last_lsn: foreign.last_lsn,
                    start_checkpoint: None,
                    scan_floor: None,
                }),
                server: foreign.server_version.clone().map(|version| EntryServer {
                    uuid: None,
                    version,
                    hostname: None,
                }),
                ..own
            },
            (None, None) => own,
        }
    }

    fn with_summary(self, s: &Summary) -> Self {
        Self {
            base: s.base.as_ref().map(|base| base.name.clone()),
            id: Some(s.id.clone()),
            started_at: Some(s.started_at),
            finished_at: Some(s.finished_at),
            duration_seconds: Some((s.finished_at - s.started_at).as_seconds_f64()),
            stored_bytes: s.stored_bytes,
            objects: s.objects,
            files: Some(s.files),
            data_bytes: Some(s.data_bytes),
            lsn: Some(s.lsn.into()),
            binlog: s.binlog.clone(),
            server: Some(EntryServer {
                uuid: Some(s.server_uuid.clone()),
                version: s.server_version.clone(),
                hostname: Some(s.hostname.clone()).filter(|name| !name.is_empty()),
            }),
            missing_tables: s.missing_tables,
            ..self
        }
    }

    /// Describes a finished backup by its manifest, without a listing.
    pub(in crate::cli) fn of_manifest(manifest: &Manifest, now: DateTime<Utc>) -> Self {
        let summary = Summary::of(manifest, manifest.digest.clone(), 0);
        let made_at = manifest.finished_at;
        let is_complete = summary.missing_tables == 0;
        let own = Self {
            kind: manifest.kind,
            state: if is_complete {
                State::Finished
            } else {
                State::Incomplete
            },
            problem: (!is_complete).then(|| lacks(summary.missing_tables)),
            made_by: Some(format!("lsnap {}", manifest.lsnap_version)),
            made_at: Some(made_at),
            age_seconds: Some((now - made_at).num_seconds()),
            ..Self::missing(&manifest.name)
        };
        own.with_summary(&summary)
    }
}

fn lacks(tables: u64) -> String {
    format!("it lacks the data of {}", count(tables, "table"))
}

/// The entries of a listing, by name.
pub(in crate::cli) struct Entries {
    all: BTreeMap<BackupName, BackupEntry>,
    /// The names, chain after chain.
    order: Vec<BackupName>,
}

impl Entries {
    /// Describes all backups of a listing.
    pub(in crate::cli) fn of(listed: &[Listed], now: DateTime<Utc>) -> Self {
        let groups = chain_groups(listed);
        let entries = groups.iter().flat_map(|group| {
            let members = group.members();
            members.map(|backup| BackupEntry::listed(backup, &group.name, now))
        });
        let entries: Vec<BackupEntry> = entries.collect();
        Self {
            order: entries.iter().map(|entry| entry.name.clone()).collect(),
            all: entries
                .into_iter()
                .map(|entry| (entry.name.clone(), entry))
                .collect(),
        }
    }

    /// Returns the entry of a backup. One that was not listed has the state `missing`.
    pub(in crate::cli) fn get(&self, name: &BackupName) -> BackupEntry {
        let found = self.all.get(name).cloned();
        found.unwrap_or_else(|| BackupEntry::missing(name))
    }

    /// Returns all entries, chain after chain, each full backup before its incrementals.
    pub(in crate::cli) fn all(&self) -> Vec<BackupEntry> {
        self.order.iter().map(|name| self.get(name)).collect()
    }
}
