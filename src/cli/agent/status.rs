//! `lsnap agent status`: reads the API of the agent.

use super::ApiArgs;
use crate::cli::exit::Failure;
use crate::cli::exit_code::ExitCode;
use crate::cli::json::FailureKind;
use crate::cli::{Context, human};
use crate::error_kind::ErrorKind;
use chrono::{DateTime, Utc};
use reqwest::{Certificate, Client, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// The time for all requests.
const PATIENCE: Duration = Duration::from_secs(20);

/// Arguments of `lsnap agent status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// The certificate of the agent, PEM: the API is read by TLS, and this certificate is trusted.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
}

/// The state of an agent.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "AgentStatusDocument"))]
pub(in crate::cli) struct Document {
    /// Whether the agent can back up: the server and the repositories were reached, the disk has space.
    ready: bool,
    /// What was checked.
    checks: Vec<Check>,
    /// The jobs that wait, run, or ended lately; newest first.
    jobs: Vec<Job>,
    /// The schedules.
    schedules: Vec<Schedule>,
}

/// A check.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "AgentCheck"))]
struct Check {
    /// `server`, `repository`, `disk` or `shutdown`.
    check: String,
    /// Whether it succeeded.
    ok: bool,
    /// What was found.
    #[serde(default)]
    reason: Option<String>,
}

/// A job.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "AgentJob"))]
struct Job {
    /// The id.
    id: String,
    /// The command.
    kind: String,
    /// `queued`, `running`, `cancelling`, `succeeded`, `failed` or `cancelled`.
    state: String,
    /// When it was asked for.
    queued_at: DateTime<Utc>,
    /// When its process began.
    #[serde(default)]
    started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default)]
    ended_at: Option<DateTime<Utc>>,
    /// Why it failed.
    #[serde(default)]
    error: Option<JobError>,
}

/// Why a job failed.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "AgentJobError"))]
struct JobError {
    /// The kind.
    kind: String,
    /// What happened.
    message: String,
}

/// A schedule.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "AgentSchedule"))]
struct Schedule {
    /// The name.
    name: String,
    /// What it runs.
    job: String,
    /// Whether it is paused.
    paused: bool,
    /// The nominal time of the next slot.
    #[serde(default)]
    next: Option<DateTime<Utc>>,
    /// The last slots, newest first.
    last: Vec<Slot>,
}

/// A slot.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "AgentSlot"))]
struct Slot {
    /// The nominal time.
    slot: DateTime<Utc>,
    /// `running`, `succeeded`, `failed`, `missed` or `skipped`.
    outcome: String,
    /// The backup that was made.
    #[serde(default)]
    backup: Option<String>,
    /// What went wrong.
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Probe {
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Schedules {
    schedules: Vec<Schedule>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let internal = |error: std::io::Error| Failure::internal(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(internal)?;
    let api = Api::new(args)?;
    let document = runtime.block_on(api.document())?;
    let is_ready = document.ready;
    context.print(&document, text);
    if is_ready {
        return Ok(());
    }
    let (code, kind) = (ExitCode::Unknown, FailureKind::Unhealthy);
    Err(Failure::printed(
        code,
        kind,
        "the agent is not ready".to_owned(),
    ))
}

/// The API of an agent.
struct Api {
    client: Client,
    base: String,
    token: Option<String>,
    at: String,
}

impl Api {
    fn new(args: &Args) -> Result<Self, Failure> {
        // If a repository has installed a provider before, that one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ApiArgs { listen, token_file } = &args.api;
        if listen == "none" {
            let message = "the agent has no API: agent.listen is `none`".to_owned();
            return Err(Failure::arguments(message));
        }
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .map_err(|error| Failure::arguments(format!("{}: {error}", path.display())))
        };
        let token = token_file.as_ref().map(read).transpose()?;
        let token = token.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .user_agent(concat!("lsnap/", env!("CARGO_PKG_VERSION")));
        let path = listen.strip_prefix("unix:").unwrap_or(listen);
        let base = if path.starts_with('/') {
            client = client.unix_socket(PathBuf::from(path));
            "http://localhost".to_owned()
        } else if let Some(file) = &args.tls_cert {
            let wrong = |error| Failure::arguments(format!("{}: {error}", file.display()));
            let certificate = Certificate::from_pem(&read(file)?).map_err(wrong)?;
            client = client.add_root_certificate(certificate);
            format!("https://{}", reachable(listen))
        } else {
            format!("http://{}", reachable(listen))
        };
        let client = client
            .build()
            .map_err(|error| Failure::internal(error.to_string()))?;
        Ok(Self {
            client,
            base,
            token,
            at: listen.clone(),
        })
    }

    async fn document(&self) -> Result<Document, Failure> {
        let probe: Probe = self.get("/readyz").await?;
        let jobs: Jobs = self.get("/v1/jobs").await?;
        let schedules: Schedules = self.get("/v1/schedules").await?;
        Ok(Document {
            ready: probe.ok,
            checks: probe.checks,
            jobs: jobs.jobs,
            schedules: schedules.schedules,
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut request = self.client.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let failed = |kind: ErrorKind, what: String| {
            let message = format!("the agent at {}: {what}", self.at);
            Failure::with_code(kind.into(), message).of_kind(kind)
        };
        let unreachable = |error: reqwest::Error| {
            let error = error.without_url();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            failed(ErrorKind::Unreachable, format!("{error}{cause}"))
                .with_hint("Start it, or name its address by --listen.")
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        // `/readyz` answers 503 with its document.
        if !status.is_success() && path != "/readyz" {
            let kind = match status.as_u16() {
                401 | 403 => ErrorKind::AccessDenied,
                _ => ErrorKind::System,
            };
            return Err(failed(kind, format!("{path} answered {status}")));
        }
        let bytes = response.bytes().await.map_err(unreachable)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            failed(
                ErrorKind::Incompatible,
                format!("{path} of another version: {error}"),
            )
        })
    }
}

/// Returns the address by which a server that listens on every interface is reached from this host.
fn reachable(listen: &str) -> String {
    let port = listen
        .strip_prefix("0.0.0.0:")
        .or_else(|| listen.strip_prefix("[::]:"));
    port.map_or_else(|| listen.to_owned(), |port| format!("localhost:{port}"))
}

fn text(document: &Document) -> String {
    let mut out = String::new();
    for check in &document.checks {
        let sign = if check.ok { "ok    " } else { "FAILED" };
        let reason = check.reason.as_deref().unwrap_or_default();
        let _ = writeln!(out, "{sign}  {}: {reason}", check.check);
    }
    for schedule in &document.schedules {
        let next = match (schedule.paused, schedule.next) {
            (true, _) => "paused".to_owned(),
            (false, Some(next)) => format!("next {}", time(next)),
            (false, None) => "no next slot".to_owned(),
        };
        let _ = write!(out, "\n{} ({}): {next}", schedule.name, schedule.job);
        if let Some(last) = schedule.last.first() {
            let _ = write!(out, "; last {} {}", time(last.slot), last.outcome);
            let more = [last.backup.as_ref(), last.error.as_ref()];
            more.into_iter()
                .flatten()
                .for_each(|text| out += &format!(": {text}"));
        }
    }
    if !document.schedules.is_empty() {
        out.push('\n');
    }
    for job in document.jobs.iter().take(10) {
        let began = job.started_at.unwrap_or(job.queued_at);
        let until = job.ended_at.unwrap_or_else(Utc::now);
        let took = (until - began).to_std().unwrap_or_default();
        let error = job
            .error
            .as_ref()
            .map_or_else(String::new, |error| format!(": {}", error.message));
        let (id, kind, state) = (&job.id, &job.kind, &job.state);
        let _ = write!(
            out,
            "\n{id}  {kind} {state}, {}{error}",
            human::duration(took)
        );
    }
    if !document.jobs.is_empty() {
        out.push('\n');
    }
    out
}

fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people_have_the_checks_schedules_and_jobs() {
        let document = Document {
            ready: false,
            checks: serde_json::from_str(r#"[{"check":"server","ok":false,"reason":"no answer"}]"#).unwrap(),
            jobs: serde_json::from_str(
                r#"[{"id":"20261201T000000Z-a","kind":"backup","state":"failed","queued_at":"2026-12-01T00:00:00Z",
                    "started_at":"2026-12-01T00:00:00Z","ended_at":"2026-12-01T00:01:00Z",
                    "error":{"kind":"system","message":"no space"}}]"#,
            )
            .unwrap(),
            schedules: serde_json::from_str(
                r#"[{"name":"nightly","job":"full","paused":false,"next":"2026-12-02T00:00:00Z",
                    "last":[{"slot":"2026-12-01T00:00:00Z","outcome":"failed","error":"no space"}]}]"#,
            )
            .unwrap(),
        };
        let text = text(&document);
        assert_eq!(
            text,
            "FAILED  server: no answer\n\n\
             nightly (full): next 2026-12-02T00:00:00Z; last 2026-12-01T00:00:00Z failed: no space\n\n\
             20261201T000000Z-a  backup failed, 1 min 00 s: no space\n"
        );
    }
}
