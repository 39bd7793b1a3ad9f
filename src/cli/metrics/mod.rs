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

mod file;

use crate::backup::BackupReport;
use crate::manifest::BackupKind;
use crate::metrics::families::{
    BACKUP_DATA, BACKUP_DURATION, BACKUP_LOCKED, BACKUP_MISSING, BACKUP_PAGES, BACKUP_READ,
    BACKUP_STORED, BACKUP_TRACKED, BACKUP_WARNINGS, BUILD, DAMAGE, Family, Group, LISTED,
    PRUNE_FAILED, PRUNED, PRUNED_BYTES, RESTORE_BYTES, RESTORE_QUERIES, RESTORE_SECONDS,
    RESTORE_TABLES, RESTORE_TABLES_LEFT, RUN_DURATION, RUN_END, RUN_EXIT_CODE, RUN_SUCCESS, RUNS,
    SUCCESS, VERIFIED, VERIFY_DAMAGED, VERIFY_PROBLEMS, VERIFY_READ,
};
pub(super) use crate::metrics::{DAMAGE_CODE, Sample, kind_name, of_listing};
use crate::store::PruneReport;
use crate::verify::{Level, Restored, VerifyReport};
use chrono::{DateTime, Utc};
use std::path::PathBuf;
use std::time::Duration;

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
    let mut samples = vec![
        Sample::new(&VERIFIED, &labels, report.members.len() as f64),
        Sample::new(&VERIFY_READ, &labels, read as f64),
        Sample::new(&VERIFY_PROBLEMS, &labels, problems as f64),
        Sample::new(&VERIFY_DAMAGED, &labels, damaged.count() as f64),
    ];
    samples.extend(of_restores(&report.restored, repository));
    samples
}

/// Returns the samples of test restores: their sums, if there are several. The values of an earlier one stay if none
/// was completed.
fn of_restores(restored: &[Restored], repository: &str) -> Vec<Sample> {
    let done: Vec<&Restored> = restored
        .iter()
        .filter(|restored| restored.merge_seconds.is_some())
        .collect();
    if done.is_empty() {
        return Vec::new();
    }
    let labels = [("repository", repository)];
    let sum = |of: fn(&Restored) -> f64| done.iter().map(|restored| of(restored)).sum::<f64>();
    let phases = [
        ("merge", sum(|r| r.merge_seconds.unwrap_or_default())),
        ("redo", sum(|r| r.redo_seconds.unwrap_or_default())),
        ("check", sum(|r| r.check_seconds.unwrap_or_default())),
    ];
    let phases = phases.map(|(phase, seconds)| {
        let labels = [("repository", repository), ("phase", phase)];
        Sample::new(&RESTORE_SECONDS, &labels, seconds)
    });
    let failed = |r: &Restored| r.checks.iter().filter(|check| !check.passed).count() as f64;
    let mut samples = Vec::from(phases);
    samples.extend([
        Sample::new(&RESTORE_BYTES, &labels, sum(|r| r.restored_bytes as f64)),
        Sample::new(&RESTORE_TABLES, &labels, sum(|r| r.tables as f64)),
        Sample::new(&RESTORE_TABLES_LEFT, &labels, sum(|r| r.tables_left as f64)),
        Sample::new(&RESTORE_QUERIES, &labels, sum(failed)),
    ]);
    samples
}

#[cfg(test)]
mod tests;
