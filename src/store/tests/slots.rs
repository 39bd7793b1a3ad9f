//! The protocol of slots, step by step, over a store with a simulated clock, in memory and in a directory.

use super::sim_store::{SimStore, SimTime, commit_only, finish_committed};
use super::*;
use crate::manifest::ScheduledRun;
use crate::store::slots::{Claimed, Decided, Ended, Entry, ScheduleSlots, SlotEnd};
use chrono::TimeDelta;
use std::sync::Arc;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(60);
const NAME: &str = "nightly";

fn slot() -> DateTime<Utc> {
    "2026-12-01T02:00:00Z".parse().unwrap()
}

fn simulated() -> (Repository, Arc<SimStore>) {
    let store = SimStore::new(SimTime::at(slot()), 1);
    let repository = Repository::over("sim:", store.clone()).unwrap();
    (repository, store)
}

fn repositories() -> Vec<(Repository, Option<tempfile::TempDir>)> {
    let dir = tempfile::tempdir().unwrap();
    let local = Repository::open(dir.path().to_str().unwrap()).unwrap();
    vec![(simulated().0, None), (local, Some(dir))]
}

fn newest(slots: &ScheduleSlots) -> Option<Entry> {
    slots.newest(slot(), &slots.look().unwrap()).unwrap()
}

fn claim(slots: &ScheduleSlots, agent: &str) -> Option<Claimed> {
    let entry = newest(slots);
    slots.claim(slot(), entry.as_ref(), agent, 0, TTL).unwrap()
}

/// Begins a backup of a claim that lacks only its manifest.
fn begun(repository: &Repository, claimed: &Claimed, second: i64) -> (Upload, Manifest) {
    let name = full_name(second);
    let upload = repository.begin(&name, 2).unwrap();
    upload
        .for_slot(SlotClaim {
            schedule: NAME.to_owned(),
            slot: slot(),
            token: claimed.token.clone(),
        })
        .unwrap();
    let files = vec![put_file(&upload, "a", 2).unwrap()];
    let to = u64::try_from(second).unwrap() * 10 + 10;
    let scheduled = Some(ScheduledRun {
        schedule: NAME.to_owned(),
        slot: Some(slot()),
    });
    let manifest = Manifest {
        scheduled,
        ..manifest(&name, None, to, files)
    };
    (upload, manifest)
}

fn failed() -> SlotEnd {
    SlotEnd {
        outcome: Ended::Failed,
        ran_by: Some("a".to_owned()),
        job: None,
        backup: None,
        error: Some("it failed".to_owned()),
    }
}

fn fault(error: StoreError) -> SlotFault {
    match error {
        StoreError::Slot(fault) => *fault,
        other => panic!("{other}"),
    }
}

#[test]
fn one_of_two_agents_claims_a_slot() {
    for (repository, _dir) in repositories() {
        let slots = repository.slots(NAME).unwrap();
        let first = slots.claim(slot(), None, "a", 0, TTL).unwrap();
        let second = slots.claim(slot(), None, "b", 0, TTL).unwrap();
        assert!(first.is_some() && second.is_none());
        let entry = newest(&slots).unwrap();
        assert_eq!((entry.record.agent.as_str(), entry.tries()), ("a", (1, 0)));
        let mut held = first.unwrap();
        slots.beat(&mut held).unwrap();
        slots.beat(&mut held).unwrap();
        let end = slots.end(&held, &failed()).unwrap();
        assert_eq!(end, failed());
        assert_eq!(newest(&slots).unwrap().end(), Some(&failed()));
        // the heartbeats are gone
        let names = slots.look().unwrap().slots[&slot()].names.clone();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}

#[test]
fn a_backup_of_a_slot_says_so_in_manifest_and_summary() {
    for (repository, _dir) in repositories() {
        let slots = repository.slots(NAME).unwrap();
        let held = claim(&slots, "a").unwrap();
        let (upload, made) = begun(&repository, &held, 1);
        upload.finish(&made).unwrap();
        let read = repository.manifest(&made.name).unwrap();
        assert_eq!(read.scheduled, made.scheduled);
        let listed = repository.list().unwrap();
        let summary = listed[0].summary().unwrap();
        assert_eq!(summary.scheduled, made.scheduled);
        assert!(summary.differences(&read).is_empty());
        let found = slots.decide(&newest(&slots).unwrap()).unwrap();
        assert_eq!(found, Decided::Finished(made.name));
    }
}

#[test]
fn a_backup_without_a_claim_is_refused() {
    let (repository, _) = simulated();
    let slots = repository.slots(NAME).unwrap();
    let mut stranger = claim(&slots, "a").unwrap();
    stranger.token = "no claim".to_owned();
    let other = repository.slots("other").unwrap();
    let (upload, made) = begun(&repository, &stranger, 1);
    let error = upload.clone().finish(&made).unwrap_err();
    assert!(matches!(fault(error), SlotFault::Taken { .. }));
    upload.abort().unwrap();
    assert!(repository.list().unwrap().is_empty());
    let error = other.commit(slot(), "no claim", &full_name(1)).unwrap_err();
    assert!(matches!(fault(error), SlotFault::NotClaimed { .. }));
}

#[test]
fn an_agent_that_was_paused_before_its_commit_can_not_finish() {
    for (repository, _dir) in repositories() {
        let slots = repository.slots(NAME).unwrap();
        let mut paused = claim(&slots, "a").unwrap();
        let (upload, made) = begun(&repository, &paused, 1);
        // the successor, after the claim expired
        let held = claim(&slots, "b").unwrap();
        assert_eq!(held.attempt, 2);
        let error = upload.clone().finish(&made).unwrap_err();
        assert!(matches!(fault(error), SlotFault::Taken { agent, .. } if agent == "b"));
        upload.abort().unwrap();
        assert!(matches!(
            fault(slots.beat(&mut paused).unwrap_err()),
            SlotFault::Taken { .. }
        ));
        assert!(slots.end(&paused, &failed()).is_err());
        assert!(slots.release(&paused, 0).is_err());
        assert!(slots.again(&paused, 1).is_err());
        let (upload, made) = begun(&repository, &held, 2);
        upload.finish(&made).unwrap();
        assert_eq!(repository.list().unwrap().len(), 1);
    }
}

#[test]
fn an_agent_that_was_paused_after_its_commit_can_not_finish_beside_its_successor() {
    for (repository, _dir) in repositories() {
        let slots = repository.slots(NAME).unwrap();
        let paused = claim(&slots, "a").unwrap();
        let (upload, made) = begun(&repository, &paused, 1);
        commit_only(&upload).unwrap();
        // the successor decides the commit before it claims
        let entry = newest(&slots).unwrap();
        assert_eq!(slots.decide(&entry).unwrap(), Decided::Nothing);
        let held = claim(&slots, "b").unwrap();
        let (second, other) = begun(&repository, &held, 2);
        second.finish(&other).unwrap();
        // it wakes at its last request: the put of the manifest
        finish_committed(&upload, &made).unwrap_err();
        upload.abort().unwrap();
        let names: Vec<_> = repository
            .list()
            .unwrap()
            .into_iter()
            .map(|l| l.name)
            .collect();
        assert_eq!(names, [other.name]);
    }
}

#[test]
fn a_void_refuses_the_manifest_of_a_paused_agent() {
    let (repository, _) = simulated();
    let slots = repository.slots(NAME).unwrap();
    let paused = claim(&slots, "a").unwrap();
    let (upload, made) = begun(&repository, &paused, 1);
    commit_only(&upload).unwrap();
    slots.decide(&newest(&slots).unwrap()).unwrap();
    // nobody claimed it yet: only the void is in the way
    let error = finish_committed(&upload, &made).unwrap_err();
    assert!(error.to_string().contains("taken over"), "{error}");
    upload.abort().unwrap();
    assert!(repository.list().unwrap().is_empty());
}

#[test]
fn a_finished_backup_whose_agent_died_is_a_success() {
    for (repository, _dir) in repositories() {
        let slots = repository.slots(NAME).unwrap();
        let dead = claim(&slots, "a").unwrap();
        let (upload, made) = begun(&repository, &dead, 1);
        upload.finish(&made).unwrap();
        let entry = newest(&slots);
        let ended = slots.close(slot(), entry.as_ref(), "t", "b", &failed());
        let ended = ended.unwrap().unwrap();
        assert_eq!(ended.outcome, Ended::Succeeded);
        assert_eq!(ended.backup, Some(made.name.to_string()));
        // the agent itself, if its job failed after the backup
        let other = repository.slots("second").unwrap();
        let held = other.claim(slot(), None, "a", 0, TTL).unwrap().unwrap();
        other.commit(slot(), &held.token, &made.name).unwrap();
        assert_eq!(
            other.end(&held, &failed()).unwrap().outcome,
            Ended::Succeeded
        );
    }
}

#[test]
fn a_slot_that_is_over_is_over() {
    let (repository, _) = simulated();
    let slots = repository.slots(NAME).unwrap();
    let held = claim(&slots, "a").unwrap();
    let (upload, made) = begun(&repository, &held, 1);
    let entry = newest(&slots);
    slots
        .close(slot(), entry.as_ref(), "t", "b", &failed())
        .unwrap();
    let error = upload.clone().finish(&made).unwrap_err();
    assert!(matches!(fault(error), SlotFault::Over { .. }));
    upload.abort().unwrap();
    // a second end of the same slot
    let again = slots.close(slot(), entry.as_ref(), "t", "c", &failed());
    assert_eq!(again.unwrap(), None);
}

#[test]
fn a_claim_in_place_of_removed_records_has_no_effect() {
    let (repository, _) = simulated();
    let slots = repository.slots(NAME).unwrap();
    let paused = claim(&slots, "a").unwrap();
    let (upload, made) = begun(&repository, &paused, 1);
    // the slot ended long ago, and its records are removed
    slots.end(&paused, &failed()).unwrap();
    slots.mark(slot() + TimeDelta::hours(1), "t", 0).unwrap();
    slots.tidy().unwrap();
    assert!(slots.look().unwrap().slots.is_empty());
    assert_eq!(slots.claim(slot(), None, "b", 0, TTL).unwrap(), None);
    // even if the record of the claim were there
    let late = newest(&slots).unwrap();
    let upload_of = SlotClaim {
        schedule: NAME.to_owned(),
        slot: slot(),
        token: late.record.token,
    };
    let error = slots
        .commit(slot(), &upload_of.token, &made.name)
        .unwrap_err();
    assert!(matches!(fault(error), SlotFault::Over { .. }));
    upload.clone().finish(&made).unwrap_err();
    upload.abort().unwrap();
}

#[test]
fn a_released_slot_is_claimed_again_at_once() {
    let (repository, _) = simulated();
    let slots = repository.slots(NAME).unwrap();
    let held = claim(&slots, "a").unwrap();
    assert!(slots.release(&held, 1).unwrap());
    let entry = newest(&slots).unwrap();
    assert!(entry.expires().is_none());
    let next = slots.claim(slot(), Some(&entry), "b", 1, TTL).unwrap();
    let next = next.unwrap();
    assert_eq!((next.attempt, next.failures), (2, 1));
    let third = slots.again(&next, 2).unwrap().unwrap();
    assert_eq!((third.attempt, third.failures), (3, 2));
    assert!(slots.end(&next, &failed()).is_err(), "an earlier try");
    // a backup that was finished is not given up
    let (upload, made) = begun(&repository, &third, 1);
    upload.finish(&made).unwrap();
    assert!(!slots.release(&third, 2).unwrap());
    assert_eq!(slots.again(&third, 3).unwrap(), None);
}

#[test]
fn a_claim_expires_by_the_clock_of_the_store() {
    let (repository, store) = simulated();
    let slots = repository.slots(NAME).unwrap();
    let mut held = claim(&slots, "a").unwrap();
    let later = |seconds| slot() + TimeDelta::seconds(seconds);
    assert!(newest(&slots).unwrap().is_held(later(59)));
    assert!(!newest(&slots).unwrap().is_held(later(60)));
    store.time.set(later(50));
    slots.beat(&mut held).unwrap();
    assert_eq!(slots.now().unwrap(), later(50));
    assert!(newest(&slots).unwrap().is_held(later(109)));
    assert!(!newest(&slots).unwrap().is_held(later(110)));
}

#[test]
fn a_pause_is_kept_and_removed() {
    for (repository, _dir) in repositories() {
        let slots = repository.slots(NAME).unwrap();
        repository.mark(false).unwrap();
        for paused in [true, true, false, false] {
            slots.pause(paused).unwrap();
            assert_eq!(slots.look().unwrap().paused, paused);
        }
    }
}

#[test]
fn slots_are_no_backups() {
    for (repository, _dir) in repositories() {
        let full = backup(&repository, &full_name(0), None, 10);
        let slots = repository.slots(NAME).unwrap();
        slots.mark(slot() - TimeDelta::days(1), "t", 3).unwrap();
        slots.pause(true).unwrap();
        let held = claim(&slots, "a").unwrap();
        slots.beat(&mut held.clone()).unwrap();
        let listed = repository.list().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].name, full.name);
        let policy = Policy {
            unfinished_only: true,
            unfinished_older_than: Duration::ZERO,
            ..Policy::default()
        };
        let options = DeleteOptions::default();
        let silent = crate::progress::Silent;
        let report = prune(&repository, &policy, &options, Utc::now(), &silent).unwrap();
        assert!(report.deleted.is_empty());
        assert_eq!(slots.look().unwrap().slots.len(), 1);
        assert_eq!(slots.times(slot() - TimeDelta::days(1)).unwrap(), "t");
    }
}

#[test]
fn records_that_can_not_be_read_are_refused() {
    let (repository, store) = simulated();
    let slots = repository.slots(NAME).unwrap();
    let key = format!(".lsnap/slots/{NAME}/20261201T020000Z.{:020}", 0);
    for bad in ["", "{}", "[1]", &"x".repeat(100_000)] {
        put_raw(&*store, &key, bad.as_bytes());
        let error = slots.newest(slot(), &slots.look().unwrap()).unwrap_err();
        assert!(
            matches!(fault(error), SlotFault::Unreadable { .. }),
            "{bad:.9}"
        );
    }
}
