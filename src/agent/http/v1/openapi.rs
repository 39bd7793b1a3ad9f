//! The description of the API in OpenAPI 3.1, generated from the types. `docs/reference/openapi.json` is the same.

use super::super::error::ErrorDocument;
use super::super::probes;
use super::{backups, check, config, events, jobs, schedules};
use axum::Json;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "lsnap agent",
        description = "The API of `lsnap agent`. Errors have one shape, with a kind for programs, a message and often a hint.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        jobs::start, jobs::list, jobs::get, jobs::cancel, jobs::log, events::stream,
        backups::list, backups::show, backups::delete, backups::pin, backups::unpin, check::check,
        schedules::list, schedules::run, schedules::pause, schedules::resume,
        config::show, document, probes::healthz, probes::readyz,
    ),
    components(schemas(ErrorDocument)),
    tags(
        (name = "jobs", description = "Jobs: commands of lsnap that the agent runs"),
        (name = "backups", description = "Backups of the configured repositories"),
        (name = "schedules", description = "Schedules of the configuration"),
        (name = "agent", description = "The agent itself"),
    )
)]
struct Description;

/// Returns the description.
pub(super) fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// Show this description
#[utoipa::path(get, path = "/v1/openapi.json", tag = "agent", responses(
    (status = 200, description = "The description of the API", body = serde_json::Value),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(description())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_description_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/openapi.json");
        let mut text = serde_json::to_string_pretty(&description()).unwrap();
        text.push('\n');
        if std::env::var_os("LSNAP_WRITE_REFERENCE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == text,
            "docs/reference/openapi.json differs from the types: run the unit tests with LSNAP_WRITE_REFERENCE=1"
        );
    }
}
