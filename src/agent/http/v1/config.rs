//! The settings, without secrets.

use super::super::error::ErrorDocument;
use super::super::shared::Shared;
use crate::agent::settings::{
    CatchUp, OnMissingBase, Prefer, ScheduleSettings, ScheduledJob, Settings,
};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// The settings of the agent. Secrets are not among them, and neither are the files that have them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigDocument {
    /// The version of lsnap.
    version: &'static str,
    /// The name of the agent in slots and logs.
    name: String,
    /// The names of the repositories, or their URLs.
    repositories: Vec<String>,
    /// The most jobs at the same time.
    max_jobs: usize,
    /// How long running jobs may go on after SIGTERM.
    shutdown_grace_seconds: u64,
    /// How often repositories are listed if no job changed them.
    refresh_seconds: u64,
    /// The place where this API listens.
    listen: Option<String>,
    /// Whether it has TLS.
    tls: bool,
    /// Whether clients need a certificate.
    client_certificates: bool,
    /// Whether requests need a token.
    token: bool,
    /// The place where the sidecar's API listens.
    sidecar_listen: Option<String>,
    schedules: Vec<ScheduleDocument>,
}

/// A schedule of the configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScheduleDocument {
    name: String,
    cron: String,
    /// An IANA time zone.
    time_zone: String,
    job: &'static str,
    /// The repository; null: the configured one.
    repository: Option<String>,
    /// Full backups of this schedule that are kept.
    keep: Option<u32>,
    jitter_seconds: u64,
    catch_up: &'static str,
    on_missing_base: &'static str,
    deadline_seconds: Option<u64>,
    window_seconds: Option<u64>,
    retries: u32,
    prefer: &'static str,
}

impl From<&ScheduleSettings> for ScheduleDocument {
    fn from(schedule: &ScheduleSettings) -> Self {
        Self {
            name: schedule.name.clone(),
            cron: schedule.cron.clone(),
            time_zone: schedule
                .time_zone
                .clone()
                .unwrap_or_else(|| "UTC".to_owned()),
            job: match schedule.job {
                ScheduledJob::Full => "full",
                ScheduledJob::Incremental => "incremental",
                ScheduledJob::Auto => "auto",
                ScheduledJob::Consolidate => "consolidate",
                ScheduledJob::Verify => "verify",
                ScheduledJob::Prune => "prune",
                ScheduledJob::Copy => "copy",
                ScheduledJob::Check => "check",
            },
            repository: schedule.repository.clone(),
            keep: schedule.keep.map(Into::into),
            jitter_seconds: schedule.jitter.as_secs(),
            catch_up: match schedule.catch_up {
                CatchUp::Once => "once",
                CatchUp::Skip => "skip",
            },
            on_missing_base: match schedule.on_missing_base {
                OnMissingBase::Error => "error",
                OnMissingBase::Full => "full",
            },
            deadline_seconds: schedule.deadline.as_ref().map(Duration::as_secs),
            window_seconds: schedule.window.as_ref().map(Duration::as_secs),
            retries: schedule.retries,
            prefer: match schedule.prefer {
                Prefer::Replica => "replica",
                Prefer::Primary => "primary",
                Prefer::Any => "any",
            },
        }
    }
}

impl From<&Settings> for ConfigDocument {
    fn from(settings: &Settings) -> Self {
        let http = settings.http.as_ref();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            name: settings.name.clone(),
            repositories: settings.repositories.clone(),
            max_jobs: settings.max_jobs.get(),
            shutdown_grace_seconds: settings.shutdown_grace.as_secs(),
            refresh_seconds: settings.refresh.as_secs(),
            listen: http.map(|http| http.listen.clone()),
            tls: http.is_some_and(|http| http.tls.is_some()),
            client_certificates: http.is_some_and(|http| http.client_ca.is_some()),
            token: http.is_some_and(|http| http.token_file.is_some()),
            sidecar_listen: settings.sidecar.as_ref().map(|s| s.listen.clone()),
            schedules: settings.schedules.iter().map(Into::into).collect(),
        }
    }
}

/// Show the settings, without secrets
#[utoipa::path(get, path = "/v1/config", tag = "agent", responses(
    (status = 200, description = "The settings as loaded last", body = ConfigDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn show(State(shared): State<Shared>) -> Json<ConfigDocument> {
    Json(ConfigDocument::from(&*shared.api.settings()))
}
