//! The format of the log. In a job of the agent, each line has the id of the job: text begins with it, JSON has it as the
//! field `job`.

use crate::agent::jobs::JOB_VARIABLE;
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// Lines of text.
    Text,
    /// One JSON object a line, with `timestamp`, `level`, `message` and the fields of the event.
    Json,
}

/// A format to whose lines the id of the job is added.
pub(super) struct WithJob<F> {
    format: F,
    kind: LogFormat,
    job: Option<String>,
}

impl<F> WithJob<F> {
    /// Reads the id from the environment. `format` writes lines of the kind `kind`.
    pub(super) fn new(format: F, kind: LogFormat) -> Self {
        let job = job();
        Self { format, kind, job }
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
        let Some(job) = &self.job else {
            return self.format.format_event(context, writer, event);
        };
        match self.kind {
            LogFormat::Text => {
                write!(writer, "job={job} ")?;
                self.format.format_event(context, writer, event)
            }
            LogFormat::Json => {
                let mut line = String::new();
                let object = Writer::new(&mut line);
                self.format.format_event(context, object, event)?;
                match line.strip_prefix('{') {
                    // The id needs no escapes.
                    Some(rest) => write!(writer, "{{\"job\":\"{job}\",{rest}"),
                    None => writer.write_str(&line),
                }
            }
        }
    }
}

/// Returns the id of the job of this process. The agent makes ids of these characters; anything else isn't one.
fn job() -> Option<String> {
    let is_id =
        |id: &String| id.len() <= 40 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    std::env::var(JOB_VARIABLE).ok().filter(is_id)
}
