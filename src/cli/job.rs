//! A job: a command with hooks and metrics.
//!
//! The command records its facts in [`Facts`] while it runs. At its end, the program writes the metrics and calls the
//! hooks. Neither changes the result of the command.

use super::exit_code::ExitCode;
use super::hooks::{Document, Event, HookArgs};
use super::json::ErrorDocument;
use super::metrics::{self, MetricsArgs, RunEnd, RunLabels, Sample};
use super::{interrupt, output};
use crate::backup::BackupReport;
use crate::manifest::BackupKind;
use crate::store::{Listed, PruneReport, Repository};
use crate::verify::{Level, VerifyReport};
use chrono::{DateTime, SecondsFormat, Utc};
use std::cell::RefCell;
use std::time::Instant;

/// Options of every job.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub(super) struct JobArgs {
    #[command(flatten)]
    pub(super) hooks: HookArgs,
    #[command(flatten)]
    pub(super) metrics: MetricsArgs,
}

/// A job, by its arguments.
#[derive(Debug, Clone)]
pub(super) struct Job {
    args: JobArgs,
    labels: RunLabels,
}

impl Job {
    pub(super) fn new(command: &'static str, repository: Option<&str>, args: &JobArgs) -> Self {
        let repository = repository.unwrap_or_default();
        Self {
            args: args.clone(),
            labels: RunLabels {
                command,
                repository: label_of(repository),
                ..RunLabels::default()
            },
        }
    }

    /// Sets the cluster: its name is known before the server is connected, so that a failure has the same labels as a
    /// success.
    pub(super) fn of_cluster(mut self, cluster: Option<&str>) -> Self {
        self.labels.cluster = cluster.map_or_else(host, str::to_owned);
        self
    }

    /// Sets the cluster of a command that concerns one only if it is given.
    pub(super) fn of_given_cluster(mut self, cluster: Option<&str>) -> Self {
        self.labels.cluster = cluster.unwrap_or_default().to_owned();
        self
    }

    /// Sets the level of a verification.
    pub(super) fn with_level(mut self, level: Level) -> Self {
        self.labels.level = metrics::level_name(level);
        self
    }
}

/// Returns a repository as a label.
fn label_of(url: &str) -> String {
    match url.trim_end_matches('/') {
        "" => url.to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

/// Returns the name of the host: the same as the server's `@@hostname`.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// The facts of a job, recorded while it runs.
#[derive(Debug, Default)]
pub(super) struct Facts(RefCell<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    labels: RunLabels,
    samples: Vec<Sample>,
    repository: Option<Repository>,
    is_listed: bool,
    backup: Option<String>,
    kind: Option<BackupKind>,
    has_hooks: bool,
}

impl Facts {
    /// Records the repository.
    pub(super) fn opened(&self, repository: &Repository) {
        self.0.borrow_mut().repository = Some(repository.clone());
    }

    /// Returns whether hooks need the document of the result.
    pub(super) fn has_hooks(&self) -> bool {
        self.0.borrow().has_hooks
    }

    /// Records a finished backup.
    pub(super) fn backed_up(&self, report: &BackupReport) {
        let mut facts = self.0.borrow_mut();
        let samples = metrics::of_backup(report, &facts.labels.repository, &facts.labels.cluster);
        facts.samples.extend(samples);
        facts.kind = Some(report.manifest.kind);
        facts.backup = Some(report.manifest.name.to_string());
    }

    /// Records a backup that was made without a server.
    pub(super) fn made(&self, name: &impl ToString) {
        self.0.borrow_mut().backup = Some(name.to_string());
    }

    /// Records a prune.
    pub(super) fn pruned(&self, report: &PruneReport) {
        let mut facts = self.0.borrow_mut();
        let samples = metrics::of_prune(report, &facts.labels.repository);
        facts.samples.extend(samples);
    }

    /// Records a verification.
    pub(super) fn verified(&self, report: &VerifyReport, level: Level) {
        let mut facts = self.0.borrow_mut();
        let samples = metrics::of_verify(report, level, &facts.labels.repository);
        facts.samples.extend(samples);
    }

    /// Records a listing of the whole repository.
    pub(super) fn listed(&self, listed: &[Listed]) {
        let mut facts = self.0.borrow_mut();
        let samples = metrics::of_listing(listed, &facts.labels.repository, Utc::now());
        facts.samples.extend(samples);
        facts.is_listed = true;
    }
}

/// A job that was started.
pub(super) struct Running {
    job: Job,
    started_at: DateTime<Utc>,
    clock: Instant,
}

impl Running {
    /// Calls the hooks for the start.
    pub(super) fn start(mut job: Job, facts: &Facts) -> Self {
        // A job that a hook starts calls no hooks: they would call it again, without end.
        if std::env::var_os("LSNAP_HOOK_EVENT").is_some() {
            job.args.hooks = HookArgs::default();
        }
        facts.0.borrow_mut().labels = job.labels.clone();
        facts.0.borrow_mut().has_hooks = job.args.hooks.any();
        let this = Self {
            job,
            started_at: Utc::now(),
            clock: Instant::now(),
        };
        if this.job.args.hooks.any() {
            // A signal during a hook ends the hook too, and not only lsnap.
            if let Err(failure) = interrupt::on_signal("the job was not begun") {
                tracing::warn!("{}", failure.into_message());
            }
            this.job.args.hooks.check();
            let text = format!("lsnap {} started{}", this.job.labels.command, this.place());
            this.job.args.hooks.call(&this.document(Event::Start, text));
        }
        this
    }

    /// Writes the metrics and calls the hooks.
    pub(super) fn end(self, facts: Facts, error: Option<ErrorDocument>) {
        let mut facts = facts.0.into_inner();
        let (time, duration) = (Utc::now(), self.clock.elapsed());
        let code = error.as_ref().map_or(ExitCode::Success, |e| e.exit_code) as u8;
        let end = RunEnd {
            time,
            duration,
            exit_code: code,
            kind: facts.kind,
        };
        // First, because a hook can take long.
        self.write_metrics(&mut facts, end);
        if !facts.has_hooks {
            return;
        }
        let event = error.as_ref().map_or(Event::Success, |_| Event::Failure);
        let report = output::of_hooks(error.as_ref());
        let error = error.map(|error| ErrorDocument {
            message: output::printed(&error.message),
            hint: error.hint.as_deref().map(output::printed),
            ..error
        });
        let text = self.sentence(facts.backup.as_deref(), error.as_ref());
        self.job.args.hooks.call(&Document {
            finished_at: Some(text_of(time)),
            duration_seconds: Some(duration.as_secs_f64()),
            exit_code: Some(code),
            backup: facts.backup,
            report,
            error,
            ..self.document(event, text)
        });
    }

    fn write_metrics(&self, facts: &mut Recorded, end: RunEnd) {
        let Some(path) = &self.job.args.metrics.metrics_textfile else {
            return;
        };
        let labels = &self.job.labels;
        // After a failure the repository may be unavailable.
        if end.exit_code == 0
            && !facts.is_listed
            && !interrupt::cancel().is_cancelled()
            && let Some(repository) = &facts.repository
        {
            match repository.list() {
                Ok(listed) => {
                    let now = Utc::now();
                    let samples = metrics::of_listing(&listed, &labels.repository, now);
                    facts.samples.extend(samples);
                }
                Err(error) => tracing::warn!("no metrics of the repository: {error}"),
            }
        }
        let samples = std::mem::take(&mut facts.samples);
        if let Err(why) = metrics::write(path, labels, end, samples) {
            tracing::warn!("the metrics were not written: {why}");
        }
    }

    /// Describes the cluster and the repository.
    fn place(&self) -> String {
        let RunLabels {
            cluster,
            repository,
            ..
        } = &self.job.labels;
        let part = |word: &str, text: &str| match text {
            "" => String::new(),
            text => format!(" {word} {text}"),
        };
        part("of", cluster) + &part("in", repository)
    }

    fn sentence(&self, backup: Option<&str>, error: Option<&ErrorDocument>) -> String {
        let (command, place) = (self.job.labels.command, self.place());
        match (error, backup) {
            (None, Some(name)) => format!("lsnap {command} succeeded{place}: {name}"),
            (None, None) => format!("lsnap {command} succeeded{place}"),
            (Some(error), _) => {
                let (code, why) = (error.exit_code as u8, error.text());
                format!("lsnap {command} failed{place}, exit code {code}: {why}")
            }
        }
    }

    fn document(&self, event: Event, text: String) -> Document {
        let labels = &self.job.labels;
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        Document {
            lsnap: env!("CARGO_PKG_VERSION"),
            event,
            text,
            command: labels.command,
            host: host(),
            cluster: given(&labels.cluster),
            repository: given(&labels.repository),
            backup: None,
            started_at: text_of(self.started_at),
            finished_at: None,
            duration_seconds: None,
            exit_code: None,
            error: None,
            report: None,
        }
    }
}

fn text_of(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
