//! Tests of the metrics: the values, and an example for `promtool` (`examples/monitoring/lsnap-agent.prom`).

use super::super::tests::fake::{Fake, before, job, schedule, slot};
use super::super::tests::get;
use crate::agent::jobs::{Event, Job, JobKind, State};
use crate::agent::schedule::Outcome;
use crate::locked::Locked as _;
use crate::metrics::families::FAMILIES;
use crate::metrics::{Sample, parse};
use serde_json::json;
use std::sync::Arc;

/// Returns an agent whose metrics have every family.
fn agent() -> Arc<Fake> {
    let fake = Fake::new();
    let mut backup = job("b1", JobKind::Backup, State::Succeeded);
    backup.report = Some(json!({"lsnap": "0.1.0", "command": "backup", "result": {
        "backup": {"name": "shop-2026-12-01-02:00:00-full", "cluster": "shop", "kind": "full",
            "duration_seconds": 720.5, "data_bytes": 45_097_156_608_u64, "stored_bytes": 21_474_836_480_u64,
            "missing_tables": 0},
        "tables_locked_seconds": 0.25,
        "pages": {"verified": 2_621_440, "zero": 100, "unverifiable": 0, "skipped": 60},
        "page_tracking": {"used": true, "reason": null, "since": 5},
        "throttle": {"mode": "auto", "mean_rate": 104_857_600, "backed_off": 3},
        "warnings": ["one"],
    }}));
    let mut verify = job("v1", JobKind::Verify, State::Failed);
    verify.arguments = vec!["--data".to_owned()];
    verify.exit_code = Some(13);
    verify.report = Some(json!({"result": {"outcome": "damaged", "members": [
        {"read_bytes": 1000, "problems": [{}], "more_problems": 2},
        {"read_bytes": 500, "problems": [], "more_problems": 0},
    ]}}));
    let mut prune = job("p1", JobKind::Prune, State::Succeeded);
    prune.report = Some(json!({"result": {"dry_run": false, "failed": [],
        "deleted": [{"removed_bytes": 70}, {"removed_bytes": 7}]}}));
    let check = job("c1", JobKind::Check, State::Cancelled);
    *fake.jobs.locked() = vec![Fake::running(), check, prune, verify, backup];
    let mut held = schedule("hourly", "incremental", Vec::new());
    held.last = vec![
        slot(5, Outcome::Running),
        slot(65, Outcome::Failed),
        slot(125, Outcome::Succeeded),
    ];
    fake.schedules.locked()[1] = held;
    fake
}

fn scraped(fake: &Arc<Fake>) -> (String, Vec<Sample>) {
    let answer = get(fake, "/metrics");
    let content = answer.headers["content-type"].to_str().unwrap();
    assert!(
        content.starts_with("text/plain; version=0.0.4"),
        "{content}"
    );
    let text = answer.text().to_owned();
    let samples = parse(&text).unwrap();
    (text, samples)
}

fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut found = samples.iter().filter(|sample| {
        sample.family.name == name
            && labels
                .iter()
                .all(|(label, value)| sample.label(label) == *value)
    });
    let first = found.next().map(|sample| sample.value);
    assert!(
        found.next().is_none(),
        "{name} {labels:?} has several values"
    );
    first
}

#[test]
fn the_values_are_those_of_the_agent() {
    let fake = agent();
    let (_, samples) = scraped(&fake);
    let of = |name: &str, labels: &[(&str, &str)]| value(&samples, name, labels);
    let main = ("repository", "s3://backups/shop");
    for (name, labels, expected) in [
        ("lsnap_agent_info", vec![("agent", "db1")], 1.0),
        ("lsnap_agent_jobs", vec![("state", "running")], 1.0),
        ("lsnap_agent_jobs", vec![("state", "queued")], 0.0),
        (
            "lsnap_agent_job_done_bytes",
            vec![("phase", "copy")],
            (31_u64 << 30) as f64,
        ),
        (
            "lsnap_agent_job_expected_bytes",
            vec![("command", "backup")],
            (42_u64 << 30) as f64,
        ),
        (
            "lsnap_backup_duration_seconds",
            vec![("type", "full"), ("cluster", "shop"), main],
            720.5,
        ),
        ("lsnap_backup_pages", vec![("type", "full")], 2_621_600.0),
        ("lsnap_backup_tables_locked_seconds", vec![], 0.25),
        ("lsnap_backup_page_tracking_used", vec![], 1.0),
        (
            "lsnap_backup_mean_read_bytes_per_second",
            vec![],
            104_857_600.0,
        ),
        ("lsnap_backup_throttle_lowered", vec![], 3.0),
        ("lsnap_verify_problems", vec![("level", "data")], 3.0),
        ("lsnap_verify_damaged_backups", vec![main], 1.0),
        ("lsnap_verify_read_bytes", vec![], 1500.0),
        ("lsnap_prune_deleted_bytes", vec![main], 77.0),
        (
            "lsnap_run_success",
            vec![("command", "verify"), ("level", "data")],
            0.0,
        ),
        (
            "lsnap_run_duration_seconds",
            vec![("command", "backup")],
            1200.0,
        ),
        (
            "lsnap_runs_total",
            vec![("command", "verify"), ("result", "failure")],
            1.0,
        ),
        (
            "lsnap_runs_total",
            vec![("command", "check"), ("result", "failure")],
            1.0,
        ),
        (
            "lsnap_runs_total",
            vec![("command", "backup"), ("result", "success")],
            1.0,
        ),
        (
            "lsnap_last_damage_timestamp_seconds",
            vec![],
            before(10).timestamp() as f64,
        ),
        (
            "lsnap_last_success_timestamp_seconds",
            vec![("command", "backup"), ("type", "full"), ("cluster", "shop")],
            before(1440 + 228).timestamp() as f64,
        ),
        (
            "lsnap_repository_backups",
            vec![main, ("cluster", "shop")],
            11.0,
        ),
        ("lsnap_chain_incrementals", vec![main], 4.0),
        ("lsnap_repository_reachable", vec![main], 1.0),
        ("lsnap_server_replica_lag_seconds", vec![], 2.0),
        (
            "lsnap_schedule_next_timestamp_seconds",
            vec![("schedule", "nightly"), ("job", "full")],
            before(-90).timestamp() as f64,
        ),
        (
            "lsnap_schedule_last_outcome",
            vec![("schedule", "hourly"), ("outcome", "failed")],
            1.0,
        ),
        (
            "lsnap_schedule_last_outcome",
            vec![("schedule", "hourly"), ("outcome", "succeeded")],
            0.0,
        ),
        (
            "lsnap_schedule_last_success_timestamp_seconds",
            vec![("schedule", "hourly")],
            before(120).timestamp() as f64,
        ),
        (
            "lsnap_schedule_holder_info",
            vec![("schedule", "hourly"), ("agent", "db1")],
            1.0,
        ),
    ] {
        assert_eq!(of(name, &labels), Some(expected), "{name} {labels:?}");
    }
    assert_eq!(
        of("lsnap_schedule_holder_info", &[("schedule", "nightly")]),
        None
    );
}

#[test]
fn a_job_is_counted_once_whether_it_is_listed_or_an_event() {
    let fake = Fake::new();
    let recorder = Arc::new(super::recorder::Recorder::default());
    let ended = job("a", JobKind::Prune, State::Succeeded);
    *fake.jobs.locked() = vec![ended.clone()];
    let status = super::super::api::Api::status(&*fake);
    let runs = || {
        let samples = recorder.samples();
        value(&samples, "lsnap_runs_total", &[("result", "success")])
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let task = tokio::spawn(Arc::clone(&recorder).record(fake.clone()));
        tokio::task::yield_now().await;
        let send = |job: Job| fake.events.send(Event { at: before(0), job }).map(|_| ());
        send(ended.clone()).unwrap();
        send(job("b", JobKind::Prune, State::Running)).unwrap();
        send(job("b", JobKind::Prune, State::Succeeded)).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(runs(), Some(2.0));
        // More events than the channel holds: the list has those that were missed.
        let more: Vec<Job> = (0..9)
            .map(|n| job(&format!("m{n}"), JobKind::Prune, State::Succeeded))
            .collect();
        for job in &more {
            send(job.clone()).unwrap();
        }
        fake.jobs.locked().extend(more);
        tokio::task::yield_now().await;
        task.abort();
    });
    assert_eq!(runs(), Some(11.0));
    recorder.observe(&fake.jobs.locked(), &status);
    assert_eq!(runs(), Some(11.0));
}

#[test]
fn what_is_not_known_has_no_value() {
    let fake = Fake::new();
    {
        let mut status = fake.status.locked();
        status.server.as_mut().unwrap().reached = Err("refused".to_owned());
        status.repositories[0].listed_at = None;
        status.repositories[1].error = Some("denied".to_owned());
        fake.schedules.locked()[0].last.clear();
    }
    let mut odd = job("x", JobKind::Backup, State::Succeeded);
    odd.report = Some(json!({"result": {"backup": "of another version"}}));
    *fake.jobs.locked() = vec![odd];
    let (_, samples) = scraped(&fake);
    let of = |name: &str, labels: &[(&str, &str)]| value(&samples, name, labels);
    assert_eq!(of("lsnap_server_reachable", &[]), Some(0.0));
    assert_eq!(of("lsnap_server_is_replica", &[]), None);
    assert_eq!(
        of(
            "lsnap_repository_reachable",
            &[("repository", "s3://backups/shop")]
        ),
        Some(0.0)
    );
    assert_eq!(
        of(
            "lsnap_repository_reachable",
            &[("repository", "gs://offsite/shop")]
        ),
        Some(0.0)
    );
    assert_eq!(of("lsnap_repository_backups", &[]), None);
    assert_eq!(
        of(
            "lsnap_schedule_last_outcome",
            &[("schedule", "nightly"), ("outcome", "failed")]
        ),
        None
    );
    assert_eq!(of("lsnap_backup_pages", &[]), None);
    assert_eq!(of("lsnap_backup_stored_bytes", &[]), None);
}

#[test]
fn the_example_is_current_and_has_every_metric_of_the_agent() {
    let (text, samples) = scraped(&agent());
    for family in FAMILIES
        .iter()
        .filter(|family| family.group.is_of_the_agent())
    {
        let found = samples
            .iter()
            .any(|sample| sample.family.name == family.name);
        assert!(found, "{} is never set", family.name);
    }
    let fixed = |line: &str| match line.split_once(' ') {
        Some(("lsnap_agent_free_bytes", _)) => "lsnap_agent_free_bytes 21474836480\n".to_owned(),
        _ => format!("{line}\n"),
    };
    let text: String = text.lines().map(fixed).collect();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/monitoring/lsnap-agent.prom"
    );
    if std::env::var_os("LSNAP_WRITE_REFERENCE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == text,
        "{path} is old: run the unit tests with LSNAP_WRITE_REFERENCE=1"
    );
}
