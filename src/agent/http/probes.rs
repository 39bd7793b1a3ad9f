//! `/healthz` and `/readyz`.

use super::error::ErrorDocument;
use super::guard::Trusted;
use super::shared::Shared;
use crate::agent::settings::Settings;
use crate::agent::status::Status;
use crate::shown::shown_path;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use rustix::fs::statvfs;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use utoipa::ToSchema;

/// The scheduler makes a step at least this often.
const STEP: Duration = Duration::from_secs(300);
/// Least free space of the directory of the agent, in bytes.
pub(super) const LEAST_FREE: u64 = 64 << 20;

/// The result of a probe.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProbeDocument {
    /// Whether all checks passed.
    ok: bool,
    checks: Vec<CheckResult>,
}

/// A check of a probe.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckResult {
    /// `scheduler`, `server`, `repository`, `disk` or `shutdown`.
    check: &'static str,
    ok: bool,
    /// What was found. Without the token, if one is needed, it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn check(check: &'static str, ok: bool, reason: impl Into<String>) -> CheckResult {
    CheckResult {
        check,
        ok,
        reason: Some(reason.into()),
    }
}

type Answer = (StatusCode, Json<ProbeDocument>);

fn answer(mut checks: Vec<CheckResult>, trusted: Trusted) -> Answer {
    let ok = checks.iter().all(|check| check.ok);
    if !trusted.0 {
        checks.iter_mut().for_each(|check| check.reason = None);
    }
    let code = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(ProbeDocument { ok, checks }))
}

/// Tell whether the agent is alive
///
/// For a liveness probe: if it fails, the agent should be restarted. A server or a repository that is not reached is no
/// reason.
#[utoipa::path(get, path = "/healthz", tag = "agent", responses(
    (status = 200, description = "The scheduler moves", body = ProbeDocument),
    (status = 503, description = "It doesn't", body = ProbeDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn healthz(
    State(shared): State<Shared>,
    Extension(trusted): Extension<Trusted>,
) -> Answer {
    let since = shared.api.since_last_step();
    let reason = format!("its last step was {} s ago", since.as_secs());
    answer(vec![check("scheduler", since <= STEP, reason)], trusted)
}

/// Tell whether the agent can back up
///
/// The server and the repositories were reached, and the agent's directory has space.
#[utoipa::path(get, path = "/readyz", tag = "agent", responses(
    (status = 200, description = "All checks passed", body = ProbeDocument),
    (status = 503, description = "A check failed", body = ProbeDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn readyz(
    State(shared): State<Shared>,
    Extension(trusted): Extension<Trusted>,
) -> Answer {
    let (status, settings) = (shared.api.status(), shared.api.settings());
    answer(readiness(&status, &settings), trusted)
}

/// Returns whether something was looked at so long ago that the thread that looks must have stopped.
pub(super) fn is_old(at: DateTime<Utc>, status: &Status, settings: &Settings) -> bool {
    let most = settings.refresh * 3 + Duration::from_secs(600);
    (status.at - at).to_std().is_ok_and(|age| age > most)
}

fn readiness(status: &Status, settings: &Settings) -> Vec<CheckResult> {
    let mut checks = Vec::new();
    if status.shutting_down {
        checks.push(check("shutdown", false, "the agent is shutting down"));
    }
    if let Some(server) = &status.server {
        checks.push(match &server.reached {
            Ok(_) if is_old(server.at, status, settings) => {
                let ago = (status.at - server.at).num_seconds();
                check("server", false, format!("asked last {ago} s ago"))
            }
            Ok(version) => check("server", true, format!("version {version}")),
            Err(why) => check("server", false, why),
        });
    }
    for repository in &status.repositories {
        let name = &repository.name;
        checks.push(match (&repository.error, repository.listed_at) {
            (Some(why), _) => check("repository", false, format!("{name}: {why}")),
            (None, None) => check("repository", false, format!("{name}: not listed yet")),
            (None, Some(at)) => {
                let ago = (status.at - at).num_seconds();
                let ok = !is_old(at, status, settings);
                check("repository", ok, format!("{name}: listed {ago} s ago"))
            }
        });
    }
    let directory = &settings.state_dir;
    checks.push(match free_bytes(directory) {
        Some(free) => check(
            "disk",
            free >= LEAST_FREE,
            format!("{} has {} MiB free", shown_path(directory), free >> 20),
        ),
        None => check(
            "disk",
            false,
            format!("{} can't be read", shown_path(directory)),
        ),
    });
    checks
}

/// Returns the free bytes of a directory.
pub(super) fn free_bytes(directory: &Path) -> Option<u64> {
    let found = statvfs(directory).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
