//! The API `/v1`.
//!
//! | module | contents |
//! |---|---|
//! | [`request`] | what can be asked for: typed, without arguments of the command line |
//! | [`command`] | the jobs of requests |
//! | [`repositories`] | repositories and backups, found by their names |
//! | [`jobs`], [`events`] | jobs |
//! | [`backups`] | backups, their deletion and their pins |
//! | [`check`] | the age and the completeness of the backups |
//! | [`schedules`] | schedules |
//! | [`config`] | the settings, without secrets |
//! | [`openapi`] | the description of the API |

mod backup_view;
mod backups;
mod check;
mod command;
mod config;
mod events;
mod jobs;
mod openapi;
mod repositories;
mod request;
mod schedules;

use super::shared::Shared;
use axum::Router;
use axum::routing::{get, post, put};

/// Returns the paths of the API.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/openapi.json", get(openapi::document))
        .route("/v1/jobs", get(jobs::list).post(jobs::start))
        .route("/v1/jobs/{id}", get(jobs::get))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{id}/log", get(jobs::log))
        .route("/v1/events", get(events::stream))
        .route("/v1/backups", get(backups::list))
        .route(
            "/v1/backups/{name}",
            get(backups::show).delete(backups::delete),
        )
        .route(
            "/v1/backups/{name}/pin",
            put(backups::pin).delete(backups::unpin),
        )
        .route("/v1/check", get(check::check))
        .route("/v1/schedules", get(schedules::list))
        .route("/v1/schedules/{name}/run", post(schedules::run))
        .route("/v1/schedules/{name}/pause", post(schedules::pause))
        .route("/v1/schedules/{name}/resume", post(schedules::resume))
        .route("/v1/config", get(config::show))
}
