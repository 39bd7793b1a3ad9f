//! What the configuration says. `cli::agent` makes it from the file, the environment and the options.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// The settings of an agent.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How jobs are started.
    pub program: Program,
    /// The name of this agent in slots and logs: the host's name unless it is configured.
    pub name: String,
    /// The directory for logs of jobs and other files of a running agent.
    pub state_dir: PathBuf,
    /// The repositories, each with the name under which a command knows it (`--repo NAME`), or its URL.
    pub repositories: Vec<String>,
    /// The URLs of the repositories.
    pub places: Places,
    /// The schedules, in the order of the file.
    pub schedules: Vec<ScheduleSettings>,
    /// The most jobs at the same time.
    pub max_jobs: NonZeroUsize,
    /// How long running jobs may go on after SIGTERM before they are cancelled.
    pub shutdown_grace: Duration,
    /// How often repositories are listed if no job changed them.
    pub refresh: Duration,
    /// The server of the agent's own API; none without it.
    pub http: Option<HttpSettings>,
    /// The server of the sidecar's API; none without it.
    pub sidecar: Option<SidecarSettings>,
}

/// How jobs are started.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The executable: this one.
    pub path: PathBuf,
    /// The arguments before those of a job: `--config FILE`, `--profile NAME`, `--unset KEY`.
    pub general: Vec<String>,
}

/// The URLs of the repositories, by which jobs of one repository are recognised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// The URL of the repository of a command without `--repo`.
    pub default: Option<String>,
    /// The URLs of `[repository.NAME]`.
    pub named: BTreeMap<String, String>,
    /// The URL of the second repository of `lsnap copy` without `--into`.
    pub into: Option<String>,
}

impl Places {
    /// Returns the URL of a repository for people, as it is configured.
    pub(crate) fn shown(&self, name: &str) -> String {
        let url = self.named.get(name);
        url.map_or_else(|| name.to_owned(), String::clone)
    }

    /// Returns the URL of a repository that is named as `--repo` names it, in one notation.
    pub(crate) fn url(&self, repository: Option<&str>) -> String {
        let url = match repository {
            Some(name) => self.named.get(name).map_or(name, String::as_str),
            None => self.default.as_deref().unwrap_or_default(),
        };
        let url = url.trim_end_matches('/');
        match url.strip_prefix("file://") {
            Some(path) => path.to_owned(),
            None => url.to_owned(),
        }
    }
}

/// A schedule: `[[schedule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScheduleSettings {
    /// Its name: letters, digits, `-`, `_` and `.`, at most 63. Schedules of the same name in several agents are one.
    pub name: String,
    /// A cron expression.
    pub cron: String,
    /// An IANA time zone; UTC without one.
    pub time_zone: Option<String>,
    /// What it runs.
    pub job: ScheduledJob,
    /// The repository, by name or URL; the configured one without it.
    pub repository: Option<String>,
    /// Arguments after those that the job needs, as on the command line.
    pub arguments: Vec<String>,
    /// Keep this many full backups of this schedule, with their chains.
    pub keep: Option<NonZeroU32>,
    /// The start is later by a time up to this, the same for each slot of each agent.
    pub jitter: Duration,
    /// What is done about slots in which no agent ran.
    pub catch_up: CatchUp,
    /// What an incremental does without a base.
    pub on_missing_base: OnMissingBase,
    /// The job is cancelled if it takes longer.
    pub deadline: Option<Duration>,
    /// The latest start after the slot: a slot is given up later.
    pub window: Option<Duration>,
    /// How often a failed job is tried again within the slot, with growing waits.
    pub retries: u32,
    /// Which agent takes a slot.
    pub prefer: Prefer,
}

/// The job of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScheduledJob {
    /// `lsnap backup --full`
    Full,
    /// `lsnap backup --incremental`
    Incremental,
    /// `lsnap backup`, by `full-every` and `max-incrementals`
    Auto,
    /// `lsnap consolidate`
    Consolidate,
    /// `lsnap verify`
    Verify,
    /// `lsnap prune`
    Prune,
    /// `lsnap copy`
    Copy,
    /// `lsnap check`
    Check,
}

/// What is done about slots in which no agent ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CatchUp {
    /// The last of them is run, once.
    #[default]
    Once,
    /// They are recorded as missed.
    Skip,
}

/// What an incremental does without a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnMissingBase {
    /// It fails.
    #[default]
    Error,
    /// A full backup is made.
    Full,
}

/// Which agent takes a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Prefer {
    /// A replica, with the least lag; the source if no replica takes it.
    #[default]
    Replica,
    /// The source; a replica if it doesn't.
    Primary,
    /// Whichever is first.
    Any,
}

/// The server of the agent's own API, the page, the probes and the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpSettings {
    /// `127.0.0.1:6460`, `[::1]:6460`, or the path of a unix socket.
    pub listen: String,
    /// The certificate and the key, PEM. Needed beyond loopback.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The authority of client certificates, PEM.
    pub client_ca: Option<PathBuf>,
    /// The file with the bearer token.
    pub token_file: Option<PathBuf>,
}

/// The server of the sidecar's API (Percona's operator).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SidecarSettings {
    /// `0.0.0.0:6450`
    pub listen: String,
    /// The directory of the secrets: a file per account, named after it.
    pub users_dir: PathBuf,
    /// The directory for the logs of backups.
    pub log_dir: PathBuf,
}
