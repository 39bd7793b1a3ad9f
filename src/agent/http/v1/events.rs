//! Events of jobs, as server-sent events.

use super::super::error::{ApiError, ErrorDocument};
use super::super::shared::Shared;
use super::jobs::brief;
use crate::agent::jobs::Event;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use futures::Stream;
use futures::stream::unfold;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;
use utoipa::IntoParams;

/// The wanted events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Only events of this job.
    job: Option<String>,
}

/// Follow the jobs
///
/// Server-sent events: `job` with the job as data, without its report; `missed` with the number of events that were not
/// sent, because the client reads too slowly. The stream ends after an hour, and when the agent ends: connect again.
#[utoipa::path(get, path = "/v1/events", tag = "jobs", params(EventsQuery), responses(
    (status = 200, description = "The stream", body = String, content_type = "text/event-stream"),
    (status = 503, description = "Too many streams are open", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn stream(
    State(shared): State<Shared>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, ApiError> {
    let Query(EventsQuery { job }) = query?;
    let permit = shared.streams.clone().try_acquire_owned().map_err(|_| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too many streams of events are open",
        )
    })?;
    let follower = Follower {
        events: shared.api.subscribe(),
        until: Instant::now() + shared.limits.stream,
        shared,
        job,
        _permit: permit,
    };
    let events = unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(alive))
}

struct Follower {
    events: broadcast::Receiver<Event>,
    until: Instant,
    shared: Shared,
    job: Option<String>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// Returns the next event; `None` at the end.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            let received = tokio::select! {
                biased;
                () = self.shared.cancel.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                received = self.events.recv() => received,
            };
            match received {
                Ok(event) if self.job.as_ref().is_some_and(|id| *id != event.job.id.0) => {}
                Ok(event) => {
                    let event = Event {
                        job: brief(event.job),
                        ..event
                    };
                    let sent = Sent::default().event("job").json_data(&event);
                    return sent.ok();
                }
                Err(RecvError::Lagged(missed)) => {
                    return Some(Sent::default().event("missed").data(missed.to_string()));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
