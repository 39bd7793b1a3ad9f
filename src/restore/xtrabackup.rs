//! Redo application by `xtrabackup --prepare` (`docs/format/checkpoints.md#contract-of-prepare`).
//! For it, the merged directory has the same form as a full backup made at the time of the newest
//! member.

use super::error::{RestoreError, io};
use super::merge::stored;
use super::plan::RestorePlan;
use super::running::Running;
use super::target::Target;
use super::{RestoreOptions, binary_log};
use crate::child;
use crate::innodb::Lsn;
use crate::manifest::{BackupType, CHECKPOINTS, Checkpoints, Manifest};
use crate::reader::fetch::Fetcher;
use crate::reader::layout::KEPT_METADATA;
use crate::reader::{ReadError, content};
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Stdio};

/// Files of a backup directory that a data directory doesn't contain
/// (`docs/format/checkpoints.md#files-after-a-restore`).
const REMOVED: [&str; 6] = [
    CHECKPOINTS,
    "xtrabackup_logfile",
    "xtrabackup_tablespaces",
    "xtrabackup_binary",
    "backup-my.cnf",
    "lsnap_manifest.json",
];

/// Writes the `xtrabackup_checkpoints` of a full backup in place of the newest member's own.
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
        .ok_or_else(|| {
            RestoreError::Read(ReadError::damaged(
                &plan.target,
                CHECKPOINTS,
                "it is not in the backup",
            ))
        })?;
    let stored = stored(plan, 0, file.entry)?;
    let text = content::content(fetcher, stored)?;
    let kept = Checkpoints::parse(&text).map_err(|what| stored.damaged(what))?;
    let lsn = &manifest.lsn;
    for (key, found, expected) in [
        ("to_lsn", kept.to_lsn, lsn.to_lsn),
        ("last_lsn", kept.last_lsn, lsn.last_lsn),
    ] {
        if found != expected {
            return Err(stored
                .damaged(format!(
                    "it has {key} = {found}, the manifest has {expected}"
                ))
                .into());
        }
    }
    let full = Checkpoints {
        kind: BackupType::Full,
        from_lsn: Lsn(0),
        ..kept
    };
    let path = root.join(CHECKPOINTS);
    std::fs::write(&path, full.to_string()).map_err(io("write", &path))
}

/// One run of `--prepare`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    /// The directory of the incremental that is applied to the target; it is changed.
    pub(crate) incremental: Option<&'a Path>,
    /// True if it is the last run, which rolls back uncommitted transactions.
    pub(crate) last: bool,
}

/// The only run, for a target that is a full backup.
pub(crate) const WHOLE: Step<'static> = Step {
    incremental: None,
    last: true,
};

/// Runs `xtrabackup --prepare` on the directory and, after the last step, removes the files that
/// don't belong in a data directory.
///
/// # Errors
/// [`RestoreError::Applier`] with the end of its log.
pub(crate) fn prepare(
    target: &Target,
    plan: &RestorePlan,
    options: &RestoreOptions,
    step: &Step<'_>,
) -> Result<(), RestoreError> {
    let root = target.root();
    let log = target.work().join("xtrabackup.log");
    let program = &plan.applier.program;
    // The output of all steps is kept: the cause of a failure may be in an earlier one.
    let out = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(io("create", &log))?;
    let err = out.try_clone().map_err(io("open", &log))?;
    let mut command = command_of(program, &root, options, step);
    command
        .stdin(Stdio::from(target.lock_for_child()?))
        .stdout(out)
        .stderr(err);
    let status = Running::start(&mut command, program, &options.cancel)?.wait()?;
    options.cancel.check()?;
    let failed = |what: String| RestoreError::Applier {
        program: "xtrabackup",
        what,
        tail: super::mysqld::log_tail(&log),
        log: log.clone(),
    };
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    ended_as(step, &root)?.map_err(failed)?;
    if step.last {
        remove_metadata(plan, &root)?;
        binary_log::rewrite_indexes(&root)?;
    }
    Ok(())
}

/// Returns the command of one run of `--prepare`, without its streams.
fn command_of(program: &Path, root: &Path, options: &RestoreOptions, step: &Step<'_>) -> Command {
    let argument = |name: &str, path: &Path| {
        let mut argument = std::ffi::OsString::from(name);
        argument.push(path);
        argument
    };
    let mut command = child::command(program);
    command.arg("--prepare");
    if !step.last {
        command.arg("--apply-log-only");
    }
    command.arg(argument("--target-dir=", root));
    if let Some(incremental) = step.incremental {
        command.arg(argument("--incremental-dir=", incremental));
    }
    command.arg(format!("--use-memory={}", options.use_memory));
    command
}

/// Checks that the directory's checkpoints have the expected type after a run; if not, returns what
/// was found.
fn ended_as(step: &Step<'_>, root: &Path) -> Result<Result<(), String>, RestoreError> {
    let path = root.join(CHECKPOINTS);
    let text = std::fs::read(&path).map_err(io("read", &path))?;
    let expected = if step.last {
        BackupType::Prepared
    } else {
        BackupType::LogApplied
    };
    Ok(match Checkpoints::parse(&text) {
        Ok(found) if found.kind == expected => Ok(()),
        Ok(Checkpoints { kind, .. }) => Err(format!(
            "it ended with success, but {CHECKPOINTS} has backup_type = {kind}, expected {expected}"
        )),
        Err(what) => Err(format!(
            "it ended with success, but {CHECKPOINTS} cannot be read: {what}"
        )),
    })
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
