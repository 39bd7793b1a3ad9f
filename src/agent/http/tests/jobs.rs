//! Jobs, events and schedules.

use super::fake::{Fake, job};
use super::{get, post, send};
use crate::agent::jobs::{Event, JobKind, Refused, State};
use crate::locked::Locked as _;
use axum::http::{Method, StatusCode};
use chrono::Utc;
use std::sync::Arc;

#[test]
fn a_job_is_started_by_a_typed_body() {
    let fake = Fake::new();
    for (body, command) in [
        (r#"{"kind":"backup"}"#, "backup"),
        (
            r#"{"kind":"backup","type":"full","prune":true,"repository":"offsite"}"#,
            "backup @offsite --full --prune",
        ),
        (
            r#"{"kind":"backup","type":"incremental","base":"shop-2026-12-01-02:00:00-full"}"#,
            "backup --incremental --base shop-2026-12-01-02:00:00-full",
        ),
        (r#"{"kind":"consolidate"}"#, "consolidate latest"),
        (
            r#"{"kind":"verify","all":true,"level":"data"}"#,
            "verify --all --data",
        ),
        (
            r#"{"kind":"verify","level":"restore","backup":"latest"}"#,
            "verify --restore latest",
        ),
        (
            r#"{"kind":"prune","dry_run":true,"unfinished_only":true}"#,
            "prune --dry-run --unfinished-only",
        ),
        (
            r#"{"kind":"copy","into":"offsite","kept":true,"with_pins":true}"#,
            "copy --into offsite --kept --with-pins",
        ),
        (
            r#"{"kind":"check","max_age_hours":30}"#,
            "check --max-age 30h",
        ),
    ] {
        let answer = post(&fake, "/v1/jobs", body);
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        assert_eq!(fake.command(), command);
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.headers["location"], format!("/v1/jobs/{id}"));
    }
    post(
        &fake,
        "/v1/jobs",
        r#"{"kind":"prune","deadline_seconds":60}"#,
    );
    let deadline = fake.started.locked().last().unwrap().deadline;
    assert_eq!(deadline.unwrap().as_secs(), 60);
}

#[test]
fn nothing_else_reaches_a_command_line() {
    let fake = Fake::new();
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("null", 422),
        ("[]", 422),
        (r#"{"kind":"backup"} x"#, 400),
        (r#"{}"#, 422),
        (r#"{"kind":"restore"}"#, 422),
        (r#"{"kind":"delete","backup":"x"}"#, 422),
        (r#"{"kind":"backup","arguments":["--hook","rm"]}"#, 422),
        (r#"{"kind":"backup","type":"--full"}"#, 422),
        (r#"{"kind":"backup","base":"b"}"#, 422),
        (r#"{"kind":"backup","prune":"yes"}"#, 422),
        (r#"{"kind":"backup","repository":"file:///etc"}"#, 404),
        (r#"{"kind":"backup","repository":""}"#, 404),
        (r#"{"kind":"backup","deadline_seconds":0}"#, 422),
        (r#"{"kind":"backup","deadline_seconds":-1}"#, 422),
        (r#"{"kind":"backup","deadline_seconds":31536001}"#, 422),
        (r#"{"kind":"verify","backup":"--restore"}"#, 422),
        (r#"{"kind":"verify","backup":"../../etc/passwd"}"#, 422),
        (r#"{"kind":"verify","backup":"a\nb"}"#, 422),
        (r#"{"kind":"verify","backup":"x","all":true}"#, 422),
        (r#"{"kind":"copy"}"#, 422),
        (r#"{"kind":"check","max_age_hours":0}"#, 422),
        (r#"{"kind":"copy","into":"s3://elsewhere/x"}"#, 404),
        (r#"{"kind":"copy","into":"--config"}"#, 404),
        (
            r#"{"kind":"copy","into":"offsite","all":true,"kept":true}"#,
            422,
        ),
    ] {
        let answer = post(&fake, "/v1/jobs", body);
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
        answer.error();
    }
    assert!(fake.started.locked().is_empty());
}

#[test]
fn deep_json_is_refused() {
    let fake = Fake::new();
    let deep = "[".repeat(30_000);
    assert_eq!(
        post(&fake, "/v1/jobs", &deep).status,
        StatusCode::BAD_REQUEST
    );
}

#[test]
fn a_refusal_has_its_status() {
    let fake = Fake::new();
    *fake.refusal.locked() = Some(Refused::ShuttingDown);
    for path in ["/v1/jobs", "/v1/schedules/nightly/run"] {
        let answer = post(&fake, path, r#"{"kind":"check"}"#);
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.error(), "interrupted");
    }
    *fake.refusal.locked() = Some(Refused::Full { waiting: 64 });
    let answer = post(&fake, "/v1/jobs", r#"{"kind":"check"}"#);
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.error(), "busy");
    assert!(answer.headers.contains_key("retry-after"));
}

#[test]
fn jobs_are_listed_shown_and_cancelled() {
    let fake = Fake::new();
    let mut done = job("done", JobKind::Verify, State::Succeeded);
    done.report = Some(serde_json::json!({"result": {"outcome": "sound"}}));
    *fake.jobs.locked() = vec![Fake::running(), done];
    let list = get(&fake, "/v1/jobs").json();
    assert_eq!(list["jobs"][0]["progress"]["phase"], "copy");
    assert!(list["jobs"][1].get("report").is_none(), "it can be long");
    let one = get(&fake, "/v1/jobs/done").json();
    assert_eq!(one["report"]["result"]["outcome"], "sound");

    let cancel = |id: &str| send(&fake, Method::POST, &format!("/v1/jobs/{id}/cancel"), None);
    let answer = cancel("20261201T053000Z-77aa01");
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.json()["state"], "cancelling");
    assert_eq!(cancel("done").status, StatusCode::CONFLICT);
    assert_eq!(cancel("other").status, StatusCode::NOT_FOUND);
    assert_eq!(get(&fake, "/v1/jobs/other").error(), "not_found");
}

#[test]
fn the_end_of_a_log_is_shown() {
    let fake = Fake::new();
    *fake.jobs.locked() = vec![Fake::running()];
    let path = |tail: &str| format!("/v1/jobs/20261201T053000Z-77aa01/log{tail}");
    assert_eq!(get(&fake, &path("")).status, StatusCode::NOT_FOUND);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    std::fs::write(&file, b"first line\nsecond \xff <script>\n").unwrap();
    *fake.log.locked() = Some(file.clone());
    let answer = get(&fake, &path(""));
    assert_eq!(answer.text(), "first line\nsecond \u{fffd} <script>\n");
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(
        get(&fake, &path("?tail_bytes=22")).text(),
        "second \u{fffd} <script>\n"
    );
    for bad in [
        "?tail_bytes=0",
        "?tail_bytes=99999999",
        "?tail_bytes=x",
        "?file=/etc/passwd",
    ] {
        assert_eq!(
            get(&fake, &path(bad)).status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{bad}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(get(&fake, &path("")).status, StatusCode::NOT_FOUND);
}

#[test]
fn paths_lead_nowhere_else() {
    let fake = Fake::new();
    for path in [
        "/v1/jobs/..%2f..%2f..%2fetc%2fpasswd/log",
        "/v1/jobs/%2e%2e/log",
        "/v1/jobs/a%00b",
        "/v1/jobs/../config",
        "/v1/backups/..%2f..%2fetc",
        "/v1/backups/%2e%2e",
        "/v1/backups/x?repository=..%2f..",
        "/v1/schedules/..%2f../run",
        "/static/..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e%2fx",
        "/etc/passwd",
        "//etc/passwd",
        "/v1/jobs/%ff",
    ] {
        let answer = get(&fake, path);
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
        answer.error();
    }
}

#[test]
fn schedules_are_run_and_paused() {
    let fake = Fake::new();
    let list = get(&fake, "/v1/schedules").json();
    assert_eq!(list["schedules"][0]["name"], "nightly");
    let call = |path: &str| send(&fake, Method::POST, &format!("/v1/schedules/{path}"), None);
    let answer = call("nightly/run");
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(call("nightly/pause").json()["paused"], true);
    assert_eq!(call("nightly/resume").json()["paused"], false);
    for unknown in ["x/run", "x/pause", "x/resume"] {
        assert_eq!(call(unknown).error(), "not_found");
    }
    assert_eq!(call("nightly/delete").error(), "not_found");
}

#[test]
fn the_settings_have_no_secret_and_no_file_of_one() {
    let fake = Fake::new();
    let mut http = super::settings("127.0.0.1:6460");
    http.token_file = Some("/etc/lsnap/the-token".into());
    http.tls = Some(("/etc/lsnap/cert".into(), "/etc/lsnap/the-key".into()));
    fake.settings.locked().http = Some(http);
    let answer = get(&fake, "/v1/config");
    let config = answer.json();
    assert_eq!(config["token"], true);
    assert_eq!(config["repositories"][0], "main");
    assert!(!answer.text().contains("the-"), "{}", answer.text());
}

#[test]
fn events_are_sent_and_missed_ones_are_counted() {
    use futures::StreamExt as _;
    use tower::ServiceExt as _;

    let fake = Fake::new();
    let cancel = crate::cancel::Cancel::new();
    let settings = super::settings("/run/x.sock");
    let listen = super::Listen::parse(&settings.listen).unwrap();
    let guard = Arc::new(super::Guard::of(&settings, &listen).unwrap());
    let shared = super::Shared::new(fake.clone(), cancel.clone(), super::Limits::default());
    let router = super::router(shared, guard);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let request = |path: &str| {
            let request = axum::http::Request::get(path);
            request.body(axum::body::Body::empty()).unwrap()
        };
        let open = |path: &'static str| router.clone().oneshot(request(path));
        let all = open("/v1/events").await.unwrap();
        let of_one = open("/v1/events?job=b").await.unwrap();
        assert_eq!(all.headers()["content-type"], "text/event-stream");
        for id in ["a", "b"] {
            let mut job = job(id, JobKind::Backup, State::Succeeded);
            job.report = Some(serde_json::json!({"long": true}));
            let event = Event {
                at: Utc::now(),
                job,
            };
            fake.events.send(event).unwrap();
        }
        let mut all = all.into_body().into_data_stream();
        let first = all.next().await.unwrap().unwrap();
        let first = std::str::from_utf8(&first).unwrap();
        assert!(first.contains("event: job\ndata: {") && first.contains(r#""id":"a""#));
        assert!(!first.contains("long"));
        let mut of_one = of_one.into_body().into_data_stream();
        let only = of_one.next().await.unwrap().unwrap();
        assert!(std::str::from_utf8(&only).unwrap().contains(r#""id":"b""#));
        // The channel of the fake has four places.
        for _ in 0..7 {
            let job = job("b", JobKind::Backup, State::Running);
            fake.events
                .send(Event {
                    at: Utc::now(),
                    job,
                })
                .unwrap();
        }
        let missed = of_one.next().await.unwrap().unwrap();
        assert_eq!(&missed[..], b"event: missed\ndata: 3\n\n");
        cancel.cancel();
        let rest: Vec<_> = of_one.collect().await;
        assert!(rest.is_empty(), "the stream ends with the agent");
    });
}

#[test]
fn streams_of_events_are_limited() {
    use tower::ServiceExt as _;

    let fake = Fake::new();
    let settings = super::settings("/run/x.sock");
    let listen = super::Listen::parse(&settings.listen).unwrap();
    let guard = Arc::new(super::Guard::of(&settings, &listen).unwrap());
    let limits = super::Limits {
        streams: 1,
        ..super::Limits::default()
    };
    let shared = super::Shared::new(fake, crate::cancel::Cancel::new(), limits);
    let router = super::router(shared, guard);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let open = || {
            let request = axum::http::Request::get("/v1/events");
            let request = request.body(axum::body::Body::empty()).unwrap();
            router.clone().oneshot(request)
        };
        let first = open().await.unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let second = open().await.unwrap();
        assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        assert_eq!(open().await.unwrap().status(), StatusCode::OK);
    });
}
