//! `/metrics`, for Prometheus.
//!
//! | module | contents |
//! |---|---|
//! | [`recorder`] | the jobs that ended since the agent's start |
//! | [`report`] | the values in the report of a job |
//! | [`state`] | the agent, its server, its repositories and its schedules |

pub(super) mod recorder;
mod report;
mod state;
#[cfg(test)]
pub(super) mod tests;

use super::shared::Shared;
use crate::metrics::format;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

/// Answers a scrape.
pub(super) async fn scrape(State(shared): State<Shared>) -> impl IntoResponse {
    let content = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (content, text(&shared))
}

fn text(shared: &Shared) -> String {
    let status = shared.api.status();
    let jobs = shared.api.jobs();
    // The task that follows the events may be late.
    shared.recorder.observe(&jobs, &status);
    let mut samples = shared.recorder.samples();
    samples.extend(state::of_agent(&status, &*shared.api));
    samples.extend(state::of_jobs(&jobs, &status));
    samples.extend(state::of_server(&status));
    samples.extend(state::of_repositories(&status));
    samples.extend(state::of_schedules(&shared.api.schedules()));
    // A second value of a series makes Prometheus refuse all.
    let mut once = Vec::with_capacity(samples.len());
    for sample in samples {
        if !once
            .iter()
            .any(|known: &crate::metrics::Sample| known.is_same(&sample))
        {
            once.push(sample);
        }
    }
    format("", &once)
}
