//! `lsnap agent`: the daemon, one run of what is due, and the state of a daemon.

mod status;

#[cfg(test)]
pub(super) use status::Document as StatusDocument;

use super::config::{Configuration, environment, parsed, with_false};
use super::exit::Failure;
use super::exit_code::ExitCode;
use super::job::host;
use super::log_format::LogFormat;
use super::{Cli, Command, Context, human};
use crate::agent::error::AgentError;
use crate::agent::loaded::Loaded;
use crate::agent::run;
use crate::agent::schedule::{Done, Outcome, SlotStatus};
use crate::agent::settings::{
    HttpSettings, Places, Program, ScheduledJob, Settings, SidecarSettings,
};
use crate::counted::count;
use clap::CommandFactory as _;
use serde::Serialize;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Arguments of `lsnap agent`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
    /// Run what is due now, wait for it, and end: for CronJobs of Kubernetes.
    #[arg(long)]
    once: bool,
    /// The name of this agent in slots and logs [default: the name of the host].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The directory for the logs of jobs [default: that of systemd's StateDirectory, else /var/lib/lsnap].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
    /// The server's certificate of the API, PEM. Needed beyond loopback.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of --tls-cert, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Accept only clients of the API with a certificate of this authority, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// Run at most N jobs at the same time. Jobs that change one repository never run at the same time.
    #[arg(long, value_name = "N", default_value = "2")]
    max_jobs: NonZeroUsize,
    /// After SIGTERM, let running jobs go on for this long before they are cancelled.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = human::parse_duration)]
    shutdown_grace: Duration,
    /// List the repositories this often if no job changed them.
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = human::parse_duration)]
    refresh: Duration,
    /// Serve the API of the sidecar of Percona's operator here, for example 0.0.0.0:6450.
    #[arg(long, value_name = "ADDRESS")]
    sidecar_listen: Option<String>,
    /// The directory with the secrets of the operator, a file for each account.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/etc/mysql/mysql-users-secret"
    )]
    sidecar_users_dir: PathBuf,
    /// The directory for the logs of the operator's backups.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/lsnap/sidecar")]
    sidecar_log_dir: PathBuf,
}

/// Where the API is. `agent` serves it, `agent status` reads it.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct ApiArgs {
    /// The address of the API, the status page and the metrics: loopback with a port, the path of a unix socket, or
    /// `none`. Beyond loopback, TLS and a token or client certificates are needed.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6460")]
    listen: String,
    /// The file with the token that requests to the API must have.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Print what the agent of this host does, what comes next, and what is wrong.
    Status(status::Args),
}

/// The result of `agent --once`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OnceDocument {
    /// The slots that were due, in the order of the schedules.
    slots: Vec<SlotDocument>,
    /// The schedules with slots that could not be begun, or of which it is unknown whether something is due. The next run
    /// tries them again.
    stuck: Vec<StuckDocument>,
}

/// A schedule with a slot that could not be begun.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StuckDocument {
    /// The schedule.
    schedule: String,
    /// Why.
    error: String,
}

/// A slot that was due.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SlotDocument {
    /// The schedule.
    schedule: String,
    /// The nominal time.
    slot: chrono::DateTime<chrono::Utc>,
    /// `succeeded`, `failed`, `missed` or `skipped`.
    outcome: &'static str,
    /// The backup that was made.
    backup: Option<String>,
    /// What went wrong.
    error: Option<String>,
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let kind = error.kind();
        Self::with_code(kind.into(), error.to_string()).of_kind(kind)
    }
}

/// Runs the agent. `typed` are the arguments of the process, which a reload reads again with the configuration.
pub(super) fn run(args: &Args, typed: &[OsString], context: &Context) -> Result<(), Failure> {
    if let Some(Sub::Status(args)) = &args.command {
        return status::run(args, context);
    }
    let load = || load(typed);
    let loaded = load().map_err(Failure::arguments)?;
    if args.once {
        return once(loaded, context);
    }
    if loaded.settings.schedules.is_empty() {
        tracing::warn!("no [[schedule]] is configured: jobs run by requests only");
    }
    Ok(run::run(loaded, &load)?)
}

fn once(loaded: Loaded, context: &Context) -> Result<(), Failure> {
    let Done { slots, stuck } = run::run_once(loaded)?;
    let failed = slots
        .iter()
        .filter(|(_, slot)| slot.outcome == Outcome::Failed)
        .count();
    let stuck = stuck.into_iter();
    let document = OnceDocument {
        slots: slots.into_iter().map(slot_document).collect(),
        stuck: stuck
            .map(|(schedule, error)| StuckDocument { schedule, error })
            .collect(),
    };
    context.print(&document, text);
    if failed == 0 && document.stuck.is_empty() {
        return Ok(());
    }
    let stuck = document.stuck.len();
    let parts = [
        (failed, "slot", "failed"),
        (stuck, "schedule", "could not go on"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, noun, verb)| format!("{} {verb}", count(*number, noun)))
        .collect();
    Err(Failure::with_code(ExitCode::Failed, parts.join(", ")))
}

fn text(document: &OnceDocument) -> String {
    if document.slots.is_empty() && document.stuck.is_empty() {
        return "nothing was due\n".to_owned();
    }
    let slots = document.slots.iter().map(line);
    let stuck = document.stuck.iter();
    let stuck = stuck.map(|stuck| format!("{} waits: {}\n", stuck.schedule, stuck.error));
    slots.chain(stuck).collect()
}

fn slot_document((schedule, slot): (String, SlotStatus)) -> SlotDocument {
    SlotDocument {
        schedule,
        slot: slot.slot,
        outcome: slot.outcome.word(),
        backup: slot.backup,
        error: slot.error,
    }
}

fn line(slot: &SlotDocument) -> String {
    let more = [slot.backup.as_ref(), slot.error.as_ref()];
    let more: String = more
        .into_iter()
        .flatten()
        .map(|text| format!(": {text}"))
        .collect();
    let time = slot.slot.format("%Y-%m-%dT%H:%M:%SZ");
    format!("{} {time} {}{more}\n", slot.schedule, slot.outcome)
}

/// Reads the arguments, the environment and the file.
fn load(typed: &[OsString]) -> Result<Loaded, String> {
    let variable = environment()?;
    let variable = Arc::new(variable);
    let cli = parsed(typed, &*variable)?;
    let Command::Agent(args) = &cli.command else {
        return Err("the arguments are not those of the agent".to_owned());
    };
    let program = with_false(Cli::command());
    let configuration = Configuration::load(
        &program,
        cli.config.clone(),
        cli.profile.clone(),
        &*variable,
    )?;
    let general = general(&cli, &configuration);
    let call = {
        let (general, variable) = (general.clone(), Arc::clone(&variable));
        move |words: &[String]| {
            let words = ["lsnap".to_owned()]
                .into_iter()
                .chain(words.iter().cloned());
            let args: Vec<OsString> = words
                .chain(general.iter().cloned())
                .map(OsString::from)
                .collect();
            parsed(&args, &*variable).map(|cli| cli.command)
        }
    };
    let call: Arc<Call> = Arc::new(call);
    let settings = settings(args, &configuration, general, &call)?;
    let makes_backups = settings.schedules.iter().any(|schedule| {
        matches!(
            schedule.job,
            ScheduledJob::Full | ScheduledJob::Incremental | ScheduledJob::Auto
        )
    });
    let has_server = makes_backups || configuration.has_section("server");
    let of_server = Arc::clone(&call);
    Ok(Loaded {
        settings: Arc::new(settings),
        repository: Arc::new(move |name| opened(&*call, name)),
        server: has_server.then(|| -> Arc<crate::agent::loaded::ServerOptions> {
            Arc::new(move || server_options(&*of_server))
        }),
    })
}

/// Parses the words of a call of this program, with the configuration of the agent.
type Call = dyn Fn(&[String]) -> Result<Command, String> + Send + Sync;

/// Returns the arguments that select the same configuration and format of the log.
fn general(cli: &Cli, configuration: &Configuration) -> Vec<String> {
    // The file that was read, also if it is a default one.
    let path = configuration.path().map(|path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        format!("--config={}", path.display())
    });
    let profile = cli.profile.iter().map(|name| format!("--profile={name}"));
    let unset = cli.unset.iter().map(|key| format!("--unset={key}"));
    let json = cli.log_format == LogFormat::Json;
    let json = json.then(|| "--log-format=json".to_owned());
    path.into_iter()
        .chain(profile)
        .chain(unset)
        .chain(json)
        .collect()
}

fn settings(
    args: &Args,
    configuration: &Configuration,
    general: Vec<String>,
    call: &Arc<Call>,
) -> Result<Settings, String> {
    let path = std::env::current_exe().map_err(|e| format!("this program can't be found: {e}"))?;
    let named = configuration.named_repositories();
    // Without one, every schedule must name its own.
    let default = match call(&["list".to_owned()]) {
        Ok(Command::List(list)) => Some(list.url().to_owned()),
        _ => None,
    };
    let others = named
        .iter()
        .filter(|(_, url)| Some(url) != default.as_ref());
    let others = others.map(|(name, _)| name.clone());
    let schedules = configuration.schedules()?;
    if default.is_none()
        && let Some(without) = schedules
            .iter()
            .find(|schedule| schedule.repository.is_none())
    {
        return Err(format!(
            "schedule {}: no repository is configured; set repository.url, or schedule.repository",
            without.name
        ));
    }
    Ok(Settings {
        program: Program { path, general },
        name: args.name.clone().unwrap_or_else(host),
        state_dir: args.state_dir.clone().unwrap_or_else(state_dir),
        repositories: default.iter().cloned().chain(others).collect(),
        places: Places {
            default,
            named: named.into_iter().collect(),
            into: configuration.text("copy", "into").map(str::to_owned),
        },
        schedules,
        max_jobs: args.max_jobs,
        shutdown_grace: args.shutdown_grace,
        refresh: args.refresh.max(Duration::from_secs(1)),
        http: http(args),
        sidecar: args.sidecar_listen.clone().map(|listen| SidecarSettings {
            listen,
            users_dir: args.sidecar_users_dir.clone(),
            log_dir: args.sidecar_log_dir.clone(),
        }),
    })
}

fn http(args: &Args) -> Option<HttpSettings> {
    (args.api.listen != "none").then(|| HttpSettings {
        listen: args.api.listen.clone(),
        tls: args.tls_cert.clone().zip(args.tls_key.clone()),
        client_ca: args.client_ca.clone(),
        token_file: args.api.token_file.clone(),
    })
}

/// Returns the directory that systemd made for the service, else the usual one.
fn state_dir() -> PathBuf {
    let given = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    match given.split(':').next() {
        Some(dir) if !dir.is_empty() => dir.into(),
        _ => "/var/lib/lsnap".into(),
    }
}

fn opened(call: &Call, name: Option<&str>) -> Result<crate::store::Repository, String> {
    // The agent tries again itself.
    let mut words = vec!["list".to_owned(), "--retry-deadline=15".to_owned()];
    words.extend(name.map(|name| format!("--repo={name}")));
    match call(&words)? {
        Command::List(args) => {
            let opened = args.opened().map_err(Failure::into_message)?;
            Ok(opened.1)
        }
        _ => Err("the call of a list is another one".to_owned()),
    }
}

fn server_options(call: &Call) -> Result<crate::server::ConnectOptions, String> {
    match call(&["backup".to_owned(), "--repo=file:///".to_owned()])? {
        // Not its other options: they install handlers that cancel a command, and the agent has its own.
        Command::Backup(args) => args.server().map_err(Failure::into_message),
        _ => Err("the call of a backup is another one".to_owned()),
    }
}
