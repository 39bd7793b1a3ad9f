//! Jobs: started, listed, cancelled, with their logs.

use super::super::error::{ApiError, ErrorDocument};
use super::super::shared::Shared;
use super::repositories::repository;
use super::request::{Given, JobRequest};
use crate::agent::jobs::{Job, JobId, JobSpec, State};
use crate::shown::{shown, shown_path};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State as Of};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use utoipa::{IntoParams, ToSchema};

/// The jobs that wait, run, or ended lately.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobsDocument {
    /// The newest first, without their reports.
    jobs: Vec<Job>,
}

/// Returns a job without its report, which can be long.
pub(super) fn brief(job: Job) -> Job {
    Job {
        report: None,
        ..job
    }
}

/// Start a job
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = JobRequest, responses(
    (status = 202, description = "The job was started, or waits for its turn", body = Job),
    (status = 429, description = "Too many jobs wait", body = ErrorDocument),
    (status = 503, description = "The agent is shutting down", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn start(
    Of(shared): Of<Shared>,
    Given(request): Given<JobRequest>,
) -> Result<Response, ApiError> {
    let status = shared.api.status();
    for name in request.repositories() {
        repository(&status, Some(name))?;
    }
    begin(&shared, request.spec()?)
}

/// Starts a job, and answers with it.
pub(super) fn begin(shared: &Shared, spec: JobSpec) -> Result<Response, ApiError> {
    let id = shared.api.start(spec)?;
    accepted(shared, &id)
}

/// Answers with a job that was started.
pub(super) fn accepted(shared: &Shared, id: &JobId) -> Result<Response, ApiError> {
    let job = shared.api.job(id).ok_or_else(|| {
        ApiError::system(format!("the job {} ended and was forgotten", shown(&id.0)))
    })?;
    let mut response = (StatusCode::ACCEPTED, Json(brief(job))).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/jobs/{}", id.0)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// List the jobs
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", responses(
    (status = 200, description = "The jobs that wait, run, or ended lately", body = JobsDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn list(Of(shared): Of<Shared>) -> Json<JobsDocument> {
    let jobs = shared.api.jobs().into_iter().map(brief).collect();
    Json(JobsDocument { jobs })
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no job {}", shown(id)))
        .with_hint("jobs that ended long ago are forgotten; their backups are in the repository")
}

/// Show a job with its progress and its report
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The id of the job")), responses(
    (status = 200, description = "The job", body = Job),
    (status = 404, description = "There is no such job", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn get(
    Of(shared): Of<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Job>, ApiError> {
    let job = shared.api.job(&JobId(id.clone()));
    job.map(Json).ok_or_else(|| unknown(&id))
}

/// Cancel a job
///
/// It ends after it has tidied up.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path, description = "The id of the job")), responses(
    (status = 202, description = "The job was asked to end", body = Job),
    (status = 404, description = "There is no such job", body = ErrorDocument),
    (status = 409, description = "The job is over", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn cancel(
    Of(shared): Of<Shared>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = JobId(id);
    let job = shared.api.job(&id).ok_or_else(|| unknown(&id.0))?;
    if job.state.is_over() {
        let how = match job.state {
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            _ => "was cancelled",
        };
        return Err(ApiError::conflict(format!("the job {} {how}", id.0)));
    }
    let job = shared.api.cancel(&id).ok_or_else(|| unknown(&id.0))?;
    Ok((StatusCode::ACCEPTED, Json(brief(job))).into_response())
}

/// Which part of a log is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    /// The most bytes, from the end of the log.
    #[param(default = 1_048_576, minimum = 1, maximum = 16_777_216)]
    tail_bytes: Option<u64>,
}

/// Show the log of a job
#[utoipa::path(get, path = "/v1/jobs/{id}/log", tag = "jobs", params(("id" = String, Path, description = "The id of the job"), LogQuery), responses(
    (status = 200, description = "The end of the log, in whole lines", body = String, content_type = "text/plain"),
    (status = 404, description = "There is no such job, or it has no log", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn log(
    Of(shared): Of<Shared>,
    Path(id): Path<String>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let most = query?.0.tail_bytes.unwrap_or(1 << 20);
    if !(1..=16 << 20).contains(&most) {
        return Err(ApiError::arguments(
            "tail_bytes: expected a number from 1 to 16777216",
        ));
    }
    let id = JobId(id);
    let path = shared.api.log(&id).ok_or_else(|| unknown(&id.0))?;
    let shown = shown_path(&path).to_string();
    let read = tokio::task::spawn_blocking(move || tail(path, most)).await;
    match read.map_err(std::io::Error::other).and_then(|read| read) {
        Ok(text) => {
            Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ApiError::not_found(format!("the job {} has no log", id.0)))
        }
        Err(error) => Err(ApiError::system(format!("{shown}: {error}"))),
    }
}

/// Returns the end of a file, from the start of a line.
fn tail(path: PathBuf, most: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    let from = length.saturating_sub(most);
    file.seek(SeekFrom::Start(from))?;
    file.take(most).read_to_end(&mut bytes)?;
    let start = match from {
        0 => 0,
        _ => bytes
            .iter()
            .position(|b| *b == b'\n')
            .map_or(0, |at| at + 1),
    };
    let whole = bytes.get(start..).unwrap_or_default();
    Ok(String::from_utf8_lossy(whole).into_owned())
}
