//! Schedules: listed, run now, paused.

use super::super::error::{ApiError, ErrorDocument};
use super::super::shared::Shared;
use super::jobs::accepted;
use crate::agent::jobs::Job;
use crate::agent::schedule::{ScheduleError, ScheduleStatus};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

/// The schedules.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SchedulesDocument {
    /// In the order of the configuration.
    schedules: Vec<ScheduleStatus>,
}

/// List the schedules
#[utoipa::path(get, path = "/v1/schedules", tag = "schedules", responses(
    (status = 200, description = "The schedules, each with its next slot and its last ones", body = SchedulesDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn list(State(shared): State<Shared>) -> Json<SchedulesDocument> {
    Json(SchedulesDocument {
        schedules: shared.api.schedules(),
    })
}

/// Start the job of a schedule now
///
/// The next slot is not changed.
#[utoipa::path(post, path = "/v1/schedules/{name}/run", tag = "schedules", params(("name" = String, Path, description = "The name of the schedule")), responses(
    (status = 202, description = "The job was started, or waits for its turn", body = Job),
    (status = 404, description = "There is no such schedule", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn run(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let id = shared.api.run_now(&name)?;
    accepted(&shared, &id)
}

/// Pause a schedule
///
/// Its slots are skipped until it is resumed, by all agents, also after a restart.
#[utoipa::path(post, path = "/v1/schedules/{name}/pause", tag = "schedules", params(("name" = String, Path, description = "The name of the schedule")), responses(
    (status = 200, description = "The schedule", body = ScheduleStatus),
    (status = 404, description = "There is no such schedule", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn pause(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<ScheduleStatus>, ApiError> {
    set(shared, name, true).await
}

/// Resume a paused schedule
#[utoipa::path(post, path = "/v1/schedules/{name}/resume", tag = "schedules", params(("name" = String, Path, description = "The name of the schedule")), responses(
    (status = 200, description = "The schedule", body = ScheduleStatus),
    (status = 404, description = "There is no such schedule", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn resume(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<ScheduleStatus>, ApiError> {
    set(shared, name, false).await
}

async fn set(shared: Shared, name: String, paused: bool) -> Result<Json<ScheduleStatus>, ApiError> {
    let api = std::sync::Arc::clone(&shared.api);
    let of = name.clone();
    // It is written into the repository.
    let done = tokio::task::spawn_blocking(move || api.pause(&of, paused)).await;
    done.map_err(|error| ApiError::system(error.to_string()))??;
    let mut all = shared.api.schedules().into_iter();
    let found = all.find(|schedule| schedule.name == name);
    found
        .map(Json)
        .ok_or_else(|| ScheduleError::Unknown { name }.into())
}
