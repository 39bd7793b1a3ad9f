//! The states of a directory in `xtrabackup_checkpoints`, and the steps that are possible in each.

use super::error::PrepareError;
use crate::manifest::{BackupType, Checkpoints};
use std::path::Path;

/// The type of a directory that is half prepared. No program accepts it.
pub(super) const UNFINISHED: &str = "prepare-unfinished";

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing: the directory is ready.
    Nothing,
    /// Only the type changes.
    Mark(Checkpoints),
    /// The files change.
    Change(Checkpoints),
}

/// Returns the action of a step and the checkpoints after it. `incremental`: its directory and its
/// checkpoints.
///
/// | before | step | after |
/// |---|---|---|
/// | full-backuped | `log_only` | log-applied |
/// | full-backuped | last | full-prepared |
/// | log-applied | `log_only` | log-applied |
/// | log-applied | last | full-prepared |
/// | log-applied | incremental, `log_only` | log-applied, its LSNs if they are higher |
/// | log-applied | incremental, last | full-prepared, its LSNs if they are higher |
/// | full-prepared | any without an incremental | full-prepared |
///
/// # Errors
/// All other combinations; an incremental that doesn't continue the target, or ends before it.
pub(super) fn action(
    target: &Path,
    before: &Checkpoints,
    incremental: Option<(&Path, &Checkpoints)>,
    log_only: bool,
) -> Result<Action, PrepareError> {
    let after = if log_only {
        BackupType::LogApplied
    } else {
        BackupType::Prepared
    };
    if before.kind == BackupType::Incremental {
        return Err(PrepareError::Type {
            path: target.to_path_buf(),
            found: before.kind.to_string(),
            expected: "full-backuped, log-applied or full-prepared",
        });
    }
    let Some((path, member)) = incremental else {
        let made = Checkpoints {
            kind: after,
            ..*before
        };
        return Ok(match before.kind {
            BackupType::Prepared => Action::Nothing,
            _ if log_only => Action::Mark(made),
            _ => Action::Change(made),
        });
    };
    if before.kind != BackupType::LogApplied {
        return Err(PrepareError::NotLogApplied {
            target: target.to_path_buf(),
            found: before.kind.to_string(),
        });
    }
    if member.kind != BackupType::Incremental {
        return Err(PrepareError::Type {
            path: path.to_path_buf(),
            found: member.kind.to_string(),
            expected: "incremental",
        });
    }
    if member.from_lsn != before.to_lsn {
        return Err(PrepareError::NotProper {
            incremental: path.to_path_buf(),
            from_lsn: member.from_lsn,
            target: target.to_path_buf(),
            to_lsn: before.to_lsn,
        });
    }
    if member.last_lsn < before.last_lsn {
        return Err(PrepareError::Older {
            incremental: path.to_path_buf(),
            found: member.last_lsn,
            target: target.to_path_buf(),
            expected: before.last_lsn,
        });
    }
    Ok(Action::Change(Checkpoints {
        kind: after,
        to_lsn: before.to_lsn.max(member.to_lsn),
        last_lsn: before.last_lsn.max(member.last_lsn),
        flushed_lsn: before.flushed_lsn.max(member.flushed_lsn),
        ..*before
    }))
}

/// Returns the text of the checkpoints of a half prepared directory.
pub(super) fn unfinished(before: &Checkpoints) -> String {
    let text = before.to_string();
    match text.split_once('\n') {
        Some((_, rest)) => format!("backup_type = {UNFINISHED}\n{rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::innodb::Lsn;

    fn checkpoints(kind: BackupType, from: u64, to: u64, last: u64) -> Checkpoints {
        Checkpoints {
            kind,
            from_lsn: Lsn(from),
            to_lsn: Lsn(to),
            last_lsn: Lsn(last),
            flushed_lsn: Lsn(0),
            redo_memory: 0,
            redo_frames: 0,
        }
    }

    fn step(
        before: BackupType,
        incremental: Option<(u64, u64, u64)>,
        log_only: bool,
    ) -> Result<Action, String> {
        let member = incremental.map(|(f, t, l)| checkpoints(BackupType::Incremental, f, t, l));
        let path = Path::new("/i");
        action(
            Path::new("/t"),
            &checkpoints(
                before,
                if before == BackupType::Incremental {
                    1
                } else {
                    0
                },
                100,
                200,
            ),
            member.as_ref().map(|member| (path, member)),
            log_only,
        )
        .map_err(|error| error.to_string())
    }

    #[test]
    fn every_row_of_the_table() {
        use BackupType::{Full, LogApplied, Prepared};
        let made = |kind| checkpoints(kind, 0, 100, 200);
        let next = |kind| checkpoints(kind, 0, 150, 300);
        for (before, incremental, log_only, expected) in [
            (Full, None, true, Action::Mark(made(LogApplied))),
            (Full, None, false, Action::Change(made(Prepared))),
            (LogApplied, None, true, Action::Mark(made(LogApplied))),
            (LogApplied, None, false, Action::Change(made(Prepared))),
            (
                LogApplied,
                Some((100, 150, 300)),
                true,
                Action::Change(next(LogApplied)),
            ),
            (
                LogApplied,
                Some((100, 150, 300)),
                false,
                Action::Change(next(Prepared)),
            ),
            // The same checkpoint at the start of both: to_lsn stays, last_lsn rises.
            (
                LogApplied,
                Some((100, 100, 300)),
                true,
                Action::Change(checkpoints(LogApplied, 0, 100, 300)),
            ),
            (Prepared, None, true, Action::Nothing),
            (Prepared, None, false, Action::Nothing),
        ] {
            assert_eq!(
                step(before, incremental, log_only),
                Ok(expected),
                "{before} {incremental:?} {log_only}"
            );
        }
    }

    #[test]
    fn every_other_combination_is_refused() {
        use BackupType::{Full, Incremental, LogApplied, Prepared};
        for log_only in [true, false] {
            let refused = |before, member, words: &str| {
                let error = step(before, member, log_only).unwrap_err();
                assert!(error.contains(words), "{error}");
            };
            let member = Some((100, 150, 300));
            refused(
                Full,
                member,
                "needs target prepared with PrepareOptions::log_only.",
            );
            refused(
                Prepared,
                member,
                "needs target prepared with PrepareOptions::log_only.",
            );
            refused(Incremental, member, "backup_type = incremental");
            refused(Incremental, None, "backup_type = incremental");
            let wrong = "seems not to be proper for the target.";
            refused(LogApplied, Some((99, 150, 300)), wrong);
            refused(LogApplied, Some((101, 150, 300)), wrong);
            // A missing member between.
            refused(LogApplied, Some((150, 160, 400)), wrong);
            // Both began at the same checkpoint, but this one was made before.
            refused(LogApplied, Some((100, 100, 199)), "ends at LSN 199");
        }
        let full = checkpoints(Full, 0, 100, 200);
        let error = action(
            Path::new("/t"),
            &checkpoints(LogApplied, 0, 100, 200),
            Some((Path::new("/i"), &full)),
            true,
        );
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("expected incremental")
        );
    }

    #[test]
    fn a_half_prepared_directory_has_a_type_that_no_program_accepts() {
        let before = checkpoints(BackupType::LogApplied, 0, 100, 200);
        let text = unfinished(&before);
        assert!(text.starts_with("backup_type = prepare-unfinished\nfrom_lsn = 0\nto_lsn = 100\n"));
        assert!(Checkpoints::parse(text.as_bytes()).is_err());
    }
}
