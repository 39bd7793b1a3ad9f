//! The jobs that ended since the agent's start: counted, with the values of the last one of each kind.

use super::super::api::Api;
use super::report::{self, url};
use crate::agent::jobs::{Job, JobId, JobKind, State};
use crate::agent::status::Status;
use crate::locked::Locked as _;
use crate::metrics::families::{
    DAMAGE, RUN_DURATION, RUN_END, RUN_EXIT_CODE, RUN_SUCCESS, RUNS, SUCCESS,
};
use crate::metrics::{DAMAGE_CODE, Sample};
use std::collections::VecDeque;
use std::slice;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast::error::RecvError;

/// Remembered ids of jobs that were counted: more than the agent's list has.
const REMEMBERED: usize = 4096;

/// Counts the jobs that ended.
#[derive(Debug, Default)]
pub(in super::super) struct Recorder(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    counted: VecDeque<JobId>,
    samples: Vec<Sample>,
}

impl Recorder {
    /// Follows the events of the jobs.
    pub(in super::super) async fn record(self: Arc<Self>, api: Arc<dyn Api>) {
        let mut events = api.subscribe();
        self.observe(&api.jobs(), &api.status());
        loop {
            match events.recv().await {
                Ok(event) => self.observe(slice::from_ref(&event.job), &api.status()),
                // Some were missed; the list still has them.
                Err(RecvError::Lagged(_)) => self.observe(&api.jobs(), &api.status()),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Counts the jobs that ended and weren't counted.
    pub(super) fn observe(&self, jobs: &[Job], status: &Status) {
        let mut recorded = self.0.locked();
        for job in jobs.iter().rev().filter(|job| job.state.is_over()) {
            if recorded.counted.contains(&job.id) {
                continue;
            }
            if recorded.counted.len() >= REMEMBERED {
                recorded.counted.pop_front();
            }
            recorded.counted.push_back(job.id.clone());
            recorded.count(job, url(status, job.repository.as_deref()));
        }
    }

    /// Returns the values.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.0.locked().samples.clone()
    }
}

impl Recorded {
    fn count(&mut self, job: &Job, repository: &str) {
        let labels = [
            ("command", job.kind.command()),
            ("repository", repository),
            ("level", report::level(job)),
        ];
        let success = job.state == State::Succeeded;
        for (result, more) in [("success", success), ("failure", !success)] {
            let labels = [labels[0], labels[1], labels[2], ("result", result)];
            let one = Sample::new(&RUNS, &labels, f64::from(u8::from(more)));
            let before = self.samples.iter().find(|sample| sample.is_same(&one));
            let value = one.value + before.map_or(0.0, |before| before.value);
            self.set(Sample { value, ..one });
        }
        let Some(end) = job.ended_at else { return };
        let time = end.timestamp_millis() as f64 / 1000.0;
        self.set(Sample::new(&RUN_END, &labels, time));
        let state = f64::from(u8::from(success));
        self.set(Sample::new(&RUN_SUCCESS, &labels, state));
        if let Some(start) = job.started_at {
            let duration = (end - start).as_seconds_f64().max(0.0);
            self.set(Sample::new(&RUN_DURATION, &labels, duration));
        }
        if let Some(code) = job.exit_code {
            self.set(Sample::new(&RUN_EXIT_CODE, &labels, code.into()));
            if code == DAMAGE_CODE {
                self.set(Sample::new(&DAMAGE, &labels, time));
            }
        }
        // The last success of a backup is found in the repository.
        if success && job.kind != JobKind::Backup {
            self.set(Sample::new(&SUCCESS, &labels, time));
        }
        for sample in report::samples(job, repository) {
            self.set(sample);
        }
    }

    fn set(&mut self, sample: Sample) {
        self.samples.retain(|known| !known.is_same(&sample));
        self.samples.push(sample);
    }
}
