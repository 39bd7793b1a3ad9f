//! `lsnap check`: checks for monitoring that the backups of a repository are recent and undamaged.

use super::exit::Failure;
use super::exit_code::ExitCode;
use super::job::{Job, JobArgs};
use super::json::{CheckDocument, CheckState as State, ClusterDocument, Entries, FailureKind};
use super::metrics::MetricsArgs;
use super::store_args::{RepoArg, StoreArgs};
use super::{Context, human, output};
use crate::counted::count;
use crate::store::{self, ClusterHealth, Limits};
use chrono::Utc;
use std::time::Duration;

/// Arguments of `lsnap check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    /// Check only this cluster: the first part of the names of its backups [default: all clusters].
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Maximum age of the newest finished backup.
    #[arg(long, value_name = "TIME", default_value = "26h", value_parser = human::parse_duration)]
    max_age: Duration,
    /// Maximum age of the newest finished full backup [default: any age].
    #[arg(long, value_name = "TIME", value_parser = human::parse_duration)]
    max_full_age: Option<Duration>,
    /// Maximum number of incrementals of the newest chain [default: any number].
    #[arg(long, value_name = "N")]
    max_chain: Option<u64>,
    /// Print one line, with the exit codes of a Nagios or Icinga plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    #[arg(long)]
    nagios: bool,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Args {
    /// Returns the job, which has metrics but no hooks.
    pub(super) fn job(&self) -> Job {
        let args = JobArgs {
            metrics: self.metrics.clone(),
            ..JobArgs::default()
        };
        let cluster = self.cluster.as_deref();
        Job::new("check", Some(&self.repo.repo), &args).of_given_cluster(cluster)
    }
}

/// The findings.
struct Findings {
    state: State,
    clusters: Vec<ClusterHealth>,
    /// Problems without a cluster: there are no backups.
    problems: Vec<String>,
    entries: Entries,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let findings = examine(args, context).map_err(|failure| {
        if !args.nagios {
            return failure;
        }
        let (_, kind, message) = failure.into_parts();
        if !context.json {
            output::out(&format!("LSNAP UNKNOWN: {message}\n"));
        }
        Failure::printed(ExitCode::Unknown, kind, message)
    })?;
    let line = line(&findings);
    if context.json {
        output::json(&document(&findings));
    } else {
        output::out(&format!("{line}\n"));
    }
    let code = match (findings.state, args.nagios) {
        (State::Ok, _) => return Ok(()),
        (State::Warning, true) | (_, false) => ExitCode::Failed,
        (State::Critical, true) => ExitCode::Arguments,
    };
    Err(Failure::printed(code, FailureKind::Unhealthy, line))
}

fn document(findings: &Findings) -> CheckDocument<'_> {
    let clusters = findings.clusters.iter();
    CheckDocument {
        state: findings.state,
        clusters: clusters
            .map(|cluster| ClusterDocument::of(cluster, &findings.entries))
            .collect(),
        problems: &findings.problems,
    }
}

fn examine(args: &Args, context: &Context) -> Result<Findings, Failure> {
    let repository = args.store.open(&args.repo.repo)?;
    let limits = Limits {
        age: args.max_age,
        full_age: args.max_full_age,
        incrementals: args.max_chain,
    };
    let (listed, now) = (repository.list()?, Utc::now());
    context.facts.listed(&listed);
    let mut clusters = store::health(&listed, &limits, now);
    if let Some(name) = &args.cluster {
        clusters.retain(|cluster| cluster.cluster == *name);
    }
    let mut problems = Vec::new();
    if clusters.is_empty() {
        let of = args
            .cluster
            .as_ref()
            .map_or(String::new(), |name| format!(" of {name}"));
        problems.push(format!("{}: no backups{of}", args.repo.repo));
    }
    let state = |cluster: &ClusterHealth| match (
        cluster.critical.is_empty(),
        cluster.warnings.is_empty(),
    ) {
        (false, _) => State::Critical,
        (true, false) => State::Warning,
        (true, true) => State::Ok,
    };
    let worst = clusters.iter().map(state).max().unwrap_or(State::Critical);
    Ok(Findings {
        entries: Entries::of(&listed, now),
        state: worst,
        clusters,
        problems,
    })
}

/// Formats one line: the state, then the problems, or the newest backups.
fn line(document: &Findings) -> String {
    let state = match document.state {
        State::Ok => "OK",
        State::Warning => "WARNING",
        State::Critical => "CRITICAL",
    };
    let clusters = document.clusters.iter();
    let problems = clusters.clone().flat_map(|c| {
        let all = c.critical.iter().chain(&c.warnings);
        all.map(move |problem| format!("{}: {problem}", c.cluster))
    });
    let problems: Vec<String> = document.problems.iter().cloned().chain(problems).collect();
    let text = if problems.is_empty() {
        let newest = clusters.filter_map(|c| {
            let (name, age) = (c.newest.as_ref()?, human::age(c.age_seconds?));
            Some(format!(
                "{name} is {age} old, {} after its full backup",
                count(c.incrementals, "incremental")
            ))
        });
        newest.collect::<Vec<_>>().join("; ")
    } else {
        problems.join("; ")
    };
    format!("LSNAP {state}: {text}")
}
