//! SIGKILL at random moments: of time, and, with a proxy before the store, at random requests.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::checks::{Before, Depth, after};
use crate::proxy::Plan;
use crate::servers::Kind;
use crate::table::Ended;
use crate::world::{Act, World};

/// The duration and the number of requests of an undisturbed run.
#[derive(Debug, Clone, Copy)]
struct Course {
    time: Duration,
    requests: u64,
}

fn quietly(mut command: Command) -> Command {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn undisturbed(world: &mut World, act: Act, kind: Kind) -> Course {
    let place = world.place(kind);
    world.change();
    world.proxy.plan(Plan::Quiet);
    let begin = Instant::now();
    world.run(act, &place, &[]).ok();
    let course = Course {
        time: begin.elapsed(),
        requests: world.proxy.seen(),
    };
    world.leave(&place);
    course
}

/// Kills `kills` processes, with each command and store in turn.
pub fn all(world: &mut World, kills: u64, depth: impl Fn(u64) -> Depth) {
    let cases: Vec<_> = Act::KILLED
        .into_iter()
        .flat_map(|act| [(act, Kind::File), (act, Kind::S3)])
        .collect();
    let mut courses = vec![None; cases.len()];
    let mut turn = 0;
    // a run that ends before its moment does not count
    while world.table.killed() < kills {
        let index = usize::try_from(turn % cases.len() as u64).unwrap();
        let (act, kind) = cases[index];
        let course = *courses[index].get_or_insert_with(|| undisturbed(world, act, kind));
        one(world, act, kind, course, depth(turn));
        turn += 1;
        assert!(turn < 4 * kills + 10, "too few processes could be killed");
    }
}

fn one(world: &mut World, act: Act, kind: Kind, course: Course, depth: Depth) {
    let place = world.place(kind);
    world.change();
    let before = Before::look(world, &place, act);
    // most work of a restore is not part of a request
    let by_request = kind == Kind::S3 && (act != Act::Restore || world.random.below(2) == 0);
    let (ended, when) = if by_request {
        let (at, done) = (
            world.random.below(course.requests),
            world.random.below(2) == 0,
        );
        world.proxy.plan(Plan::Kill { at, done });
        let mut child = quietly(world.command(act, &place, false)).spawn().unwrap();
        world.proxy.client(child.id());
        let status = child.wait().unwrap();
        let when = format!("request {at} of {} (done: {done})", course.requests);
        (status.code(), when)
    } else {
        world.proxy.plan(Plan::Quiet);
        let micros = u64::try_from(course.time.as_micros()).unwrap();
        let moment = Duration::from_micros(world.random.below(micros));
        let mut child = quietly(world.command(act, &place, false)).spawn().unwrap();
        // the moment itself is tested
        std::thread::sleep(moment);
        let _ = child.kill();
        let status = child.wait().unwrap();
        (status.code(), format!("{moment:?} of {:?}", course.time))
    };
    world.proxy.plan(Plan::Quiet);
    let ended = match ended {
        None => Ended::Killed,
        Some(0) => Ended::Well,
        Some(_) => Ended::Wrongly,
    };
    let mut outcome = after(world, act, &place, &before, ended, depth);
    if ended == Ended::Wrongly {
        outcome
            .violations
            .push("failed before it was killed".to_owned());
    }
    for text in &mut outcome.violations {
        *text = format!("killed at {when}: {text}");
    }
    world.table.add(&place.title(act), "kill -9", outcome);
    world.leave(&place);
}
