//! Tests of the page. They write samples into `target/agent-page`, for `tools/agent-page`.

use super::super::tests::fake::{Fake, before, job, listed, schedule, slot};
use super::super::tests::get;
use super::render;
use super::snapshot::Snapshot;
use crate::agent::jobs::{Error, Job, JobKind, Origin, State};
use crate::agent::schedule::Outcome;
use crate::locked::Locked as _;
use crate::manifest::BackupName;
use crate::store::{Listed, ListedState};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// Renders the page of an agent, and writes it as a sample.
fn page(name: &str, fake: &Arc<Fake>) -> String {
    use super::super::api::Api as _;
    let snapshot = Snapshot {
        now: before(0),
        status: fake.status(),
        settings: fake.settings(),
        schedules: fake.schedules(),
        jobs: fake.jobs(),
        idle: fake.since_last_step(),
        free: Some(20 << 30),
    };
    let text = render(&snapshot).into_string();
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/agent-page"));
    std::fs::create_dir_all(dir.join("static")).unwrap();
    std::fs::write(dir.join(format!("{name}.html")), &text).unwrap();
    for file in ["style.css", "refresh.js", "icon.svg"] {
        let answer = get(fake, &format!("/static/{file}"));
        std::fs::write(dir.join("static").join(file), &answer.body).unwrap();
    }
    let policy = &get(fake, "/").headers["content-security-policy"];
    std::fs::write(dir.join("policy"), policy.as_bytes()).unwrap();
    text
}

fn drill() -> Job {
    let mut drill = job("20261201T040000Z-55bb02", JobKind::Verify, State::Succeeded);
    drill.arguments = vec!["--restore".to_owned()];
    drill.origin = Origin::Schedule {
        schedule: "drill".to_owned(),
        slot: before(120),
        attempt: 1,
    };
    drill.report = Some(json!({"result": {"members": [{}, {}, {}]}}));
    drill
}

fn schedules() -> Vec<crate::agent::schedule::ScheduleStatus> {
    let ok = |count: i64, minutes: i64| {
        let slots = (0..count).map(|n| slot(n * minutes + 30, Outcome::Succeeded));
        slots.collect::<Vec<_>>()
    };
    let mut next = vec![
        schedule("nightly", "full", ok(8, 1440)),
        schedule("every-6-hours", "incremental", ok(14, 360)),
        schedule("drill", "verify", ok(3, 10_080)),
        schedule("retention", "prune", ok(8, 1440)),
    ];
    for (n, schedule) in next.iter_mut().enumerate() {
        schedule.next = Some(before(-40 - 300 * n as i64));
    }
    next
}

#[test]
fn a_page_of_a_sound_agent_says_so_first() {
    let fake = Fake::new();
    {
        let mut status = fake.status.locked();
        *fake.schedules.locked() = schedules();
        let copied = status.repositories[0].listed.iter().skip(6).cloned();
        status.repositories[1].listed = Arc::new(copied.collect());
    }
    let mut done = job("20261201T020000Z-0c0de1", JobKind::Backup, State::Succeeded);
    done.arguments = vec!["--incremental".to_owned()];
    *fake.jobs.locked() = vec![Fake::running(), drill(), done];
    let text = page("good", &fake);
    let main = text.split_once("<main").unwrap().1;
    let heading = main.split_once("<h2").unwrap().1;
    assert!(
        heading.starts_with(" id=\"verdict\">All is well<"),
        "{heading}"
    );
    for words in [
        "copy: 73%, 31.0 GiB of 42.0 GiB",
        "every-6-hours",
        "in 40 min",
        "11 backups in 2 chains",
        "1 full backup and 4 incrementals",
        "of 3 backups",
        "<meta http-equiv=\"refresh\"",
        "MySQL 8.4.5, a replica, 2 s behind",
    ] {
        assert!(text.contains(words), "{words}");
    }
    // The policy would refuse both.
    assert!(!text.contains("style=") && !text.contains("<style") && !text.contains("onclick"));
}

fn troubled() -> Arc<Fake> {
    let fake = Fake::new();
    let mut all = schedules();
    all[0].last = vec![slot(240, Outcome::Missed), slot(1680, Outcome::Succeeded)];
    all[1].last.insert(0, slot(20, Outcome::Failed));
    all[2].paused = true;
    all[3].next = Some(before(25));
    let mut status = fake.status.locked();
    *fake.schedules.locked() = all;
    status.server.as_mut().unwrap().reached =
        Err("can't connect to 10.0.0.7:3306: connection refused".to_owned());
    status.repositories[1].error = Some("access denied: the credentials have expired".to_owned());
    let mut listing: Vec<Listed> = status.repositories[0].listed.to_vec();
    listing[3].state = ListedState::Damaged {
        reason: "3 objects, expected 4".to_owned(),
    };
    listing.iter_mut().take(6).for_each(|one| one.pinned = true);
    let name = BackupName::full("shop", before(3000)).unwrap();
    let mut unfinished = listed(&name, before(2990), 7 << 30);
    unfinished.state = ListedState::Unfinished;
    listing.push(unfinished);
    status.repositories[0].listed = Arc::new(listing);
    drop(status);
    let mut failed = drill();
    failed.state = State::Failed;
    failed.exit_code = Some(13);
    failed.error = Some(Error {
        kind: "damaged".to_owned(),
        message: "2 problems found".to_owned(),
        hint: Some("make a full backup".to_owned()),
    });
    let mut copy = job("20261201T010000Z-99dd03", JobKind::Copy, State::Failed);
    copy.repository = Some("main".to_owned());
    copy.error = failed.error.clone();
    let queued = job("20261201T055900Z-11ee04", JobKind::Prune, State::Queued);
    *fake.jobs.locked() = vec![queued, Fake::running(), failed, copy];
    fake
}

#[test]
fn a_page_of_a_troubled_agent_says_what_is_wrong_first() {
    let text = page("wrong", &troubled());
    assert!(text.contains("<title>Wrong – lsnap db1</title>"));
    let verdict = text.split_once("id=\"verdict\">").unwrap().1;
    let verdict = verdict.split_once("</section>").unwrap().0;
    assert!(verdict.starts_with("7 things are wrong"), "{verdict}");
    let mut rest = verdict;
    // In this order: the critical ones before the others.
    for words in [
        "The MySQL server is not reached.",
        "Can't connect to 10.0.0.7:3306: connection refused",
        "is damaged: 3 objects, expected 4",
        "The repository offsite can't be listed; it was listed last 2 min ago.",
        "The schedule nightly missed its slot",
        "The schedule every-6-hours failed in its slot",
        "The schedule retention is 25 min late.",
        "The last lsnap copy failed.",
        "was never finished",
        "The repository offsite has no backup.",
        "The schedule drill is paused.",
    ] {
        rest = rest
            .split_once(words)
            .unwrap_or_else(|| panic!("{words}: {verdict}"))
            .1;
    }
}

#[test]
fn a_new_agent_has_a_page() {
    let fake = Fake::new();
    {
        let mut status = fake.status.locked();
        status.server = None;
        fake.schedules.locked().clear();
        status.repositories.truncate(1);
        status.repositories[0].listed = Arc::default();
        status.repositories[0].listed_at = None;
    }
    let text = page("empty", &fake);
    for words in [
        "Nothing runs.",
        "There is no schedule",
        "It was not listed yet.",
        "No backup was verified",
    ] {
        assert!(text.contains(words), "{words}");
    }
}

#[test]
fn an_agent_that_stopped_looking_is_not_well() {
    let fake = Fake::new();
    {
        let mut status = fake.status.locked();
        status.repositories.truncate(1);
        // 3 times the period of 5 min, and 10 min
        status.repositories[0].listed_at = Some(before(25));
        status.server.as_mut().unwrap().at = before(25);
    }
    assert!(page("old", &fake).contains("All is well"));
    fake.status.locked().repositories[0].listed_at = Some(before(26));
    assert!(page("old", &fake).contains("The repository main was listed last 26 min ago"));
    assert_eq!(get(&fake, "/readyz").status.as_u16(), 503);
    fake.status.locked().repositories[0].listed_at = Some(before(1));
    fake.status.locked().server.as_mut().unwrap().at = before(26);
    assert!(page("old", &fake).contains("The MySQL server was asked last 26 min ago"));
    assert_eq!(get(&fake, "/readyz").status.as_u16(), 503);
}

#[test]
fn hostile_names_are_only_text() {
    const EVIL: &str = "<script>alert(1)</script>\"' onload=x &amp; \u{202e}\u{1b}[2J\n</main>";
    let fake = troubled();
    {
        let evil = || EVIL.to_owned();
        let mut status = fake.status.locked();
        status.name = evil();
        status.server.as_mut().unwrap().reached = Err(evil());
        for schedule in fake.schedules.locked().iter_mut() {
            (schedule.name, schedule.job, schedule.repository) = (evil(), evil(), Some(evil()));
            for slot in &mut schedule.last {
                (slot.agent, slot.error) = (Some(evil()), Some(evil()));
            }
        }
        let repository = &mut status.repositories[0];
        (repository.name, repository.url, repository.error) = (evil(), evil(), Some(evil()));
        let mut listing = repository.listed.to_vec();
        let name = BackupName::parse("<img src=x onerror=alert(1)>\u{202e}").unwrap();
        (listing[0].name, listing[3].state) = (name, ListedState::Damaged { reason: evil() });
        repository.listed = Arc::new(listing);
        let mut jobs = fake.jobs.locked();
        for job in jobs.iter_mut() {
            job.repository = Some(evil());
            job.id.0 = evil();
            job.origin = Origin::RunNow { schedule: evil() };
            if let Some(error) = &mut job.error {
                (error.message, error.hint) = (evil(), Some(evil()));
            }
            if let Some(progress) = &mut job.progress {
                progress.phase = evil();
            }
        }
    }
    let text = page("hostile", &fake);
    assert_eq!(text.matches("<script").count(), 1, "only the page's own");
    assert_eq!(text.matches("</main>").count(), 1);
    assert!(!text.contains("<img") && !text.contains("\" onload") && !text.contains("\"' onload"));
    assert!(!text.contains('\u{202e}') && !text.contains('\u{1b}'));
}
