//! A backup, as the API shows it.

use crate::counted::count;
use crate::manifest::{BackupKind, BackupName};
use crate::store::{Listed, ListedState, chain_groups};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// A backup of a repository, as it was listed last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct BackupView {
    /// Its name.
    pub(super) name: String,
    /// The first part of the name; null if the name has another form.
    cluster: Option<String>,
    /// The full backup of its chain; its own name if it is one.
    pub(super) chain: String,
    #[serde(rename = "type")]
    backup_type: ViewType,
    pub(super) state: ViewState,
    /// The reason for a state other than `finished`.
    problem: Option<String>,
    /// Whether its chain is pinned.
    pinned: bool,
    /// The backup on which the incremental is based.
    base: Option<String>,
    /// The program that made it.
    made_by: Option<String>,
    /// `finished_at`, else the time in its name, else that of its newest object.
    made_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    /// Bytes of the objects.
    stored_bytes: u64,
    /// Number of the objects.
    objects: u64,
    /// Bytes of the tablespaces after a restore.
    data_bytes: Option<u64>,
    from_lsn: Option<u64>,
    to_lsn: Option<u64>,
    server_version: Option<String>,
    hostname: Option<String>,
}

/// Full or incremental.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ViewType {
    Full,
    Incremental,
}

/// The state of a backup, as far as a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ViewState {
    /// It can be restored.
    Finished,
    /// It can be restored, but lacks tables.
    Incomplete,
    /// A backup of its chain is missing: it can't be restored.
    BaseMissing,
    /// It is in progress, or was interrupted.
    Unfinished,
    /// Its deletion was begun and not completed.
    Deleting,
    /// Objects are missing or changed: it can't be restored.
    Damaged,
}

fn state(backup: &Listed) -> (ViewState, Option<String>) {
    let missing = backup.summary().map_or(0, |summary| summary.missing_tables);
    match &backup.state {
        ListedState::Finished(_) if missing > 0 => (
            ViewState::Incomplete,
            Some(format!("it lacks the data of {}", count(missing, "table"))),
        ),
        ListedState::Finished(_)
        | ListedState::Stream { finished: true }
        | ListedState::Foreign { finished: true } => (ViewState::Finished, None),
        ListedState::BaseMissing(_) => (
            ViewState::BaseMissing,
            Some("a backup of its chain is not in the repository".to_owned()),
        ),
        ListedState::Unfinished
        | ListedState::Stream { finished: false }
        | ListedState::Foreign { finished: false } => (ViewState::Unfinished, None),
        ListedState::Deleting => (ViewState::Deleting, None),
        ListedState::Damaged { reason } => (ViewState::Damaged, Some(reason.clone())),
    }
}

impl BackupView {
    fn of(backup: &Listed, chain: &BackupName) -> Self {
        let (state, problem) = state(backup);
        let summary = backup.summary();
        let lsns = backup.lsns();
        let foreign = backup.foreign.as_ref();
        Self {
            name: backup.name.to_string(),
            cluster: backup.name.cluster().map(str::to_owned),
            chain: chain.to_string(),
            backup_type: match backup.kind() {
                BackupKind::Full => ViewType::Full,
                BackupKind::Incremental => ViewType::Incremental,
            },
            state,
            problem,
            pinned: backup.pinned,
            base: summary.and_then(|s| Some(s.base.as_ref()?.name.to_string())),
            made_by: backup.made_by(),
            made_at: backup.made_at(),
            started_at: summary.map(|s| s.started_at),
            finished_at: summary.map(|s| s.finished_at),
            stored_bytes: backup.stored_bytes,
            objects: backup.objects,
            data_bytes: summary.map(|s| s.data_bytes),
            from_lsn: lsns.map(|(from, _)| from.0),
            to_lsn: lsns.map(|(_, to)| to.0),
            server_version: summary
                .map(|s| s.server_version.clone())
                .or_else(|| foreign?.server_version.clone()),
            hostname: summary
                .map(|s| s.hostname.clone())
                .filter(|name| !name.is_empty()),
        }
    }

    /// Returns all backups, chain after chain, each full backup before its incrementals.
    pub(super) fn all(listed: &[Listed]) -> Vec<Self> {
        let groups = chain_groups(listed);
        let views = groups.iter().flat_map(|group| {
            let members = group.members();
            members.map(|backup| Self::of(backup, &group.name))
        });
        views.collect()
    }
}
