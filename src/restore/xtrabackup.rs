//! Redo application by `xtrabackup --prepare` (`docs/format/checkpoints.md#contract-of-prepare`). For it the
//! merged directory looks exactly as a
//! full backup would that was taken when the newest member was.

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

/// Files of a backup directory that no data directory holds (`docs/format/checkpoints.md#files-after-a-restore`).
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
                    "it says {key} = {found}, the manifest says {expected}"
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
    /// The directory of the incremental that is applied to the target; it will be changed.
    pub(crate) incremental: Option<&'a Path>,
    /// No other follows: what was not committed is rolled back.
    pub(crate) last: bool,
}

/// The target is a full backup, and all there is.
pub(crate) const WHOLE: Step<'static> = Step {
    incremental: None,
    last: true,
};

/// Runs `xtrabackup --prepare` on the directory and, after the last step, removes what is not for a
/// data directory.
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
    // Of several steps all are kept: what went wrong may have begun in an earlier one.
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

/// The command of one run of `--prepare`, without its streams.
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

/// Whether the checkpoints of the directory say that the run has done its work; if not, what they say.
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
            "it ended with success, but {CHECKPOINTS} says backup_type = {kind}, expected {expected}"
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
