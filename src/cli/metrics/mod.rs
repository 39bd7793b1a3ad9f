//! Metrics of jobs for Prometheus, in a file for the textfile collector of node_exporter.
//!
//! | after | changes |
//! |---|---|
//! | each run of a job | the metrics of its run: `lsnap_run_*`, `lsnap_runs_total` |
//! | a successful run | the time of the last success; of a backup also `lsnap_backup_*` of its type |
//! | a run that listed the repository | all metrics of the repository |
//!
//! All other values stay, so a failed backup doesn't change the time of the last successful one. A job that doesn't
//! end (SIGKILL, a crash of the host) changes nothing: the time of its last success gets old.

mod families;
mod file;
mod text;

use crate::backup::BackupReport;
use crate::manifest::BackupKind;
use crate::store::{self, ClusterHealth, Limits, Listed, PruneReport};
use crate::verify::{Level, VerifyReport};
use chrono::{DateTime, TimeDelta, Utc};
use families::{
    BACKUP_DATA, BACKUP_DURATION, BACKUP_LOCKED, BACKUP_MISSING, BACKUP_PAGES, BACKUP_READ,
    BACKUP_STORED, BACKUP_TRACKED, BACKUP_WARNINGS, BACKUPS, BUILD, BYTES, CHAIN, DAMAGE, DAMAGED,
    Family, Group, LISTED, NEWEST, NEWEST_FULL, OBJECTS, PRUNE_FAILED, PRUNED, PRUNED_BYTES,
    RUN_DURATION, RUN_END, RUN_EXIT_CODE, RUN_SUCCESS, RUNS, SUCCESS, UNFINISHED, VERIFIED,
    VERIFY_DAMAGED, VERIFY_PROBLEMS, VERIFY_READ,
};
use std::path::PathBuf;
use std::time::Duration;
pub(super) use text::Sample;

/// Options for metrics.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Metrics")]
#[group(skip)]
pub(super) struct MetricsArgs {
    /// Write the results of the job as metrics into this file, for the textfile collector of Prometheus'
    /// node_exporter: `/var/lib/node_exporter/textfile/lsnap.prom`. Several jobs, clusters and repositories can have
    /// one file.
    #[arg(long, value_name = "FILE")]
    pub(super) metrics_textfile: Option<PathBuf>,
}

/// The labels of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RunLabels {
    pub command: &'static str,
    /// The URL; empty without a repository.
    pub repository: String,
    /// Empty if the command has no cluster.
    pub cluster: String,
    /// The level of a verification; otherwise empty.
    pub level: &'static str,
}

impl RunLabels {
    fn with<'a>(&'a self, more: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
        let own = [
            ("command", self.command),
            ("repository", self.repository.as_str()),
            ("cluster", self.cluster.as_str()),
            ("level", self.level),
        ];
        own.iter().chain(more).copied().collect()
    }
}

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RunEnd {
    pub time: DateTime<Utc>,
    pub duration: Duration,
    pub exit_code: u8,
    /// The type of a backup that was made.
    pub kind: Option<BackupKind>,
}

/// Exit code of a command that found damage.
const DAMAGE_CODE: u8 = 13;

/// Writes the metrics of a run. `samples` are those of its report.
///
/// # Errors
/// The file can't be written, or is not lsnap's.
pub(super) fn write(
    path: &std::path::Path,
    labels: &RunLabels,
    end: RunEnd,
    samples: Vec<Sample>,
) -> Result<(), String> {
    file::change(path, |all| merge(all, labels, end, samples))
}

/// Replaces the values of a run.
fn merge(all: &mut Vec<Sample>, labels: &RunLabels, end: RunEnd, samples: Vec<Sample>) {
    let listed: Vec<String> = samples
        .iter()
        .filter(|s| s.family.name == LISTED.name)
        .map(|s| s.label("repository").to_owned())
        .collect();
    // The listing has all clusters: others don't exist any more.
    all.retain(|s| {
        let of_listed = listed.iter().any(|url| url == s.label("repository"));
        s.family.group != Group::Repository || !of_listed
    });
    all.retain(|s| s.family.name != BUILD.name);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    all.push(Sample::new(&BUILD, &version, 1.0));
    let run = |family: &'static Family, value: f64| Sample::new(family, &labels.with(&[]), value);
    let success = end.exit_code == 0;
    let time = end.time.timestamp_millis() as f64 / 1000.0;
    let mut new = vec![
        run(&RUN_END, time),
        run(&RUN_DURATION, end.duration.as_secs_f64()),
        run(&RUN_SUCCESS, f64::from(u8::from(success))),
        run(&RUN_EXIT_CODE, f64::from(end.exit_code)),
    ];
    if success {
        let kind = end.kind.map_or("", kind_name);
        let labels = labels.with(&[("type", kind)]);
        new.push(Sample::new(&SUCCESS, &labels, time));
    }
    if end.exit_code == DAMAGE_CODE {
        new.push(run(&DAMAGE, time));
    }
    for (result, more) in [("success", success), ("failure", !success)] {
        let labels = labels.with(&[("result", result)]);
        let one = Sample::new(&RUNS, &labels, f64::from(u8::from(more)));
        let before = all
            .iter()
            .find(|s| s.is_same(&one))
            .map_or(0.0, |s| s.value);
        new.push(Sample {
            value: before + one.value,
            ..one
        });
    }
    for sample in new.into_iter().chain(samples) {
        all.retain(|s| !s.is_same(&sample));
        all.push(sample);
    }
}

const fn kind_name(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Full => "full",
        BackupKind::Incremental => "incremental",
    }
}

/// Returns the name of a level, as a label.
pub(super) const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Present => "present",
        Level::Data => "data",
        Level::Restore => "restore",
    }
}

/// Returns the samples of a backup.
pub(super) fn of_backup(report: &BackupReport, repository: &str, cluster: &str) -> Vec<Sample> {
    let m = &report.manifest;
    let labels = [
        ("repository", repository),
        ("cluster", cluster),
        ("type", kind_name(m.kind)),
    ];
    let pages = m.pages.verified + m.pages.zero + m.pages.unverifiable + m.pages.skipped;
    let tracked = m.page_tracking.as_ref().is_some_and(|t| t.used);
    let read = pages.saturating_mul(m.server.page_size.bytes() as u64);
    let values: [(&'static Family, f64); 9] = [
        (&BACKUP_DURATION, report.seconds),
        (&BACKUP_DATA, m.data_bytes() as f64),
        (&BACKUP_READ, read as f64),
        (&BACKUP_STORED, report.stored_bytes as f64),
        (&BACKUP_PAGES, pages as f64),
        (&BACKUP_LOCKED, report.tables_locked_seconds),
        (&BACKUP_TRACKED, f64::from(u8::from(tracked))),
        (&BACKUP_WARNINGS, report.warnings.len() as f64),
        (&BACKUP_MISSING, m.missing_tables().count() as f64),
    ];
    let samples = values
        .into_iter()
        .map(|(family, value)| Sample::new(family, &labels, value));
    samples.collect()
}

/// Returns the samples of a prune.
pub(super) fn of_prune(report: &PruneReport, repository: &str) -> Vec<Sample> {
    let labels = [("repository", repository)];
    let bytes: u64 = report.deleted.iter().map(|d| d.bytes).sum();
    vec![
        Sample::new(&PRUNED, &labels, report.deleted.len() as f64),
        Sample::new(&PRUNED_BYTES, &labels, bytes as f64),
        Sample::new(&PRUNE_FAILED, &labels, report.failed.len() as f64),
    ]
}

/// Returns the samples of a verification.
pub(super) fn of_verify(report: &VerifyReport, level: Level, repository: &str) -> Vec<Sample> {
    let labels = [("repository", repository), ("level", level_name(level))];
    let damaged = report.members.iter().filter(|m| !m.problems.is_empty());
    let read: u64 = report.members.iter().map(|m| m.read_bytes).sum();
    let more: u64 = report.members.iter().map(|m| m.more_problems).sum();
    let problems = report.problems().count() as u64 + more;
    vec![
        Sample::new(&VERIFIED, &labels, report.members.len() as f64),
        Sample::new(&VERIFY_READ, &labels, read as f64),
        Sample::new(&VERIFY_PROBLEMS, &labels, problems as f64),
        Sample::new(&VERIFY_DAMAGED, &labels, damaged.count() as f64),
    ]
}

/// Returns the samples of a listing of a repository.
pub(super) fn of_listing(listed: &[Listed], repository: &str, now: DateTime<Utc>) -> Vec<Sample> {
    let limits = Limits {
        age: Duration::MAX,
        full_age: None,
        incrementals: None,
    };
    let clusters = store::health(listed, &limits, now);
    let time = now.timestamp() as f64;
    let mut samples = vec![Sample::new(&LISTED, &[("repository", repository)], time)];
    for cluster in &clusters {
        samples.extend(of_cluster(cluster, repository, now));
    }
    samples
}

fn of_cluster(cluster: &ClusterHealth, repository: &str, now: DateTime<Utc>) -> Vec<Sample> {
    let labels = [
        ("repository", repository),
        ("cluster", cluster.cluster.as_str()),
    ];
    let start =
        |age: Option<i64>| age.map(|age| (now - TimeDelta::seconds(age)).timestamp() as f64);
    let values: [(&'static Family, Option<f64>); 8] = [
        (&BACKUPS, Some(cluster.backups as f64)),
        (&BYTES, Some(cluster.stored_bytes as f64)),
        (&OBJECTS, Some(cluster.objects as f64)),
        (&UNFINISHED, Some(cluster.unfinished as f64)),
        (&DAMAGED, Some(cluster.damaged as f64)),
        (&NEWEST, start(cluster.age_seconds)),
        (&NEWEST_FULL, start(cluster.full_age_seconds)),
        (
            &CHAIN,
            cluster.newest.as_ref().map(|_| cluster.incrementals as f64),
        ),
    ];
    let samples = values
        .into_iter()
        .filter_map(|(family, value)| Some(Sample::new(family, &labels, value?)));
    samples.collect()
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
