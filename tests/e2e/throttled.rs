//! Backups with a throttle: as slow as requested, restorable, and stopped on request. Called by a
//! test that already has a server.

use crate::lsnap;
use crate::sandbox::{Sandbox, scratch, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// An account that can make backups doesn't need the privilege to read statement latencies.
#[track_caller]
pub fn falls_back_without_privileges(throttle: &Value) {
    let text = |name: &str| throttle[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("mode"), "auto");
    assert!(text("fallback").contains("GRANT SELECT ON"), "{throttle}");
    assert!(
        !text("watched").contains("performance_schema"),
        "{throttle}"
    );
    // a number that depends on the other load of the machine
    assert!(throttle["mean_rate"].as_u64() > Some(0), "{throttle}");
}

/// A rate guarantees a minimum duration of a backup.
pub fn at_a_rate_and_restored(server: &Sandbox, room: &Path) {
    let mib = |n: u64| (n << 20) as f64;
    let fixed = lsnap::backup(server, room, &["--throttle=40M"]);
    let pages = &fixed.json["pages"];
    let pages = pages["verified"].as_u64().unwrap() + pages["zero"].as_u64().unwrap();
    let manifest = lsnap::manifest(room, &fixed.name);
    let page = manifest["server"]["page_size"].as_u64().unwrap();
    // less the content of a full bucket, and the last read, after which there is no wait
    let least = ((pages * page) as f64 - mib(10) - mib(1)) / mib(40);
    let took = fixed.json["backup"]["duration_seconds"].as_f64().unwrap();
    assert!(least > 1.0 && took >= least, "{took} s, at least {least} s");
    assert_eq!(fixed.json["throttle"]["mode"], "fixed");
    assert_eq!(fixed.json["throttle"]["highest_rate"], 40 << 20);

    let auto = lsnap::backup(server, room, &["--throttle=auto"]);
    let report = &auto.json["throttle"];
    let watched = report["watched"].as_str().unwrap();
    assert!(
        watched.contains("statements") && watched.contains("performance_schema"),
        "{report}"
    );
    assert!(report["fallback"].is_null(), "{report}");
    assert!(report["looks"].as_u64() >= Some(1), "{report}");
    assert!(report["lowest_rate"].as_u64() >= Some(8 << 20), "{report}");
    let beside = scratch();
    lsnap::restore(server, room, &auto.name, &beside.path().join("restored"));
}

/// Workers that would wait for hours end at once; only their threads have a higher nice value.
pub fn stopped_while_it_waits(server: &Sandbox, room: &Path) {
    let options = ["--throttle=1", "--nice=11", "--ionice=idle"];
    let mut running = lsnap::spawn_backup(server, room, &options);
    let threads = Path::new("/proc")
        .join(running.pid().to_string())
        .join("task");
    let limit = Duration::from_secs(60);
    wait_for("page workers that are nice", limit, || {
        assert!(running.is_running(), "it ended at one byte per second");
        let nice = nice_of(&threads);
        nice.iter()
            .any(|(name, nice)| name.starts_with("pages-") && *nice == 11)
    });
    let others = nice_of(&threads);
    let others: Vec<_> = others.iter().filter(|(name, _)| name == "lsnap").collect();
    assert!(
        !others.is_empty() && others.iter().all(|(_, nice)| *nice == 0),
        "{others:?}"
    );
    let pid = Pid::from_raw(running.pid() as i32).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    wait_for("it to end", limit, || !running.is_running());
    running.wait().refused(130, &["interrupted"]);
}

/// Returns the names of the threads and their nice values.
fn nice_of(threads: &Path) -> Vec<(String, i64)> {
    let threads = std::fs::read_dir(threads).into_iter().flatten().flatten();
    let stats = threads.filter_map(|t| std::fs::read_to_string(t.path().join("stat")).ok());
    let parse = |stat: String| {
        // proc(5): the name in parentheses is the second field, the nice value the nineteenth
        let (before, after) = stat.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        Some((name, after.split_whitespace().nth(16)?.parse().ok()?))
    };
    stats.filter_map(parse).collect()
}
