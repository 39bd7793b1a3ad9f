//! Writers and deleters of one chain race on a simulated store. The functions of
//! [`crate::store::lease::ledger`] and [`crate::store::objects::manifest_key`] are polled by hand.
//! Every request takes two steps (executed, then answered). Between any two steps a seeded
//! scheduler runs other processes, advances the time, pauses a writer for longer than its lease, or
//! kills it; responses of puts get lost, listings are outdated, and every writer judges the time
//! wrongly in its own way.
//!
//! The store checks at every change of a manifest that the chain isn't forked.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::race_store::{Counts, SimStore, World};
use super::{at, full_name, incr_name};
use crate::manifest::BackupName;
use crate::store::error::StoreError;
use crate::store::error::lease::LeaseFault;
use crate::store::lease::holder::LeaseHolder;
use crate::store::lease::ledger::Ledger;
use crate::store::lease::record::{End, Entry, ExpiryRule, Record, Work};
use crate::store::objects::manifest_key;
use crate::store::objects::manifest_key::{ManifestKey, Put};

pub(super) const TTL: i64 = 60;

/// A part of the protocol that a race leaves out, to test that the checks detect it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// The work of the previous record counts as decided without a void: a lease by time alone.
    NoDecision,
    /// A manifest overwrites a void.
    NoRegister,
    /// Manifests are put without a record.
    NoLedger,
}

/// A clock with an offset, or a judgement independent of time.
struct Skewed {
    off: i64,
    rash: bool,
}

impl ExpiryRule for Skewed {
    fn is_over(&self, entry: &Entry, now: DateTime<Utc>) -> bool {
        self.rash || now + TimeDelta::seconds(self.off) >= entry.expires()
    }
}

/// A process of a race.
#[derive(Clone)]
struct SimProcess {
    world: Arc<Mutex<World>>,
    id: usize,
    broken: Broken,
}

impl SimProcess {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.world().counts);
    }

    fn ledger(&self, root: &BackupName) -> Ledger {
        Ledger::new(self.store(), root, None)
    }

    fn store(&self) -> Arc<SimStore> {
        Arc::new(SimStore::new(Arc::clone(&self.world), self.id))
    }

    fn holder(&self) -> LeaseHolder {
        LeaseHolder {
            host: format!("host{}", self.id),
            pid: 1,
            started: at(0),
            place: String::new(),
            ticks: 0,
        }
    }

    fn expiry(&self) -> Skewed {
        let mut world = self.world();
        let rng = &mut world.rng;
        Skewed {
            off: rng.below(600) as i64 - 300,
            rash: rng.one_in(4),
        }
    }

    /// Returns a base as from a listing: mostly the newest, sometimes an older one.
    fn base(&self) -> (BackupName, Option<BackupName>) {
        let mut world = self.world();
        let old = !world.calm && world.rng.one_in(6);
        let finished: Vec<_> = world.finished().collect();
        let drop = if old { finished.len().min(2) } else { 1 };
        let member = finished[finished.len() - drop].clone();
        (member.0, member.1)
    }

    fn count_error(&self, error: &StoreError) {
        self.count(|c| match error {
            StoreError::Lease(fault) => match **fault {
                LeaseFault::Held { .. } => c.held += 1,
                LeaseFault::Moved { .. } => c.moved += 1,
                LeaseFault::Lost { .. } => c.lost += 1,
                LeaseFault::Closed { .. } | LeaseFault::Busy { .. } => c.busy += 1,
                _ => panic!("{error}"),
            },
            StoreError::Backend { .. } => c.failed += 1,
            _ => panic!("{error}"),
        });
    }

    /// Appends one incremental, in the same steps as `session`, `Upload` and `Lease`.
    async fn append(&self, patient: bool) -> Result<bool, StoreError> {
        let (base, _) = self.base();
        let number = self.world().next_number();
        let name = incr_name(&base.base(), number);
        let ledger = self.ledger(&base);
        let work = Work::Append {
            backup: name.clone(),
            base: base.clone(),
        };
        let record = Record::new(work, TTL as u64, self.holder());
        let skewed = if patient {
            Skewed {
                off: 0,
                rash: false,
            }
        } else {
            self.expiry()
        };
        if self.broken == Broken::NoLedger {
            return Ok(self.finish(&name, &base).await? == End::Done);
        }
        let epoch = ledger.take(record, &skewed).await?;
        let beats = self.world().rng.below(4);
        let mut uploaded = Ok(());
        for n in 1..=beats {
            uploaded = ledger.beat(epoch, n).await;
            if uploaded.is_err() {
                break;
            }
        }
        let ready = match uploaded {
            Ok(()) => ledger.check(epoch).await,
            failed => failed,
        };
        if let Err(error) = ready {
            // an abort: no manifest was sent
            ledger.end(epoch, End::Unsent, beats).await?;
            return Err(error);
        }
        let how = self.finish(&name, &base).await?;
        ledger.end(epoch, how, beats).await?;
        Ok(how == End::Done)
    }

    async fn finish(&self, name: &BackupName, base: &BackupName) -> Result<End, StoreError> {
        let (store, key) = (self.store(), manifest_key::location(name, None)?);
        let body = Bytes::from(format!("{name}\n{base}\n{}", "x".repeat(3000)));
        let put = manifest_key::put(&*store, &key, vec![body]).await;
        Ok(match put {
            Put::Stored => End::Done,
            Put::RefusedByVoid => {
                self.count(|c| c.voided += 1);
                End::Unsure
            }
            Put::Other => panic!("{name} has the manifest of another"),
            Put::Unsure(_) => {
                match manifest_key::void(&*store, name, &key, &self.holder()).await? {
                    ManifestKey::Manifest { .. } => End::Done,
                    _ => End::Unsure,
                }
            }
        })
    }

    async fn delete(&self) -> Result<bool, StoreError> {
        let store = self.store();
        let (member, base) = self.base();
        let Some(base) = base else {
            // only to let other processes run
            manifest_key::read(&*store, &manifest_key::location(&member, None)?).await?;
            return Ok(false);
        };
        let ledger = self.ledger(&member);
        let work = Work::Delete {
            member: member.clone(),
            then: Some(base),
        };
        let record = Record::new(work, TTL as u64, self.holder());
        let epoch = ledger.take(record, &self.expiry()).await?;
        ledger.delete_manifest(&member).await?;
        ledger.end(epoch, End::Done, 0).await?;
        self.count(|c| c.deletions += 1);
        Ok(true)
    }

    async fn live(self, deletes: bool, rounds: usize) {
        for _ in 0..rounds {
            let result = if deletes {
                self.delete().await
            } else {
                self.append(false).await
            };
            match result {
                Ok(true) if !deletes => self.count(|c| c.finished += 1),
                Ok(_) => {}
                Err(error) => self.count_error(&error),
            }
        }
    }
}

/// A process that the scheduler runs.
struct Process {
    future: Pin<Box<dyn Future<Output = ()>>>,
    /// Paused until this time, in milliseconds of the store.
    until: u64,
}

/// Polls once. Returns whether it ended.
fn step(future: &mut Pin<Box<dyn Future<Output = ()>>>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(future.as_mut().poll(&mut context), Poll::Ready(()))
}

/// Runs one race. Returns the counts, or the violation.
fn race(seed: u64, broken: Broken) -> Result<Counts, String> {
    let root = full_name(0);
    let mut world = World::new(seed, &root);
    world.lose_voids = broken == Broken::NoDecision;
    world.overwrite = broken == Broken::NoRegister;
    let world = Arc::new(Mutex::new(world));
    let actor = |id| SimProcess {
        world: Arc::clone(&world),
        id,
        broken,
    };
    let mut processes = Vec::new();
    let count = 2 + world.lock().unwrap().rng.below(4) as usize;
    for id in 0..count {
        let deletes = id > 0 && world.lock().unwrap().rng.one_in(3);
        let rounds = if deletes { 12 } else { 3 };
        let future = Box::pin(actor(id).live(deletes, rounds));
        processes.push(Process { future, until: 0 });
    }
    while !processes.is_empty() {
        let mut w = world.lock().unwrap();
        w.pass_time();
        let now = w.now;
        let awake: Vec<_> = (0..processes.len())
            .filter(|i| processes[*i].until <= now)
            .collect();
        let Some(&chosen) = awake.get(w.rng.below(awake.len().max(1) as u64) as usize) else {
            w.now = processes.iter().map(|p| p.until).min().unwrap_or(now);
            continue;
        };
        if w.rng.one_in(40) {
            w.counts.pauses += 1;
            processes[chosen].until = now + w.rng.below(5 * TTL as u64 * 1000);
            continue;
        }
        if w.rng.one_in(300) {
            w.counts.kills += 1;
            drop(w);
            drop(processes.swap_remove(chosen));
            continue;
        }
        drop(w);
        if step(&mut processes[chosen].future) {
            drop(processes.swap_remove(chosen));
        }
        if let Some(broken) = world.lock().unwrap().broken.take() {
            return Err(broken);
        }
    }
    settle(&world, &actor(99))
}

/// Checks after the race, without faults: the next incremental succeeds when the leases have
/// expired, at the latest at its second attempt.
fn settle(world: &Arc<Mutex<World>>, actor: &SimProcess) -> Result<Counts, String> {
    {
        let mut world = world.lock().unwrap();
        world.now += 2 * TTL as u64 * 1000;
        world.calm = true;
    }
    let done = Arc::new(Mutex::new(None));
    let (result, last) = (Arc::clone(&done), actor.clone());
    let mut future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
        let mut ended = last.append(true).await;
        if matches!(&ended, Err(StoreError::Lease(f)) if matches!(**f, LeaseFault::Moved { .. })) {
            // as the error says: a deletion of the newest member had to be completed first
            ended = last.append(true).await;
        }
        *result.lock().unwrap() = Some(ended);
    });
    let steps = (0..10_000).take_while(|_| !step(&mut future)).count();
    let ended = done.lock().unwrap().take();
    let world = world.lock().unwrap();
    if let Some(broken) = &world.broken {
        return Err(broken.clone());
    }
    match ended {
        Some(Ok(true)) => Ok(world.counts.clone()),
        other => Err(format!("no progress after {steps} steps: {other:?}")),
    }
}

#[test]
fn ten_thousand_races_do_not_fork_the_chain() {
    let races = std::env::var("LSNAP_RACES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10_000);
    let mut total = Counts::default();
    for seed in 0..races {
        match race(seed, Broken::Nothing) {
            Ok(counts) => total.add(&counts),
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    println!("{races} races: {total:?}");
    // every kind of event has occurred
    let c = &total;
    for happened in [
        c.finished,
        c.deletions,
        c.held,
        c.moved,
        c.lost,
        c.voided,
        c.pauses,
        c.kills,
        c.lost_answers,
        c.lost_requests,
        c.lagging,
    ] {
        assert!(happened > races / 100, "{total:?}");
    }
}

#[test]
fn incomplete_protocols_are_detected() {
    for broken in [Broken::NoDecision, Broken::NoRegister, Broken::NoLedger] {
        let found = (0..3000)
            .filter_map(|seed| race(seed, broken).err())
            .collect::<Vec<_>>();
        println!(
            "{broken:?}: {} of 3000 races, e.g. {:?}",
            found.len(),
            found.first()
        );
        assert!(
            found.iter().any(|f| f.contains("both have the base")),
            "{broken:?} was not detected"
        );
    }
}

#[test]
fn a_race_is_reproducible() {
    assert_eq!(
        race(7, Broken::Nothing).unwrap(),
        race(7, Broken::Nothing).unwrap()
    );
}
