//! Redo application by `xtrabackup --prepare` (spec 6). For it the merged directory looks exactly as a
//! full backup would that was taken when the newest member was.

use super::RestoreOptions;
use super::error::{RestoreError, io};
use super::fetch::Fetcher;
use super::layout::KEPT_METADATA;
use super::merge::stored;
use super::plain;
use super::plan::RestorePlan;
use super::target::Target;
use crate::store::Manifest;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

const CHECKPOINTS: &str = "xtrabackup_checkpoints";

/// Files of a backup directory that no data directory holds (spec 3.11).
const REMOVED: [&str; 6] = [
    CHECKPOINTS,
    "xtrabackup_logfile",
    "xtrabackup_tablespaces",
    "xtrabackup_binary",
    "backup-my.cnf",
    "lsnap_manifest.json",
];

/// Puts the `xtrabackup_checkpoints` of a full backup in the place of the newest member's own.
pub(crate) fn checkpoints(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    manifest: &Manifest,
    root: &Path,
) -> Result<(), RestoreError> {
    let file = plan
        .plain
        .iter()
        .find(|file| file.path == CHECKPOINTS)
        .ok_or_else(|| RestoreError::Damaged {
            backup: plan.target.clone(),
            path: CHECKPOINTS.to_owned(),
            what: "it is not in the backup".to_owned(),
        })?;
    let stored = stored(plan, 0, file.entry)?;
    let text = plain::content(fetcher, stored)?;
    let text = String::from_utf8_lossy(&text);
    let lsn = &manifest.lsn;
    for (key, expected) in [("to_lsn", lsn.to_lsn), ("last_lsn", lsn.last_lsn)] {
        let found = value(&text, key).unwrap_or("nothing");
        if found != expected.to_string() {
            return Err(stored.damaged(format!(
                "it says {key} = {found}, the manifest says {expected}"
            )));
        }
    }
    let kept = |key| value(&text, key).unwrap_or("0");
    let full = format!(
        "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = {}\nlast_lsn = {}\nflushed_lsn = {}\n\
         redo_memory = {}\nredo_frames = {}\n",
        lsn.to_lsn,
        lsn.last_lsn,
        kept("flushed_lsn"),
        kept("redo_memory"),
        kept("redo_frames")
    );
    let path = root.join(CHECKPOINTS);
    std::fs::write(&path, full).map_err(io("write", &path))
}

/// The value of a `key = value` line.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(" = ")?;
        (name == key).then_some(value.trim())
    })
}

/// Runs `xtrabackup --prepare` on the merged directory and removes what is not for a data directory.
///
/// # Errors
/// [`RestoreError::Applier`] with the end of its log.
pub(crate) fn prepare(
    target: &Target,
    plan: &RestorePlan,
    options: &RestoreOptions,
) -> Result<(), RestoreError> {
    let root = target.root();
    let log = target.work().join("xtrabackup.log");
    let program = &plan.applier.program;
    let out = File::create(&log).map_err(io("create", &log))?;
    let err = out.try_clone().map_err(io("open", &log))?;
    let mut argument = std::ffi::OsString::from("--target-dir=");
    argument.push(&root);
    let status = Command::new(program)
        .arg("--prepare")
        .arg(argument)
        .arg(format!("--use-memory={}", options.use_memory))
        .stdin(Stdio::from(target.lock_for_child()?))
        .stdout(out)
        .stderr(err)
        .status()
        .map_err(|error| RestoreError::Program {
            program: program.clone(),
            what: format!("cannot be started: {error}"),
        })?;
    let failed = |what: String| RestoreError::Applier {
        program: "xtrabackup",
        what,
        tail: super::mysqld::log_tail(&log),
        log: log.clone(),
    };
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    let path = root.join(CHECKPOINTS);
    let text = std::fs::read_to_string(&path).map_err(io("read", &path))?;
    if value(&text, "backup_type") != Some("full-prepared") {
        return Err(failed(format!(
            "it ended with success, but {CHECKPOINTS} says {:?}, expected backup_type = full-prepared",
            text.lines().next().unwrap_or("nothing")
        )));
    }
    remove_metadata(plan, &root)
}

fn remove_metadata(plan: &RestorePlan, root: &Path) -> Result<(), RestoreError> {
    let stored = plan
        .plain
        .iter()
        .filter(|file| file.metadata && !KEPT_METADATA.contains(&file.path.as_str()))
        .map(|file| file.path.as_str());
    for name in stored.chain(REMOVED) {
        let path = root.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
