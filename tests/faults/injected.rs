//! Faults of the store and of the network.

use lsnap::store::Bucket;

use crate::checks::{Before, Depth, after};
use crate::lsnap::Said;
use crate::proxy::{Harm, PASSING, Plan};
use crate::servers::Kind;
use crate::table::{Ended, Outcome};
use crate::world::{Act, Place, World};

/// Few and short retries, for faults that stay.
const IMPATIENT: [&str; 4] = ["--max-retries", "2", "--retry-deadline", "5"];

/// Temporary faults: the command must succeed despite them.
pub fn passing(world: &mut World, act: Act, harms: &[Harm], every: u64, depth: Depth) {
    let fault = match harms {
        [one] => format!("{one:?}, 1 in {every}"),
        _ => format!("passing ones, 1 in {every}"),
    };
    let place = world.place(Kind::S3);
    world.change();
    let before = Before::look(world, &place, act);
    let random = world.random.fork();
    world.proxy.plan(Plan::Some {
        harms: harms.to_vec(),
        every,
        random,
    });
    let said = world.run(act, &place, &["--max-retries", "20"]);
    let (harmed, seen) = (world.proxy.harmed(), world.proxy.seen());
    world.proxy.plan(Plan::Quiet);
    println!("{}, {fault}: {harmed} of {seen} requests", place.title(act));
    finish(world, act, &place, &before, &said, &[0], &[], &fault, depth);
}

/// The end of every case: its result, the rules, the table.
#[allow(clippy::too_many_arguments)]
fn finish(
    world: &mut World,
    act: Act,
    place: &Place,
    before: &Before,
    said: &Said,
    codes: &[i32],
    words: &[&str],
    fault: &str,
    depth: Depth,
) {
    let all = format!("{}{}", said.stderr, said.stdout);
    let as_expected = codes.contains(&said.code) && words.iter().all(|word| all.contains(word));
    let ended = match (as_expected, said.code) {
        (true, 0) => Ended::Well,
        (true, _) => Ended::Properly,
        _ => Ended::Wrongly,
    };
    let mut outcome = if said.code == 0 && !act.removes() && act != Act::Restore {
        // it succeeded: its result is checked, and no second run is needed
        Outcome {
            ended,
            again: false,
            restored: 0,
            violations: before.violated(world, place),
        }
    } else {
        after(world, act, place, before, ended, depth)
    };
    if ended == Ended::Wrongly {
        let code = said.code;
        let text = format!("ended with {code}, expected {codes:?} and {words:?}: {all}");
        outcome.violations.push(text);
    }
    world.table.add(&place.title(act), fault, outcome);
    world.leave(place);
}

/// Permanent faults: the command must fail as specified, and succeed when they are over.
pub fn staying(
    world: &mut World,
    act: Act,
    plan: Plan,
    codes: &[i32],
    words: &[&str],
    fault: &str,
) {
    let place = world.place(Kind::S3);
    world.change();
    let before = Before::look(world, &place, act);
    world.proxy.plan(plan);
    let said = world.run(act, &place, &IMPATIENT);
    world.proxy.plan(Plan::Quiet);
    finish(
        world,
        act,
        &place,
        &before,
        &said,
        codes,
        words,
        fault,
        Depth::Data,
    );
}

/// Returns the number of a request in the middle of those of a command.
pub fn middle(world: &mut World, act: Act) -> u64 {
    let place = world.place(Kind::S3);
    world.change();
    world.proxy.plan(Plan::Quiet);
    world.run(act, &place, &[]).ok();
    let seen = world.proxy.seen();
    world.leave(&place);
    // not the last ones, whose failure may be ignored
    world.random.below(seen * 3 / 4)
}

/// An object of the chain is missing; it is restored for the checks.
pub fn lost(world: &mut World, act: Act) {
    let place = world.place(Kind::S3);
    let before = Before::look(world, &place, act);
    let (key, bytes) = world.victim();
    let bucket: Bucket = world.bucket(&place);
    bucket.delete(&key).unwrap();
    let said = world.run(act, &place, &IMPATIENT);
    bucket.put_new(&key, vec![bytes]).unwrap();
    let words = [key.rsplit('/').next().unwrap_or_default()];
    finish(
        world,
        act,
        &place,
        &before,
        &said,
        &[13],
        &words,
        "lost object",
        Depth::Data,
    );
}

/// A byte of an object is changed, in the store itself; it is restored for the checks.
pub fn changed(world: &mut World, act: Act, kind: Kind) {
    let place = world.place(kind);
    let before = Before::look(world, &place, act);
    let (key, bytes) = world.victim();
    let mut other = bytes.to_vec();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    let bucket: Bucket = world.bucket(&place);
    bucket.delete(&key).unwrap();
    bucket.put_new(&key, vec![other.into()]).unwrap();
    let said = world.run(act, &place, &[]);
    bucket.delete(&key).unwrap();
    bucket.put_new(&key, vec![bytes]).unwrap();
    let words = [key.rsplit('/').next().unwrap_or_default()];
    finish(
        world,
        act,
        &place,
        &before,
        &said,
        &[13],
        &words,
        "wrong bytes stored",
        Depth::Data,
    );
}

/// Credentials that expire, a store that never answers, wrong bytes in every answer.
pub fn every_staying(world: &mut World, acts: &[Act]) {
    for &act in acts {
        let at = middle(world, act);
        staying(
            world,
            act,
            Plan::Expired(at),
            &[12],
            &["xpired"],
            "expired credentials",
        );
    }
    for act in [Act::Restore, Act::Consolidate, Act::Verify] {
        if acts.contains(&act) {
            let plan = Plan::Flip(".ibd".to_owned());
            staying(world, act, plan, &[13], &[], "wrong bytes on the way");
            lost(world, act);
        }
    }
}

/// The long version: each fault alone, at a rate and permanently.
pub fn long(world: &mut World) {
    for act in Act::ALL {
        for harm in PASSING {
            passing(world, act, &[harm], 5, Depth::Data);
        }
        for harm in [
            Harm::Refuse,
            Harm::ResetAnswer,
            Harm::ResetRequest,
            Harm::SlowDown,
            Harm::TooMany,
            Harm::Internal,
        ] {
            let at = middle(world, act);
            let fault = format!("{harm:?} for good");
            staying(world, act, Plan::From(at, harm), &[1], &[], &fault);
        }
    }
    for act in [Act::Restore, Act::Consolidate, Act::Verify] {
        for kind in [Kind::File, Kind::S3] {
            changed(world, act, kind);
        }
    }
}
