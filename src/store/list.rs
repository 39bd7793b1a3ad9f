//! What lies in a repository.

use super::repository::failed;
use super::{
    BackupKind, BackupName, BaseRef, Binlog, LsnRange, MANIFEST, Manifest, Repository, StoreError,
    key,
};
use crate::xbstream::{self, Chunk};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use std::collections::BTreeMap;

/// How many manifests are read at the same time.
const PARALLEL: usize = 8;

/// A backup of a repository, whatever its state.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: BackupName,
    /// Finished or not, and what is known of it.
    #[serde(flatten)]
    pub state: ListedState,
    /// Bytes of its objects.
    pub stored_bytes: u64,
    /// Its objects.
    pub objects: u64,
}

/// The state of a backup.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ListedState {
    /// Its manifest is there.
    Finished(Box<Summary>),
    /// It was interrupted, or is being made.
    Unfinished,
    /// Made by xtrabackup and xbcloud.
    Foreign {
        /// Whether the object is there that xbcloud stores last.
        finished: bool,
    },
    /// Its manifest can't be read.
    Damaged {
        /// Why not.
        reason: String,
    },
}

/// What a manifest says, without its files.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// [`Manifest::id`].
    pub id: String,
    /// Full or incremental.
    pub kind: BackupKind,
    /// What it continues.
    pub base: Option<BaseRef>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When its data was complete.
    pub finished_at: DateTime<Utc>,
    /// The server's uuid.
    pub server_uuid: String,
    /// The server's version.
    pub server_version: String,
    /// Its places in the redo log.
    pub lsn: LsnRange,
    /// Its place in the binary log.
    pub binlog: Option<Binlog>,
    /// Bytes of the tablespaces when restored.
    pub data_bytes: u64,
}

impl From<Manifest> for Summary {
    fn from(m: Manifest) -> Self {
        let spaces = m.files.iter().filter_map(|file| file.role.space());
        Self {
            data_bytes: spaces.map(|space| space.bytes).sum(),
            id: m.id,
            kind: m.kind,
            base: m.base,
            started_at: m.started_at,
            finished_at: m.finished_at,
            server_uuid: m.server.uuid,
            server_version: m.server.version,
            lsn: m.lsn,
            binlog: m.binlog,
        }
    }
}

/// What one pass over the keys gathers of a backup.
#[derive(Debug, Default)]
struct Seen {
    objects: u64,
    bytes: u64,
    manifest: bool,
    info: bool,
    tablespaces: bool,
}

impl Repository {
    /// Every backup, finished or not, sorted by name with each chain's incrementals behind its full
    /// backup. What is no backup is passed over.
    ///
    /// # Errors
    /// [`StoreError::NoRepository`], or what the store says.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.inner.runtime.block_on(async {
            let seen = self.scan().await?;
            let mut listed: Vec<Listed> = futures::stream::iter(seen)
                .map(|(name, seen)| self.look_at(name, seen))
                .buffered(PARALLEL)
                .collect()
                .await;
            listed.sort_by_key(|l| (l.name.base(), l.name.clone()));
            Ok(listed)
        })
    }

    async fn scan(&self) -> Result<BTreeMap<BackupName, Seen>, StoreError> {
        let store = self.inner.existing()?;
        let mut keys = store.list(None);
        let mut seen: BTreeMap<BackupName, Seen> = BTreeMap::new();
        let next = |e| failed("list", self.url(), &e);
        while let Some(meta) = keys.try_next().await.map_err(next)? {
            let Some(object) = key::parse(meta.location.as_ref()) else {
                continue;
            };
            let seen = seen.entry(object.name).or_default();
            seen.objects += 1;
            seen.bytes += meta.size;
            seen.manifest |= object.path == MANIFEST && object.index == 0;
            seen.info |= object.path == "xtrabackup_info";
            seen.tablespaces |= object.path.starts_with("xtrabackup_tablespaces");
        }
        Ok(seen)
    }

    async fn look_at(&self, name: BackupName, seen: Seen) -> Listed {
        let state = if seen.manifest {
            match self.inner.manifest(&name).await {
                Ok(manifest) => ListedState::Finished(Box::new(manifest.into())),
                Err(error) => ListedState::Damaged {
                    reason: error.to_string(),
                },
            }
        } else if seen.tablespaces && !self.is_ours(&name, &seen).await {
            ListedState::Foreign { finished: true }
        } else if seen.info && !self.is_ours(&name, &seen).await {
            ListedState::Foreign { finished: false }
        } else {
            ListedState::Unfinished
        };
        Listed {
            name,
            state,
            stored_bytes: seen.bytes,
            objects: seen.objects,
        }
    }

    /// Whether lsnap made a backup that has no manifest: killed before the end, it may hold what
    /// xbcloud takes for a sign of a whole one.
    async fn is_ours(&self, name: &BackupName, seen: &Seen) -> bool {
        if !seen.info {
            return false;
        }
        let Ok(key) = key::object(name, "xtrabackup_info", 0) else {
            return false;
        };
        let Ok(object) = self.inner.get(&key).await else {
            return false;
        };
        xbstream::chunks(object).flatten().any(|chunk| match chunk {
            Chunk::Payload { data, .. } => String::from_utf8_lossy(&data)
                .lines()
                .any(|line| line == "tool_name = lsnap"),
            _ => false,
        })
    }
}
