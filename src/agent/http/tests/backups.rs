//! Backups and probes.

use super::fake::{Fake, chains};
use super::{get, send};
use crate::locked::Locked as _;
use axum::http::{Method, StatusCode};
use std::sync::Arc;
use std::time::Duration;

const FULL: &str = "shop-2026-11-30-02:00:00-full";
const LAST: &str = "shop-2026-12-01-02:00:00-incr";

#[test]
fn backups_are_listed_chain_after_chain() {
    let fake = Fake::new();
    let document = get(&fake, "/v1/backups").json();
    let all = document["backups"].as_array().unwrap();
    assert_eq!(all.len(), chains().len());
    assert_eq!(document["repository"], "main");
    assert_eq!(all[6]["name"], FULL);
    assert_eq!(all[6]["type"], "full");
    assert_eq!(all[7]["chain"], FULL);
    assert_eq!(all[7]["state"], "finished");
    let other = get(&fake, "/v1/backups?repository=offsite").json();
    assert_eq!(other["backups"].as_array().unwrap().len(), 0);
    assert_eq!(get(&fake, "/v1/backups?repository=x").error(), "not_found");
    assert_eq!(get(&fake, "/v1/backups?repo=main").error(), "arguments");
}

#[test]
fn a_backup_is_found_by_its_name_or_its_last_part() {
    let fake = Fake::new();
    let whole = format!("{FULL}.incr/{LAST}");
    for name in [LAST.to_owned(), whole.replace('/', "%2F")] {
        let found = get(&fake, &format!("/v1/backups/{name}")).json();
        assert_eq!(found["name"], whole);
    }
    let unlisted = "/v1/backups/shop-2020-01-01-00:00:00-full";
    assert_eq!(get(&fake, unlisted).error(), "not_found");
    fake.status.locked().repositories[0].listed_at = None;
    let answer = get(&fake, unlisted);
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn a_deletion_obeys_the_rules_of_chains() {
    let fake = Fake::new();
    let delete = |path: &str| send(&fake, Method::DELETE, &format!("/v1/backups/{path}"), None);
    let answer = delete(FULL);
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text());
    assert!(answer.text().contains("4 backups must be deleted before"));
    assert!(fake.started.locked().is_empty());
    assert_eq!(delete(LAST).status, StatusCode::ACCEPTED);
    assert_eq!(fake.command(), format!("delete @main {FULL}.incr/{LAST}"));
    let cascade = delete(&format!("{FULL}?cascade=true&dry_run=true"));
    assert_eq!(cascade.status, StatusCode::ACCEPTED);
    assert_eq!(
        fake.command(),
        format!("delete @main --cascade --dry-run {FULL}")
    );

    let mut pinned = chains();
    pinned.iter_mut().for_each(|backup| backup.pinned = true);
    fake.status.locked().repositories[0].listed = Arc::new(pinned);
    let answer = delete(&format!("{FULL}?cascade=true"));
    assert_eq!(
        (answer.status, answer.error().as_str()),
        (StatusCode::CONFLICT, "conflict")
    );
}

#[test]
fn a_chain_is_pinned_by_the_whole_name() {
    let fake = Fake::new();
    let path = format!("/v1/backups/{LAST}/pin");
    assert_eq!(
        send(&fake, Method::PUT, &path, None).status,
        StatusCode::ACCEPTED
    );
    assert_eq!(fake.command(), format!("pin @main {FULL}.incr/{LAST}"));
    assert_eq!(
        send(&fake, Method::DELETE, &path, None).status,
        StatusCode::ACCEPTED
    );
    assert_eq!(fake.command(), format!("unpin @main {FULL}.incr/{LAST}"));
}

#[test]
fn a_check_reports_old_backups() {
    let fake = Fake::new();
    // The newest of the fixture is 4 hours older than its time.
    let old = get(&fake, "/v1/check?max_age_hours=1").json();
    assert_eq!(old["state"], "critical");
    assert_eq!(old["clusters"][0]["incrementals"], 4);
    let answer = get(&fake, "/v1/check?max_age_hours=0");
    assert_eq!(answer.error(), "arguments");
    let empty = get(&fake, "/v1/check?repository=offsite").json();
    assert_eq!(empty["state"], "critical", "there are no backups");
}

#[test]
fn probes_tell_what_is_wrong() {
    let fake = Fake::new();
    assert_eq!(get(&fake, "/healthz").status, StatusCode::OK);
    let ready = get(&fake, "/readyz");
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.text());
    {
        let mut status = fake.status.locked();
        status.server.as_mut().unwrap().reached = Err("connection refused".to_owned());
        status.repositories[1].error = Some("access denied".to_owned());
    }
    let answer = get(&fake, "/readyz");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let checks = answer.json();
    assert_eq!(checks["ok"], false);
    assert_eq!(checks["checks"][0]["reason"], "connection refused");
    assert_eq!(checks["checks"][2]["reason"], "offsite: access denied");
    assert_eq!(checks["checks"][3]["check"], "disk");
    assert_eq!(
        get(&fake, "/healthz").status,
        StatusCode::OK,
        "no reason for a restart"
    );
    *fake.idle.locked() = Duration::from_secs(301);
    assert_eq!(
        get(&fake, "/healthz").status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    fake.settings.locked().state_dir = "/nonexistent".into();
    let disk = get(&fake, "/readyz").json()["checks"][3].clone();
    assert_eq!(disk["ok"], false);
}

#[test]
fn an_agent_that_ends_is_not_ready() {
    let fake = Fake::new();
    fake.status.locked().shutting_down = true;
    let answer = get(&fake, "/readyz");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["checks"][0]["check"], "shutdown");
}
