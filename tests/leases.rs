//! Processes that append to one chain in one directory are stopped, continued and killed at random
//! points, each stop longer than the lease. The chain must not fork.
//!
//! Every process is this test binary itself; an environment variable makes it a writer.

#![allow(clippy::unwrap_used)]

mod common;

use common::small::{SERVER, begin};
use lsnap::manifest::{BackupName, FileEntry, Manifest};
use std::collections::HashMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use chrono::{TimeZone, Utc};
use lsnap::store::*;
use rustix::process::{Pid, Signal, kill_process};

const ROLE: &str = "LSNAP_TEST_WRITER";
/// The shortest time that is allowed.
const TTL: Duration = Duration::from_secs(1);
const RUN: Duration = Duration::from_secs(10);

fn micros() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(now.unwrap().as_micros()).unwrap()
}

fn manifest(name: &BackupName, base: Option<&Manifest>, file: FileEntry) -> Manifest {
    let from = base.map_or(0, |base| base.lsn.to_lsn.0);
    common::small::manifest(name, base, from + 10, file)
}

/// Appends one incremental.
fn append(repository: &Repository) -> Result<(), StoreError> {
    let base = repository.next_base(SERVER, None, None)?.base;
    let name = format!(
        "{}.incr/prod-{:020}-{}-incr",
        base.name.base(),
        micros(),
        std::process::id()
    );
    let name = BackupName::parse(&name)?;
    let (upload, file) = begin(repository, &name)?;
    let made = manifest(&name, Some(&base), file);
    let result = upload
        .follow(&base.name, TTL)
        .and_then(|()| upload.clone().finish(&made));
    if result.is_err() {
        // "complete and stays" is not a failure
        let _ = upload.abort();
    }
    result
}

/// The writer, with its repository in an environment variable; without the variable, in a run of
/// the tests, it does nothing.
#[test]
fn writer() {
    let Ok(url) = std::env::var(ROLE) else { return };
    let repository = Repository::open(&url).unwrap();
    let end = Instant::now() + RUN;
    while Instant::now() < end {
        let word = match append(&repository) {
            Ok(()) => "done",
            Err(StoreError::Lease(fault)) => match *fault {
                LeaseFault::Held { .. } => "held",
                LeaseFault::Lost { .. } => "lost",
                LeaseFault::Moved { .. } => "moved",
                other => panic!("{other}"),
            },
            // a listing of the chain while another process removes the backup that it aborts
            Err(StoreError::BrokenChain { why, .. }) => panic!("{why}"),
            Err(other) => panic!("{other}"),
        };
        println!("[{word}]");
    }
}

fn start(url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture"])
        .env(ROLE, url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, what: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // it may have ended
    let _ = kill_process(pid, what);
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

/// Stops, continues and kills the writers until they end by themselves; returns the numbers of
/// stops and kills.
fn disturb(url: &str, writers: &mut Vec<Child>) -> (u64, u64) {
    let end = Instant::now() + RUN;
    let mut wake: Vec<Option<Instant>> = vec![None; writers.len()];
    let (mut stops, mut kills) = (0, 0);
    while Instant::now() < end {
        // sets the frequency of the disturbances; not a wait for an event
        std::thread::sleep(Duration::from_millis(random(40)));
        for (writer, wake) in writers.iter().zip(&mut wake) {
            if wake.is_some_and(|at| at <= Instant::now()) {
                signal(writer, Signal::CONT);
                *wake = None;
            }
        }
        let chosen = usize::try_from(random(writers.len() as u64)).unwrap();
        if wake[chosen].is_some() {
            continue;
        }
        if kills < 6 && random(12) == 0 {
            writers[chosen].kill().unwrap();
            let said = said(&mut writers[chosen]);
            assert!(!said.contains("panicked"), "{said}");
            writers[chosen] = start(url);
            kills += 1;
        } else {
            signal(&writers[chosen], Signal::STOP);
            stops += 1;
            wake[chosen] = Some(Instant::now() + Duration::from_millis(random(2500)));
        }
    }
    for writer in writers {
        signal(writer, Signal::CONT);
    }
    (stops, kills)
}

fn said(writer: &mut Child) -> String {
    let mut text = String::new();
    writer
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    writer.wait().unwrap();
    text
}

#[test]
fn stopped_and_killed_processes_do_not_fork_a_chain() {
    let dir = tempfile::tempdir().unwrap();
    let url = dir.path().to_str().unwrap().to_owned();
    let repository = Repository::open(&url).unwrap();
    let full = BackupName::full("prod", Utc.timestamp_opt(1_795_000_000, 0).unwrap()).unwrap();
    let (upload, file) = begin(&repository, &full).unwrap();
    upload.finish(&manifest(&full, None, file)).unwrap();

    let count = 2 + random(7);
    let mut writers: Vec<_> = (0..count).map(|_| start(&url)).collect();
    let (stops, kills) = disturb(&url, &mut writers);
    let mut words: HashMap<String, u64> = HashMap::new();
    for mut writer in writers {
        let text = said(&mut writer);
        assert!(writer.wait().unwrap().success(), "{text}");
        for line in text.lines().filter(|l| l.starts_with('[')) {
            *words.entry(line.to_owned()).or_default() += 1;
        }
    }
    let listed = repository.list().unwrap();
    let finished: Vec<_> = listed.iter().filter_map(Listed::finished).collect();
    println!(
        "{count} writers, {stops} stops, {kills} kills, {} finished: {words:?}",
        finished.len()
    );
    let mut stands_on: HashMap<BackupName, BackupName> = HashMap::new();
    for summary in &finished {
        let Some(base) = &summary.base else { continue };
        let other = stands_on.insert(base.name.clone(), summary.name.clone());
        assert_eq!(other, None, "{} has two successors", base.name);
    }
    let tip = repository.next_base(SERVER, None, None).unwrap().base;
    assert_eq!(
        repository.chain_of(&tip.name).unwrap().len(),
        finished.len()
    );
    assert!(finished.len() > 5 && stops > 10, "too few disturbances");
}
