//! The values in the report of a job (`docs/reference/json.md`). A field that another version of lsnap doesn't write is
//! left out.

use crate::agent::jobs::{Job, JobKind};
use crate::agent::status::Status;
use crate::metrics::Sample;
use crate::metrics::families::{
    BACKUP_BACKED_OFF, BACKUP_DATA, BACKUP_DURATION, BACKUP_LOCKED, BACKUP_MISSING, BACKUP_PAGES,
    BACKUP_RATE, BACKUP_STORED, BACKUP_TRACKED, BACKUP_WARNINGS, Family, PRUNE_FAILED, PRUNED,
    PRUNED_BYTES, VERIFIED, VERIFY_DAMAGED, VERIFY_PROBLEMS, VERIFY_READ,
};
use serde_json::Value;

/// Returns the URL of a repository, as the label of the other metrics.
pub(super) fn url<'a>(status: &'a Status, name: Option<&'a str>) -> &'a str {
    let mut all = status.repositories.iter();
    let found = match name {
        None => all.next(),
        Some(name) => all.find(|repository| repository.name == name),
    };
    found.map_or_else(|| name.unwrap_or_default(), |repository| &repository.url)
}

/// Returns the level of a verification; empty for another job.
pub(super) fn level(job: &Job) -> &'static str {
    let has = |flag: &str| job.arguments.iter().any(|argument| argument == flag);
    match job.kind {
        JobKind::Verify if has("--restore") => "restore",
        JobKind::Verify if has("--data") => "data",
        JobKind::Verify => "present",
        _ => "",
    }
}

/// Returns the values of the report of a job.
pub(super) fn samples(job: &Job, repository: &str) -> Vec<Sample> {
    let Some(result) = job.report.as_ref().map(|r| r.get("result").unwrap_or(r)) else {
        return Vec::new();
    };
    match job.kind {
        JobKind::Backup => {
            let mut samples = of_backup(result, repository);
            samples.extend(
                result
                    .get("pruned")
                    .map_or_else(Vec::new, |pruned| of_prune(pruned, repository)),
            );
            samples
        }
        JobKind::Prune => of_prune(result, repository),
        JobKind::Verify => of_verify(result, level(job), repository),
        _ => Vec::new(),
    }
}

fn of_backup(result: &Value, repository: &str) -> Vec<Sample> {
    let backup = &result["backup"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (cluster, kind) = (text(&backup["cluster"]), text(&backup["kind"]));
    let labels = [
        ("repository", repository),
        ("cluster", cluster.as_str()),
        ("type", kind.as_str()),
    ];
    let pages = ["verified", "zero", "unverifiable", "skipped"]
        .map(|field| result["pages"][field].as_f64())
        .into_iter()
        .sum::<Option<f64>>();
    let warnings = result["warnings"].as_array();
    let throttle = &result["throttle"];
    let values: [(&'static Family, Option<f64>); 10] = [
        (&BACKUP_DURATION, backup["duration_seconds"].as_f64()),
        (&BACKUP_DATA, backup["data_bytes"].as_f64()),
        (&BACKUP_STORED, backup["stored_bytes"].as_f64()),
        (&BACKUP_PAGES, pages),
        (&BACKUP_LOCKED, result["tables_locked_seconds"].as_f64()),
        (
            &BACKUP_TRACKED,
            result["page_tracking"]["used"]
                .as_bool()
                .map(|used| f64::from(u8::from(used))),
        ),
        (&BACKUP_WARNINGS, warnings.map(|all| all.len() as f64)),
        (&BACKUP_MISSING, backup["missing_tables"].as_f64()),
        (&BACKUP_RATE, throttle["mean_rate"].as_f64()),
        (&BACKUP_BACKED_OFF, throttle["backed_off"].as_f64()),
    ];
    known(values, &labels)
}

fn of_prune(result: &Value, repository: &str) -> Vec<Sample> {
    // A dry run deletes nothing.
    if result["dry_run"].as_bool() != Some(false) {
        return Vec::new();
    }
    let deleted = result["deleted"].as_array();
    let failed = result["failed"].as_array();
    let bytes = |all: &Vec<Value>| all.iter().filter_map(|d| d["removed_bytes"].as_f64()).sum();
    let values: [(&'static Family, Option<f64>); 3] = [
        (&PRUNED, deleted.map(|all| all.len() as f64)),
        (&PRUNED_BYTES, deleted.map(bytes)),
        (&PRUNE_FAILED, failed.map(|all| all.len() as f64)),
    ];
    known(values, &[("repository", repository)])
}

fn of_verify(result: &Value, level: &str, repository: &str) -> Vec<Sample> {
    let labels = [("repository", repository), ("level", level)];
    let members = result["members"].as_array();
    let problems = |member: &Value| {
        let listed = member["problems"].as_array().map_or(0, Vec::len) as f64;
        listed + member["more_problems"].as_f64().unwrap_or_default()
    };
    let sum = |of: &dyn Fn(&Value) -> f64| members.map(|all| all.iter().map(of).sum());
    let values: [(&'static Family, Option<f64>); 4] = [
        (&VERIFIED, members.map(|all| all.len() as f64)),
        (
            &VERIFY_READ,
            sum(&|member| member["read_bytes"].as_f64().unwrap_or_default()),
        ),
        (&VERIFY_PROBLEMS, sum(&problems)),
        (
            &VERIFY_DAMAGED,
            sum(&|member| f64::from(u8::from(problems(member) > 0.0))),
        ),
    ];
    known(values, &labels)
}

fn known<const N: usize>(
    values: [(&'static Family, Option<f64>); N],
    labels: &[(&'static str, &str)],
) -> Vec<Sample> {
    let samples = values
        .into_iter()
        .filter_map(|(family, value)| Some(Sample::new(family, labels, value?)));
    samples.collect()
}
