//! The age and the completeness of the backups.

use super::super::error::{ApiError, ErrorDocument};
use super::super::shared::Shared;
use super::repositories::repository;
use crate::store::{self, ClusterHealth, Limits};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// What is checked.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckQuery {
    /// The repository, by its name in the configuration [default: the first one].
    repository: Option<String>,
    /// Largest age of the newest finished backup, in hours.
    #[param(default = 26, minimum = 1, maximum = 65535)]
    max_age_hours: Option<u16>,
}

/// The findings.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckDocument {
    /// The repository.
    repository: String,
    /// When it was listed; null: not yet.
    listed_at: Option<DateTime<Utc>>,
    /// Why it couldn't be listed lately.
    error: Option<String>,
    /// The worst of all clusters.
    state: Finding,
    /// The clusters.
    clusters: Vec<ClusterDocument>,
}

/// The state of the backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Finding {
    Ok,
    Warning,
    Critical,
}

/// The backups of a cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClusterDocument {
    /// The first part of the names.
    cluster: String,
    state: Finding,
    /// The newest finished backup.
    newest: Option<String>,
    /// Seconds since it was finished.
    age_seconds: Option<i64>,
    /// Incrementals in its chain, up to it.
    incrementals: u64,
    /// Number of backups in any state.
    backups: u64,
    /// Bytes of all objects of them.
    stored_bytes: u64,
    /// Reasons why a restore of the current state is impossible, or gives an older state than wanted.
    critical: Vec<String>,
    /// Findings that need attention.
    warnings: Vec<String>,
}

impl From<ClusterHealth> for ClusterDocument {
    fn from(health: ClusterHealth) -> Self {
        Self {
            state: match (health.critical.is_empty(), health.warnings.is_empty()) {
                (false, _) => Finding::Critical,
                (true, false) => Finding::Warning,
                (true, true) => Finding::Ok,
            },
            cluster: health.cluster,
            newest: health.newest.map(|name| name.to_string()),
            age_seconds: health.age_seconds,
            incrementals: health.incrementals,
            backups: health.backups,
            stored_bytes: health.stored_bytes,
            critical: health.critical,
            warnings: health.warnings,
        }
    }
}

/// Check the age and the completeness of the backups
///
/// It uses the agent's last listing of the repository. The job `check` lists it anew.
#[utoipa::path(get, path = "/v1/check", tag = "backups", params(CheckQuery), responses(
    (status = 200, description = "The findings", body = CheckDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn check(
    State(shared): State<Shared>,
    query: Result<Query<CheckQuery>, QueryRejection>,
) -> Result<Json<CheckDocument>, ApiError> {
    let query = query?.0;
    let hours = query.max_age_hours.unwrap_or(26);
    if hours == 0 {
        return Err(ApiError::arguments("max_age_hours: expected at least 1"));
    }
    let status = shared.api.status();
    let found = repository(&status, query.repository.as_deref())?;
    let limits = Limits {
        age: Duration::from_secs(u64::from(hours) * 3600),
        full_age: None,
        incrementals: None,
    };
    let health = store::health(&found.listed, &limits, Utc::now());
    let clusters: Vec<ClusterDocument> = health.into_iter().map(ClusterDocument::from).collect();
    let worst = clusters.iter().map(|cluster| cluster.state).max();
    let mut state = worst.unwrap_or(Finding::Critical);
    if found.error.is_some() {
        state = state.max(Finding::Warning);
    }
    Ok(Json(CheckDocument {
        repository: found.name.clone(),
        listed_at: found.listed_at,
        error: found.error.clone(),
        state,
        clusters,
    }))
}
