//! Faults, and the rules that must hold after each ([`checks`]): of the store and the network
//! ([`injected`]), full disks ([`disk`]), and kill -9 at random moments ([`kills`]). The real
//! program, a real MySQL, a directory and an S3 server; prints a table of counts at the end.
//!
//! CI runs a short version. `tools/faults` runs the long one, with 100 kills (`LSNAP_KILLS`). The
//! seed is printed, and `LSNAP_FAULT_SEED` repeats its choices; moments of time repeat only
//! approximately.
#![allow(clippy::unwrap_used)]

mod checks;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod injected;
mod kills;
mod proxy;
mod random;
mod table;
mod world;

use checks::Depth;
use common::{lsnap, sandbox, servers};
use proxy::PASSING;
use world::{Act, World};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let parsed = text.parse();
    Some(parsed.unwrap_or_else(|e| panic!("{variable}={text}: {e}")))
}

/// Returns the seed: from the environment, or the time.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = number("LSNAP_FAULT_SEED").unwrap_or(now.unwrap().as_secs());
    println!("LSNAP_FAULT_SEED={seed}");
    seed
}

fn end(world: World) {
    println!("{}", world.table);
    let violations = world.table.violations();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn short() {
    let mut world = World::new(seed());
    for act in [Act::Incremental, Act::Consolidate] {
        injected::passing(&mut world, act, &PASSING, 8, Depth::Data);
    }
    injected::every_staying(&mut world, &[Act::Restore]);
    disk::all(&mut world, &[Act::Incremental]);
    let kills = number("LSNAP_KILLS").unwrap_or(5);
    kills::all(&mut world, kills, |_| Depth::Data);
    end(world);
}

/// Run by `tools/faults`.
#[test]
#[ignore = "an hour; tools/faults"]
fn long() {
    let mut world = World::new(seed());
    for act in Act::ALL {
        injected::passing(&mut world, act, &PASSING, 8, Depth::Server);
    }
    injected::every_staying(&mut world, &Act::ALL);
    injected::long(&mut world);
    disk::all(&mut world, &disk::ACTS);
    println!("{}", world.table);
    // the result of each second run is restored, and a server started on it
    kills::all(&mut world, number("LSNAP_KILLS").unwrap_or(100), |_| {
        Depth::Server
    });
    end(world);
}
