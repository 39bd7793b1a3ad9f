//! Few agents, without faults but the one of the test.

use super::world::{Agent, Shared, settings, time};
use crate::agent::jobs::{JobKind, JobSpec, Origin, State};
use crate::agent::schedule::planned::Mode;
use crate::agent::schedule::{Done, Outcome, Runner, ScheduleError, SlotStatus};
use crate::agent::settings::{CatchUp, OnMissingBase, Prefer, ScheduleSettings, ScheduledJob};
use crate::cancel::Cancel;
use chrono::{DateTime, TimeDelta, Utc};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

struct Few {
    shared: Arc<Shared>,
    agents: Vec<Agent>,
    /// Whether each agent runs, and whether its jobs do.
    runs: Vec<(bool, bool)>,
    schedules: Vec<ScheduleSettings>,
}

impl Few {
    fn new(start: &str, agents: usize, schedule: ScheduleSettings) -> Self {
        let shared = Shared::new(time(start), 1);
        let of = |n| Agent::new(&format!("db{n}"), TimeDelta::zero(), &shared);
        let mut agents: Vec<_> = (0..agents).map(of).collect();
        let schedules = vec![schedule];
        for agent in &mut agents {
            agent.start(&schedules);
        }
        let runs = vec![(true, true); agents.len()];
        Self {
            shared,
            agents,
            runs,
            schedules,
        }
    }

    fn run_until(&mut self, until: &str) {
        let until = time(until);
        let mut now = self.shared.time.now();
        while now < until {
            self.shared.time.set(now);
            for (agent, (runs, works)) in self.agents.iter_mut().zip(&self.runs) {
                if *works {
                    agent.jobs.work();
                }
                if *runs {
                    agent.tick(now);
                }
            }
            now = (now + TimeDelta::seconds(2)).min(until);
        }
        self.shared.time.set(until);
    }

    fn kill(&mut self, agent: usize) {
        self.agents[agent].jobs.kill(false);
        self.agents[agent].scheduler = None;
    }

    fn restart(&mut self, agent: usize) {
        let schedules = self.schedules.clone();
        self.agents[agent].start(&schedules);
    }

    /// Returns slots and outcomes as one agent shows them, oldest first.
    fn last(&self, agent: usize) -> Vec<SlotStatus> {
        let scheduler = self.agents[agent].scheduler.as_ref().unwrap();
        let mut last = scheduler.status()[0].last.clone();
        last.reverse();
        last
    }

    fn outcomes(&self, agent: usize) -> Vec<(String, Outcome)> {
        let last = self.last(agent).into_iter();
        last.map(|s| (s.slot.format("%H:%M").to_string(), s.outcome))
            .collect()
    }

    /// Returns the slots of finished backups and their hosts.
    fn made(&self) -> Vec<(String, String)> {
        let finished = self.shared.finished.lock().unwrap().clone();
        let of = |f: super::world::Finish| {
            let slot = f.run.unwrap().slot.unwrap();
            let host = f.name.cluster().unwrap().to_owned();
            (slot.format("%H:%M").to_string(), host)
        };
        finished.into_iter().map(of).collect()
    }
}

fn hourly(job: ScheduledJob) -> ScheduleSettings {
    ScheduleSettings {
        time_zone: None,
        ..settings("hourly", "10 * * * *", job)
    }
}

fn pairs(all: &[(String, Outcome)]) -> Vec<(&str, Outcome)> {
    all.iter()
        .map(|(slot, outcome)| (slot.as_str(), *outcome))
        .collect()
}

#[test]
fn a_new_schedule_begins_now_and_its_slots_run_once() {
    let mut few = Few::new("2026-12-01T00:30:00Z", 3, hourly(ScheduledJob::Full));
    few.run_until("2026-12-01T03:30:00Z");
    for agent in 0..3 {
        let outcomes = few.outcomes(agent);
        let expected = ["01:10", "02:10", "03:10"].map(|slot| (slot, Outcome::Succeeded));
        assert_eq!(pairs(&outcomes), expected, "{agent}");
    }
    assert_eq!(few.made().len(), 3);
    let last = few.last(0);
    assert!(
        last.iter()
            .all(|s| s.backup.is_some() && s.job.is_some() && s.agent.is_some())
    );
}

#[test]
fn slots_in_a_downtime_are_missed_and_the_last_is_caught_up_once() {
    for (catch_up, last) in [
        (CatchUp::Once, Outcome::Succeeded),
        (CatchUp::Skip, Outcome::Missed),
    ] {
        let schedule = ScheduleSettings {
            catch_up,
            ..hourly(ScheduledJob::Full)
        };
        let mut few = Few::new("2026-12-01T00:30:00Z", 1, schedule);
        few.run_until("2026-12-01T01:30:00Z");
        few.kill(0);
        few.run_until("2026-12-01T05:00:00Z");
        few.restart(0);
        few.run_until("2026-12-01T05:30:00Z");
        let outcomes = few.outcomes(0);
        assert_eq!(
            pairs(&outcomes),
            [
                ("01:10", Outcome::Succeeded),
                ("02:10", Outcome::Missed),
                ("03:10", Outcome::Missed),
                ("04:10", last),
                ("05:10", Outcome::Succeeded),
            ],
            "{catch_up:?}"
        );
        let missed = few.last(0)[1].clone();
        assert_eq!(missed.agent, None);
        assert!(missed.error.unwrap().contains("no agent was running"));
    }
}

#[test]
fn a_slot_whose_window_is_over_is_missed_with_the_reason() {
    let schedule = ScheduleSettings {
        window: Some(Duration::from_secs(20 * 60)),
        ..hourly(ScheduledJob::Full)
    };
    let mut few = Few::new("2026-12-01T00:30:00Z", 2, schedule);
    few.run_until("2026-12-01T01:05:00Z");
    few.shared.store.down.store(true, Ordering::SeqCst);
    few.run_until("2026-12-01T01:40:00Z");
    few.shared.store.down.store(false, Ordering::SeqCst);
    few.run_until("2026-12-01T02:00:00Z");
    assert_eq!(pairs(&few.outcomes(0)), [("01:10", Outcome::Missed)]);
    let reason = few.last(0)[0].error.clone().unwrap();
    assert!(
        reason.contains("could not be reached from 2026-12-01 01:"),
        "{reason}"
    );
    // within the window it is run when the repository is back
    few.run_until("2026-12-01T02:09:00Z");
    few.shared.store.down.store(true, Ordering::SeqCst);
    few.run_until("2026-12-01T02:20:00Z");
    few.shared.store.down.store(false, Ordering::SeqCst);
    few.run_until("2026-12-01T02:40:00Z");
    assert_eq!(few.outcomes(0)[1], ("02:10".to_owned(), Outcome::Succeeded));
}

#[test]
fn a_slot_waits_for_the_server() {
    let mut few = Few::new("2026-12-01T00:30:00Z", 1, hourly(ScheduledJob::Full));
    few.shared.servers_down.store(true, Ordering::SeqCst);
    few.run_until("2026-12-01T02:30:00Z");
    assert_eq!(pairs(&few.outcomes(0)), [("01:10", Outcome::Missed)]);
    let reason = few.last(0)[0].error.clone().unwrap();
    assert!(
        reason.contains("server could not be reached: connection refused"),
        "{reason}"
    );
    few.shared.servers_down.store(false, Ordering::SeqCst);
    few.run_until("2026-12-01T02:40:00Z");
    assert_eq!(few.outcomes(0)[1], ("02:10".to_owned(), Outcome::Succeeded));
}

#[test]
fn a_failed_job_is_tried_again_with_growing_waits() {
    let schedule = ScheduleSettings {
        retries: 2,
        ..hourly(ScheduledJob::Check)
    };
    let mut few = Few::new("2026-12-01T00:30:00Z", 1, schedule);
    few.shared.fails.store(true, Ordering::SeqCst);
    few.shared.seconds.store(10, Ordering::SeqCst);
    few.run_until("2026-12-01T01:11:00Z");
    assert_eq!(few.agents[0].jobs.history().len(), 2);
    assert_eq!(few.outcomes(0)[0].1, Outcome::Running);
    few.run_until("2026-12-01T01:40:00Z");
    assert_eq!(few.agents[0].jobs.history().len(), 3);
    let last = few.last(0);
    assert_eq!((last.len(), last[0].outcome), (1, Outcome::Failed));
    assert_eq!(last[0].error.as_deref(), Some("it fails"));
}

#[test]
fn a_backup_longer_than_its_interval_leaves_slots_out() {
    let mut few = Few::new("2026-12-01T00:30:00Z", 2, hourly(ScheduledJob::Full));
    few.shared.seconds.store(9000, Ordering::SeqCst);
    few.run_until("2026-12-01T03:30:00Z");
    few.run_until("2026-12-01T04:00:00Z");
    for agent in 0..2 {
        let outcomes = few.outcomes(agent);
        let expected = [
            ("01:10", Outcome::Succeeded),
            ("02:10", Outcome::Missed),
            ("03:10", Outcome::Running),
        ];
        assert_eq!(pairs(&outcomes), expected, "{agent}");
        let reason = few.last(agent)[1].error.clone().unwrap();
        assert!(reason.contains("was still running"), "{reason}");
    }
}

#[test]
fn a_paused_schedule_records_its_slots_as_skipped_also_after_a_restart() {
    let mut few = Few::new("2026-12-01T00:30:00Z", 2, hourly(ScheduledJob::Full));
    few.run_until("2026-12-01T00:40:00Z");
    let pause = |few: &Few, paused| {
        let scheduler = few.agents[0].scheduler.as_ref().unwrap();
        scheduler.pause("hourly", paused).unwrap();
        assert_eq!(scheduler.status()[0].paused, paused);
        assert!(matches!(
            scheduler.pause("nightly", true),
            Err(ScheduleError::Unknown { .. })
        ));
    };
    pause(&few, true);
    few.kill(0);
    few.restart(0);
    few.run_until("2026-12-01T01:30:00Z");
    assert!(few.agents[1].scheduler.as_ref().unwrap().status()[0].paused);
    pause(&few, false);
    few.run_until("2026-12-01T02:30:00Z");
    let expected = [("01:10", Outcome::Skipped), ("02:10", Outcome::Succeeded)];
    assert_eq!(pairs(&few.outcomes(0)), expected);
    assert_eq!(few.made().len(), 1);
}

#[test]
fn an_incremental_without_a_base_fails_or_becomes_a_full_backup() {
    for (on_missing_base, outcome, fulls) in [
        (OnMissingBase::Error, Outcome::Failed, 0),
        (OnMissingBase::Full, Outcome::Succeeded, 1),
    ] {
        let schedule = ScheduleSettings {
            on_missing_base,
            ..hourly(ScheduledJob::Incremental)
        };
        let mut few = Few::new("2026-12-01T00:30:00Z", 1, schedule);
        few.run_until("2026-12-01T01:30:00Z");
        assert_eq!(pairs(&few.outcomes(0)), [("01:10", outcome)]);
        assert_eq!(few.made().len(), fulls);
        let history = few.agents[0].jobs.history();
        // the first time, another agent could have taken it
        assert_eq!(history[0].1[0], "--incremental");
        assert_eq!(history[1].1[0], "--incremental");
        assert_eq!(history.len(), 2 + fulls);
        if fulls == 1 {
            assert_eq!(history[2].1[0], "--full");
            // the next one has a base
            few.run_until("2026-12-01T02:30:00Z");
            assert_eq!(few.agents[0].jobs.history().len(), 4);
            assert_eq!(few.outcomes(0)[1].1, Outcome::Succeeded);
        }
    }
}

#[test]
fn an_incremental_goes_to_the_agent_whose_server_has_the_base() {
    for on_missing_base in [OnMissingBase::Error, OnMissingBase::Full] {
        let schedule = ScheduleSettings {
            on_missing_base,
            ..hourly(ScheduledJob::Incremental)
        };
        let mut few = Few::new("2026-12-01T00:30:00Z", 3, schedule);
        few.shared.own_bases.store(true, Ordering::SeqCst);
        let full = JobSpec {
            kind: JobKind::Backup,
            repository: None,
            arguments: vec!["--full".to_owned()],
            origin: Origin::Request,
            deadline: None,
        };
        few.agents[2].jobs.start(full).unwrap();
        few.run_until("2026-12-01T03:30:00Z");
        let outcomes = few.outcomes(0);
        let expected = ["01:10", "02:10", "03:10"].map(|slot| (slot, Outcome::Succeeded));
        assert_eq!(pairs(&outcomes), expected);
        let agents: Vec<_> = few
            .last(0)
            .into_iter()
            .filter_map(|slot| slot.agent)
            .collect();
        assert_eq!(agents, ["db2", "db2", "db2"]);
    }
}

#[test]
fn the_preferred_agent_takes_a_slot_and_others_replace_it() {
    let prefer = |prefer| ScheduleSettings {
        prefer,
        ..hourly(ScheduledJob::Full)
    };
    // db0 is the source, db1 and db2 lag by 1 and 2 s
    let mut few = Few::new("2026-12-01T00:30:00Z", 3, prefer(Prefer::Replica));
    few.run_until("2026-12-01T01:30:00Z");
    few.kill(1);
    few.run_until("2026-12-01T02:30:00Z");
    few.kill(2);
    few.run_until("2026-12-01T03:30:00Z");
    let made = few.made();
    let made: Vec<_> = made
        .iter()
        .map(|(slot, host)| (slot.as_str(), host.as_str()))
        .collect();
    assert_eq!(made, [("01:10", "db1"), ("02:10", "db2"), ("03:10", "db0")]);
    let mut few = Few::new("2026-12-01T00:30:00Z", 3, prefer(Prefer::Primary));
    few.run_until("2026-12-01T01:30:00Z");
    few.kill(0);
    few.run_until("2026-12-01T02:30:00Z");
    let made = few.made();
    let made: Vec<_> = made
        .iter()
        .map(|(slot, host)| (slot.as_str(), host.as_str()))
        .collect();
    assert_eq!(made, [("01:10", "db0"), ("02:10", "db1")]);
}

#[test]
fn delays_end_long_before_the_next_slot() {
    // every 20 s, with the delay of the source and a long jitter
    let schedule = ScheduleSettings {
        prefer: Prefer::Replica,
        jitter: Duration::from_secs(3600),
        time_zone: None,
        ..settings("often", "*/20 * * * * *", ScheduledJob::Check)
    };
    let schedule = ScheduleSettings {
        job: ScheduledJob::Full,
        ..schedule
    };
    let mut few = Few::new("2026-12-01T00:00:01Z", 1, schedule);
    few.shared.seconds.store(3, Ordering::SeqCst);
    few.run_until("2026-12-01T00:05:19Z");
    let outcomes = few.outcomes(0);
    assert!(outcomes.len() >= 15);
    assert!(
        outcomes
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::Succeeded),
        "{outcomes:?}"
    );
}

#[test]
fn a_paused_agent_can_not_finish_beside_its_successor() {
    for jobs_go_on in [false, true] {
        let mut few = Few::new("2026-12-01T00:30:00Z", 2, hourly(ScheduledJob::Full));
        few.shared.seconds.store(600, Ordering::SeqCst);
        few.runs[1] = (false, false);
        few.run_until("2026-12-01T01:12:00Z");
        assert_eq!(few.agents[0].jobs.running(), 1);
        few.runs = vec![(false, jobs_go_on), (true, true)];
        few.run_until("2026-12-01T01:30:00Z");
        few.runs[0] = (true, true);
        few.run_until("2026-12-01T01:40:00Z");
        let made = few.made();
        assert_eq!(made.len(), 1, "{made:?}");
        for agent in 0..2 {
            assert_eq!(pairs(&few.outcomes(agent)), [("01:10", Outcome::Succeeded)]);
        }
        let states: Vec<State> = few.agents[0].jobs.history().iter().map(|j| j.2).collect();
        assert!(!states.contains(&State::Succeeded), "{states:?}");
    }
}

#[test]
fn an_agent_that_ends_gives_its_slot_to_another() {
    let mut few = Few::new("2026-12-01T00:30:00Z", 2, hourly(ScheduledJob::Full));
    few.runs[1] = (false, true);
    few.run_until("2026-12-01T01:12:00Z");
    let agent = &few.agents[0];
    let scheduler = agent.scheduler.as_ref().unwrap();
    scheduler.tick(Mode::Ending);
    // the agent ends its jobs after the grace
    let id = few.last(0)[0].job.clone().unwrap();
    agent.jobs.cancel(&crate::agent::jobs::JobId(id));
    let ended = Cancel::new();
    ended.cancel();
    scheduler.run(&ended);
    few.runs = vec![(false, false), (true, true)];
    few.run_until("2026-12-01T01:13:00Z");
    assert_eq!(
        few.agents[1].jobs.running(),
        1,
        "it doesn't wait for the claim to expire"
    );
    few.run_until("2026-12-01T01:30:00Z");
    assert_eq!(pairs(&few.outcomes(1)), [("01:10", Outcome::Succeeded)]);
}

#[test]
fn a_restart_in_the_hour_that_happens_twice_doesn_t_repeat_the_slot() {
    let schedule = settings("daily", "30 2 * * *", ScheduledJob::Full);
    let mut few = Few::new("2026-10-24T20:00:00Z", 1, schedule);
    // 02:30 CEST is 00:30 UTC, 02:30 CET is 01:30 UTC
    few.run_until("2026-10-25T00:31:00Z");
    few.kill(0);
    few.run_until("2026-10-25T00:50:00Z");
    few.restart(0);
    few.run_until("2026-10-25T01:10:00Z");
    few.kill(0);
    few.restart(0);
    few.run_until("2026-10-25T03:00:00Z");
    assert_eq!(pairs(&few.outcomes(0)), [("00:30", Outcome::Succeeded)]);
    assert_eq!(few.made().len(), 1);
}

#[test]
fn new_times_are_not_caught_up() {
    let mut few = Few::new("2026-12-01T00:30:00Z", 1, hourly(ScheduledJob::Full));
    few.run_until("2026-12-01T01:30:00Z");
    few.kill(0);
    few.schedules[0].cron = "*/5 * * * *".to_owned();
    few.run_until("2026-12-01T03:31:00Z");
    few.restart(0);
    few.run_until("2026-12-01T03:39:00Z");
    let outcomes = few.outcomes(0);
    let expected = [("01:10", Outcome::Succeeded), ("03:35", Outcome::Running)];
    assert_eq!(pairs(&outcomes)[..1], expected[..1]);
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
}

#[test]
fn a_reload_takes_new_schedules_and_lets_a_job_end() {
    let mut few = Few::new("2026-12-01T00:30:00Z", 1, hourly(ScheduledJob::Full));
    few.run_until("2026-12-01T01:11:00Z");
    let agent = &few.agents[0];
    let scheduler = agent.scheduler.as_ref().unwrap();
    let other = settings("other", "0 5 * * *", ScheduledJob::Check);
    scheduler.reload(vec![other]);
    assert!(matches!(
        scheduler.run_now("hourly"),
        Err(ScheduleError::Unknown { .. })
    ));
    // the thread of the agent takes them
    scheduler.take_settings();
    scheduler.tick(Mode::Daemon);
    assert_eq!(scheduler.status().len(), 2);
    few.run_until("2026-12-01T01:20:00Z");
    let status = few.agents[0].scheduler.as_ref().unwrap().status();
    assert_eq!(status.len(), 1);
    assert_eq!(status[0].name, "other");
    assert_eq!(few.made().len(), 1);
}

#[test]
fn a_request_runs_the_job_outside_its_slots() {
    let schedule = ScheduleSettings {
        deadline: Some(Duration::from_secs(3600)),
        arguments: vec!["--compress".to_owned()],
        ..hourly(ScheduledJob::Full)
    };
    let few = Few::new("2026-12-01T00:30:00Z", 1, schedule);
    let agent = &few.agents[0];
    let id = agent.scheduler.as_ref().unwrap().run_now("hourly").unwrap();
    let job = Runner::wait(&*agent.jobs, &id, &Cancel::new()).unwrap();
    assert_eq!(
        job.arguments,
        ["--full", "--schedule", "hourly", "--compress"]
    );
    assert_eq!(
        job.origin,
        Origin::RunNow {
            schedule: "hourly".to_owned()
        }
    );
}

/// Runs what is due, with a new agent.
fn once(few: &mut Few, at: &str) -> Done {
    few.restart(0);
    few.shared.time.set(time(at));
    let agent = &few.agents[0];
    let scheduler = agent.scheduler.as_ref().unwrap();
    scheduler.run_due(&Cancel::new())
}

#[test]
fn a_run_of_what_is_due_returns_the_outcomes() {
    let schedule = ScheduleSettings {
        keep: NonZeroU32::new(2),
        ..hourly(ScheduledJob::Full)
    };
    let mut few = Few::new("2026-12-01T00:30:00Z", 1, schedule);
    assert_eq!(once(&mut few, "2026-12-01T00:30:00Z"), Done::default());
    let found = once(&mut few, "2026-12-01T02:30:00Z");
    assert_eq!(found.stuck, []);
    let outcomes: Vec<_> = found
        .slots
        .iter()
        .map(|(name, s)| (name.as_str(), s.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [("hourly", Outcome::Missed), ("hourly", Outcome::Succeeded)]
    );
    let prune = few.agents[0].jobs.history().pop().unwrap();
    let expected = ["--schedule", "hourly", "--keep-full", "2"].map(str::to_owned);
    assert_eq!((prune.0, prune.2), (JobKind::Prune, State::Succeeded));
    assert_eq!(prune.1, expected);
    // nothing is due
    let at = few.shared.time.now() + TimeDelta::minutes(1);
    assert_eq!(once(&mut few, &at.to_rfc3339()), Done::default());
}

#[test]
fn a_run_of_what_is_due_leaves_what_comes_while_it_runs() {
    let schedule = settings("often", "*/2 * * * * *", ScheduledJob::Full);
    let mut few = Few::new("2026-12-01T00:30:01Z", 1, schedule);
    assert_eq!(once(&mut few, "2026-12-01T00:30:01Z"), Done::default());
    // the job takes many intervals
    let found = once(&mut few, "2026-12-01T00:30:03Z");
    assert!(few.shared.time.now() > time("2026-12-01T00:30:10Z"));
    let outcomes: Vec<_> = found.slots.iter().map(|(_, slot)| slot.outcome).collect();
    assert_eq!(outcomes, [Outcome::Succeeded]);
}

#[test]
fn a_run_of_what_is_due_says_what_it_could_not_do() {
    let mut few = Few::new("2026-12-01T00:30:00Z", 1, hourly(ScheduledJob::Full));
    assert_eq!(once(&mut few, "2026-12-01T00:30:00Z"), Done::default());
    few.shared.servers_down.store(true, Ordering::SeqCst);
    let found = once(&mut few, "2026-12-01T01:30:00Z");
    assert_eq!(found.slots, []);
    assert!(
        found.stuck[0].1.contains("the server could not be reached"),
        "{found:?}"
    );
    few.shared.store.down.store(true, Ordering::SeqCst);
    let found = once(&mut few, "2026-12-01T02:30:00Z");
    assert_eq!((found.slots.len(), found.stuck.len()), (0, 1), "{found:?}");
}

#[test]
fn many_missed_slots_are_counted_in_a_mark() {
    let schedule = ScheduleSettings {
        catch_up: CatchUp::Skip,
        time_zone: None,
        ..settings("often", "* * * * *", ScheduledJob::Check)
    };
    let mut few = Few::new("2026-12-01T00:00:30Z", 1, schedule);
    few.run_until("2026-12-01T00:00:40Z");
    few.kill(0);
    few.run_until("2026-12-01T00:00:50Z");
    few.shared.time.set(time("2026-12-02T00:00:10Z"));
    few.restart(0);
    few.run_until("2026-12-02T00:10:00Z");
    let log = few.shared.log();
    let counted: u64 = log
        .iter()
        .filter_map(|(_, _, json)| json["missed"].as_u64())
        .sum();
    let recorded = log
        .iter()
        .filter(|(_, _, json)| json["end"]["outcome"] == "missed");
    // 24 hours of minutes
    let first: DateTime<Utc> = time("2026-12-01T00:00:30Z");
    let minutes = (time("2026-12-02T00:00:10Z") - first).num_minutes() as u64;
    let all = counted + recorded.count() as u64;
    // and some while it runs, if a check takes longer than a minute
    assert!(
        counted > 400 && (minutes..minutes + 10).contains(&all),
        "{counted} {all} {minutes}"
    );
}
