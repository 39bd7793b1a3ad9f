//! A week with three agents, kills, pauses, wrong clocks and outages: no slot succeeds twice, none is lost, no chain is
//! forked, and no backup is deleted that should be kept.

use super::world::{Agent, Shared, settings, time};
use crate::agent::schedule::timetable::Timetable;
use crate::agent::settings::{CatchUp, Prefer, ScheduleSettings, ScheduledJob};
use crate::store::ListedState;
use crate::store::tests::backup_with;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A generator of test values.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A fault of an agent: it is gone or paused until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// `kill -9` of the agent and its jobs; `true`: right before the last request of the job.
    Kill(bool),
    /// SIGSTOP of the agent and its jobs; `true`: right before the last request of the job.
    Pause(bool),
    /// SIGSTOP of the agent; its jobs go on.
    PauseAgent,
}

const KEEP: u32 = 3;

fn schedules() -> Vec<ScheduleSettings> {
    vec![
        ScheduleSettings {
            keep: NonZeroU32::new(KEEP),
            retries: 2,
            prefer: Prefer::Replica,
            ..settings("full", "30 2 * * *", ScheduledJob::Full)
        },
        ScheduleSettings {
            retries: 1,
            jitter: Duration::from_secs(30),
            ..settings("incremental", "10 * * * *", ScheduledJob::Incremental)
        },
        ScheduleSettings {
            catch_up: CatchUp::Skip,
            window: Some(Duration::from_secs(600)),
            ..settings("check", "*/30 * * * *", ScheduledJob::Check)
        },
    ]
}

struct Week {
    shared: Arc<Shared>,
    agents: Vec<Agent>,
    /// The time at which each agent goes on.
    stopped: Vec<Option<(Fault, DateTime<Utc>)>>,
    faults: Vec<(DateTime<Utc>, usize, Fault, TimeDelta)>,
    down: [(DateTime<Utc>, DateTime<Utc>); 2],
    end: DateTime<Utc>,
    counts: BTreeMap<&'static str, usize>,
}

impl Week {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // the hour from 02:00 to 03:00 happens twice on the 25th
        let start = time("2026-10-22T05:00:30Z");
        let shared = Shared::new(start, random.below(u64::MAX));
        shared.store.lose.store(50, Ordering::SeqCst);
        let mut agents = Vec::new();
        for (n, skew) in [0i64, 300, -300].into_iter().enumerate() {
            agents.push(Agent::new(
                &format!("db{n}"),
                TimeDelta::seconds(skew),
                &shared,
            ));
        }
        let mut faults = Vec::new();
        let hour = |random: &mut Random| TimeDelta::hours(random.below(7 * 24 - 2) as i64);
        for n in 0..80 {
            // most faults are while a job runs: after the slots, by the clock that is ahead
            let near = TimeDelta::seconds(300 + random.below(560) as i64);
            let at = start + hour(&mut random) + near;
            let agent = random.below(3) as usize;
            let (fault, minutes) = match n {
                0..50 => (Fault::Kill(random.below(2) == 0), random.below(30)),
                50..65 => (Fault::Pause(random.below(2) == 0), random.below(150)),
                _ => (Fault::PauseAgent, random.below(150)),
            };
            faults.push((at, agent, fault, TimeDelta::minutes(minutes as i64)));
        }
        // one in the hour that happens twice
        faults.push((
            time("2026-10-25T00:33:00Z"),
            1,
            Fault::Kill(false),
            TimeDelta::minutes(40),
        ));
        faults.sort();
        let mut hour_from = |at: DateTime<Utc>| {
            let from = at + TimeDelta::minutes(random.below(600) as i64);
            (from, from + TimeDelta::hours(1))
        };
        let down = [
            hour_from(time("2026-10-23T20:00:00Z")),
            hour_from(time("2026-10-26T20:00:00Z")),
        ];
        Self {
            shared,
            stopped: vec![None; agents.len()],
            agents,
            faults,
            down,
            end: start + TimeDelta::days(7),
            counts: BTreeMap::new(),
        }
    }

    fn run(&mut self) {
        let schedules = schedules();
        for agent in &mut self.agents {
            agent.start(&schedules);
        }
        let quiet = self.end + TimeDelta::hours(4);
        let mut now = self.shared.time.now();
        while now < quiet {
            self.shared.time.set(now);
            self.fail(now, &schedules);
            let down = |n: usize| (self.down[n].0..self.down[n].1).contains(&now);
            self.shared.store.down.store(down(0), Ordering::SeqCst);
            self.shared.servers_down.store(down(1), Ordering::SeqCst);
            for at in 0..self.agents.len() {
                let stopped = self.stopped[at].map(|(fault, _)| fault);
                if matches!(stopped, None | Some(Fault::PauseAgent)) {
                    self.agents[at].jobs.work();
                }
                if stopped.is_none() {
                    self.agents[at].tick(now);
                }
            }
            let next = self.agents.iter().map(|agent| agent.next).min().unwrap();
            // a few seconds at least: what runs is polled every second
            now = next.clamp(now + TimeDelta::seconds(7), now + TimeDelta::seconds(60));
        }
    }

    fn fail(&mut self, now: DateTime<Utc>, schedules: &[ScheduleSettings]) {
        for (at, stopped) in self.stopped.iter_mut().enumerate() {
            if let Some((fault, until)) = *stopped
                && until <= now
            {
                *stopped = None;
                let agent = &mut self.agents[at];
                match fault {
                    Fault::Kill(_) => agent.start(schedules),
                    Fault::Pause(_) | Fault::PauseAgent => agent.next = now,
                }
            }
        }
        while let Some((at, agent, fault, time)) = self.faults.first().copied()
            && at <= now
        {
            self.faults.remove(0);
            // the agent that works, if there is one
            let works =
                |at: &usize| self.stopped[*at].is_none() && self.agents[*at].jobs.running() > 0;
            let alive = |at: &usize| self.stopped[*at].is_none();
            let working = (0..self.agents.len()).find(works);
            let Some(agent) = working.or_else(|| (agent..agent + 3).map(|n| n % 3).find(alive))
            else {
                continue;
            };
            let busy = self.agents[agent].jobs.running() > 0;
            let what = match (fault, busy) {
                (Fault::Kill(_), true) => "kills of a running job",
                (Fault::Kill(_), false) => "kills of an idle agent",
                (_, true) => "pauses of a running job",
                (_, false) => "pauses of an idle agent",
            };
            *self.counts.entry(what).or_default() += 1;
            if let Fault::Kill(late) = fault {
                self.agents[agent].jobs.kill(late);
                self.agents[agent].scheduler = None;
            }
            if fault == Fault::Pause(true) {
                self.agents[agent].jobs.stop_late();
            }
            self.stopped[agent] = Some((fault, now + time));
        }
    }

    /// Returns the recorded outcomes of each slot, and the first and the last mark of each schedule.
    fn outcomes(&self) -> BTreeMap<(String, DateTime<Utc>), Vec<String>> {
        let mut marks: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
        let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (schedule, rest, json) in self.shared.log() {
            let (first, second) = rest.split_once('.').unwrap_or((&rest, ""));
            let parse = |text| NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ");
            if first == "since" {
                let mark = parse(second).unwrap().and_utc();
                let before = marks.entry(schedule).or_insert(mark);
                *before = mark.max(*before);
                continue;
            }
            let slot = parse(first).unwrap().and_utc();
            // a record of a slot that was removed has no effect
            if slot <= marks[&schedule] {
                continue;
            }
            let outcomes = found.entry((schedule, slot)).or_default();
            if let Some(end) = json.get("end") {
                outcomes.push(end["outcome"].as_str().unwrap().to_owned());
            }
        }
        found
    }

    fn check(&mut self) {
        let outcomes = self.outcomes();
        let finished = self.shared.finished.lock().unwrap().clone();
        let mut backups: BTreeMap<(String, DateTime<Utc>), Vec<String>> = BTreeMap::new();
        let mut bases = BTreeSet::new();
        for finish in &finished {
            if let Some(run) = &finish.run {
                let slot = (run.schedule.clone(), run.slot.unwrap());
                backups
                    .entry(slot)
                    .or_default()
                    .push(finish.name.to_string());
            }
            if let Some(base) = &finish.base {
                assert!(bases.insert(base.clone()), "the chain forks at {base}");
            }
        }
        for (slot, names) in &backups {
            assert_eq!(
                names.len(),
                1,
                "the slot {slot:?} succeeded twice: {names:?}"
            );
            assert_eq!(
                outcomes[slot],
                ["succeeded"],
                "{slot:?} has the backup {names:?}"
            );
        }
        for settings in schedules() {
            let name = settings.name.clone();
            let table = Timetable::parse(&settings.cron, settings.time_zone.as_deref()).unwrap();
            // an agent whose clock is behind may still be about to look
            let until = self.end + TimeDelta::hours(3);
            let first = outcomes.keys().find(|(of, _)| *of == name).unwrap().1;
            let slots = table.between(first - TimeDelta::seconds(1), until, 10_000);
            assert!(slots.len() >= 7);
            for slot in slots {
                let key = (name.clone(), slot);
                let found = outcomes.get(&key).cloned().unwrap_or_default();
                assert_eq!(found.len(), 1, "outcomes of {key:?}: {found:?}");
                let makes = settings.job != ScheduledJob::Check;
                if found == ["succeeded"] && makes {
                    assert!(backups.contains_key(&key), "{key:?} has no backup");
                }
            }
        }
        for ((schedule, _), found) in &outcomes {
            let kind = match (schedule.as_str(), found[0].as_str()) {
                ("full", "succeeded") => "fulls that succeeded",
                ("incremental", "succeeded") => "incrementals that succeeded",
                ("check", "succeeded") => "checks that succeeded",
                (_, "missed") => "missed slots",
                (_, "failed") => "failed slots",
                _ => "other slots",
            };
            *self.counts.entry(kind).or_default() += 1;
        }
    }

    /// Checks that the newest fulls of the schedule stay with their chains, and all others too.
    fn check_kept(&self, others: &[String]) {
        let repository = self.shared.repository();
        let listed = repository.list().unwrap();
        let finished: Vec<_> = listed
            .iter()
            .filter(|l| matches!(l.state, ListedState::Finished(_)))
            .collect();
        let of_schedule = |l: &&&crate::store::Listed| {
            let summary = l.summary().unwrap();
            summary.base.is_none()
                && summary
                    .scheduled
                    .as_ref()
                    .is_some_and(|run| run.schedule == "full")
        };
        let fulls: Vec<_> = finished.iter().filter(of_schedule).collect();
        let made = self.shared.finished.lock().unwrap().clone();
        let all = made.iter().filter(|finish| finish.base.is_none());
        let mut newest: Vec<_> = all.map(|finish| &finish.name).collect();
        newest.sort_by_key(|name| std::cmp::Reverse(name.time()));
        newest.truncate(KEEP as usize);
        for name in &newest {
            assert!(
                fulls.iter().any(|l| l.name == **name),
                "{name} should be kept"
            );
            // its whole chain too
            for member in made.iter().filter(|finish| finish.name.base() == **name) {
                let found = listed.iter().find(|l| l.name == member.name);
                let state = found.map(|l| &l.state);
                let whole = matches!(state, Some(ListedState::Finished(_)));
                assert!(whole, "{} should be kept: {state:?}", member.name);
            }
        }
        assert_eq!(fulls.len(), newest.len(), "more than {KEEP} are kept");
        for name in others {
            let found = finished.iter().any(|l| l.name.as_str() == name);
            assert!(found, "{name} is not of the schedule");
        }
    }
}

/// Makes backups that the schedule must not delete: one by hand, one of another schedule.
fn others(shared: &Shared) -> Vec<String> {
    let repository = shared.repository();
    let of = |second: i64, schedule: Option<&str>| {
        let name = crate::store::tests::full_name(second);
        let made = backup_with(&repository, &name, None, 10 + second as u64, |manifest| {
            manifest.scheduled = schedule.map(|schedule| crate::manifest::ScheduledRun {
                schedule: schedule.to_owned(),
                slot: None,
            });
        });
        made.name.to_string()
    };
    vec![of(1, None), of(2, Some("weekly"))]
}

#[test]
fn a_week_of_kills_pauses_wrong_clocks_and_outages() {
    let seeds: Vec<u64> = match std::env::var("LSNAP_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => vec![1, 2],
    };
    for seed in seeds {
        println!("seed {seed} (LSNAP_SEED={seed} repeats it)");
        let mut week = Week::new(seed);
        let others = others(&week.shared);
        week.run();
        week.check();
        week.check_kept(&others);
        println!("{:#?}", week.counts);
        // the week was one of faults and of work
        assert!(week.counts["kills of a running job"] >= 15);
        assert!(week.counts["fulls that succeeded"] >= 5);
        assert!(week.counts["incrementals that succeeded"] >= 100);
    }
}
