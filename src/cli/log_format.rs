//! The format of the log: in a job of the agent, each line begins with the id of the job.

use crate::agent::jobs::JOB_VARIABLE;
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// A format with the id of the job before each line.
pub(super) struct WithJob<F> {
    format: F,
    job: Option<String>,
}

impl<F> WithJob<F> {
    /// Reads the id from the environment.
    pub(super) fn new(format: F) -> Self {
        // The agent makes ids of these characters; anything else isn't one.
        let is_id = |id: &String| {
            id.len() <= 40 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let job = std::env::var(JOB_VARIABLE).ok().filter(is_id);
        Self { format, job }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithJob<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if let Some(job) = &self.job {
            write!(writer, "job={job} ")?;
        }
        self.format.format_event(context, writer, event)
    }
}
