//! The rules that must hold after every fault.
//!
//! 1. No backup that `lsnap list` shows as finished fails `lsnap verify --data`.
//! 2. Every backup that was finished before, and that no command was to remove, still exists.
//! 3. The same command succeeds when it is run again, and leaves no extra files.
//! 4. After a failed restore, the target is not a data directory.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::lsnap::{Said, said};
use crate::sandbox::{RESTORED, Sandbox};
use crate::table::{Ended, Outcome};
use crate::world::{Act, Place, World, contents};

/// The depth of the checks that take seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Without starting servers.
    Data,
    /// The result of the command is restored, and a server is started on it.
    Server,
}

/// Runs lsnap for the checks themselves.
fn ask(world: &World, verb: &str, place: &Place, more: &[&str]) -> Said {
    said(world.verb(verb, place, true).args(more).output().unwrap())
}

/// Returns the names of the finished backups.
pub fn finished(world: &World, place: &Place) -> BTreeSet<String> {
    let said = ask(world, "list", place, &[]).ok();
    let items = said.json["backups"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .filter(|item| item["state"] == "finished")
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The state before a command.
pub struct Before {
    finished: BTreeSet<String>,
    may_go: BTreeSet<String>,
}

impl Before {
    pub fn look(world: &World, place: &Place, act: Act) -> Self {
        let mut command = world.command(act, place, true);
        let may_go = if act.removes() {
            let said = said(command.arg("--dry-run").output().unwrap()).ok();
            let gone = said.json["deleted"].as_array().cloned().unwrap_or_default();
            gone.iter()
                .map(|d| d["backup"]["name"].as_str().unwrap().to_owned())
                .collect()
        } else {
            BTreeSet::new()
        };
        let finished = finished(world, place);
        assert!(finished.len() >= 4 && may_go.len() == if act.removes() { 3 } else { 0 });
        Self { finished, may_go }
    }

    /// Rules 1, 2 and 4.
    pub fn violated(&self, world: &World, place: &Place) -> Vec<String> {
        let mut violations = Vec::new();
        let now = finished(world, place);
        for name in self.finished.difference(&now) {
            if !self.may_go.contains(name) {
                violations.push(format!("{name} was finished and is not any more"));
            }
        }
        let said = ask(world, "verify", place, &["--all", "--data"]);
        let members = said.json["members"].as_array().cloned().unwrap_or_default();
        let mut looked_at = BTreeSet::new();
        for member in &members {
            let name = member["backup"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let sound = member["problems"].as_array().is_some_and(Vec::is_empty);
            if !sound && now.contains(&name) {
                violations.push(format!("{name} looks finished: {}", member["problems"]));
            }
            looked_at.insert(name);
        }
        // A killed deletion blocks readers for some minutes, which is reported.
        let going = said.json["being_deleted"].as_array();
        let going = going.into_iter().flatten().filter_map(|n| n.as_str());
        looked_at.extend(going.map(str::to_owned));
        for name in now.difference(&looked_at) {
            violations.push(format!(
                "{name} looks finished and was not verified ({}): {}{}",
                said.code, said.stderr, said.stdout
            ));
        }
        violations
    }
}

/// Runs the command again until it succeeds; waits for the lease of the previous run.
fn again(world: &World, act: Act, place: &Place) -> Result<Said, String> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let said = said(world.command(act, place, true).output().unwrap());
        match said.code {
            0 => return Ok(said),
            11 if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(200));
            }
            code => {
                return Err(format!(
                    "run again it failed with {code}: {}{}",
                    said.stderr, said.stdout
                ));
            }
        }
    }
}

/// Checks that a server on a restored directory has the content of the backup.
fn starts(world: &World, place: &Place) -> Result<(), String> {
    let server = Sandbox::try_start_on("faults-restored", &place.target, &[RESTORED])?;
    let found = contents(&server);
    if found == world.contents {
        return Ok(());
    }
    Err(format!(
        "the restored table has {found}, expected {}",
        world.contents
    ))
}

/// Checks that a backup restores, and that a server finds every table intact.
fn restores(world: &World, place: &Place, name: &str) -> Result<(), String> {
    let mysqld = world.source.program("mysqld");
    let mut command = world.verb("verify", place, true);
    command.args([name, "--restore", "--mysqld"]).arg(mysqld);
    command.args(["--user", &crate::lsnap::owner()]);
    command.arg("--scratch").arg(world.room.path());
    let said = said(command.output().unwrap());
    if said.code == 0 {
        return Ok(());
    }
    Err(format!(
        "{name} does not restore: {}{}",
        said.stderr, said.stdout
    ))
}

/// Checks all rules after a command that ended in this way.
pub fn after(
    world: &World,
    act: Act,
    place: &Place,
    before: &Before,
    ended: Ended,
    depth: Depth,
) -> Outcome {
    let mut outcome = Outcome {
        ended,
        again: false,
        restored: 0,
        violations: before.violated(world, place),
    };
    if act == Act::Restore {
        restored(world, place, depth, &mut outcome);
        return outcome;
    }
    // A command that was killed just before its end may have done all of its work.
    let done = act == Act::Delete && kept(world, place).is_empty();
    match again(world, act, place) {
        Ok(said) => {
            outcome.again = true;
            outcome.violations.extend(before.violated(world, place));
            let name = said.json["backup"]["name"].as_str().unwrap_or_default();
            if depth == Depth::Server && !act.removes() && act != Act::Verify {
                outcome.restored += 1;
                outcome
                    .violations
                    .extend(restores(world, place, name).err());
            }
        }
        Err(why) if done && why.contains("failed with 10") => outcome.again = true,
        Err(why) => outcome.violations.push(why),
    }
    if act.removes() {
        let kept = kept(world, place);
        if !kept.is_empty() {
            outcome
                .violations
                .push(format!("left of a deleted chain: {kept:?}"));
        }
    }
    outcome
}

/// Returns the keys of the older chain.
fn kept(world: &World, place: &Place) -> Vec<String> {
    let full = &world.older[0];
    let of = [format!("{full}/"), format!("{full}.incr/")];
    let keys = world.keys(place).into_iter();
    keys.filter(|key| of.iter().any(|prefix| key.starts_with(prefix)))
        .collect()
}

/// Checks rules 3 and 4 for a restore.
fn restored(world: &World, place: &Place, depth: Depth, outcome: &mut Outcome) {
    let mut violations = Vec::new();
    if place.target.exists() {
        // It is at its final path, so it must be complete; a second restore refuses it.
        outcome.restored += 1;
        violations.extend(starts(world, place).err());
        outcome.again = violations.is_empty();
    } else {
        match again(world, Act::Restore, place) {
            Ok(_) => outcome.again = true,
            Err(why) => violations.push(why),
        }
        if outcome.again && depth == Depth::Server {
            outcome.restored += 1;
            violations.extend(starts(world, place).err());
        }
    }
    let mut work = place.target.clone().into_os_string();
    work.push(".lsnap-restoring");
    if outcome.again && std::path::Path::new(&work).exists() {
        violations.push(format!("{} was left", work.to_string_lossy()));
    }
    outcome.violations.extend(violations);
}
