//! The restore of a verification, into a directory that is removed afterwards, with a server that
//! checks every table and reports its position.

use super::report::{Problem, ProblemKind, Restored};
use super::{VerifyError, VerifyOptions};
use crate::manifest::BackupName;
use crate::progress::Progress;
use crate::restore;
use crate::restore::scratch_dir::ScratchDir;
use crate::restore::{ApplierChoice, RestoreError, RestoreOptions};
use crate::store::Repository;
use std::path::PathBuf;
use std::time::Duration;

/// Restores `name` into a new directory, and removes it in any case. The directories of killed
/// verifications are removed first.
pub(super) fn restore(
    repo: &Repository,
    name: &BackupName,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<Restored, VerifyError> {
    let place = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let refuse = |path: PathBuf| move |source| VerifyError::Scratch { path, source };
    // The server of the restore may run as another user, which must be able to enter its directory.
    let made = ScratchDir::make(&place, "lsnap-verify-").map_err(refuse(place.clone()))?;
    let chosen = &options.test_restore;
    let wanted = RestoreOptions {
        // After xtrabackup there is no running server to query.
        applier: ApplierChoice::Mysqld,
        threads: options.threads,
        memory: options.memory,
        key: options.key.clone(),
        accept_unauthenticated: options.accept_unauthenticated,
        keep_failed: false,
        check_tables: true,
        table_budget: chosen.table_budget,
        seed: chosen.seed,
        queries: chosen.checks.clone(),
        mysqld: chosen.mysqld.clone(),
        mysqld_args: chosen.mysqld_args.clone(),
        user: chosen.user.clone(),
        use_memory: chosen.use_memory,
        keyring_config: chosen.keyring_config.clone(),
        accepted_errors: chosen.accepted_errors.clone(),
        skip_space_check: chosen.skip_space_check,
        cancel: options.cancel.clone(),
        ..RestoreOptions::new(made.path().join("datadir"))
    };
    let mut restored = Restored {
        name: name.clone(),
        tables: 0,
        tables_left: 0,
        checks: Vec::new(),
        restored_bytes: 0,
        merge_seconds: None,
        redo_seconds: None,
        check_seconds: None,
        gtid_verified: false,
        problems: Vec::new(),
    };
    let result = restore::plan(repo, name.as_str(), &wanted)
        .and_then(|plan| restore::run(repo, &plan, &wanted, progress));
    match result {
        Ok(report) => {
            restored.gtid_verified = report.gtid_verified;
            restored.restored_bytes = report.written_bytes;
            let seconds = |time: Duration| Some(time.as_secs_f64());
            restored.merge_seconds = seconds(report.merge_time);
            restored.redo_seconds = seconds(report.apply_time.saturating_sub(report.check_time));
            restored.check_seconds = seconds(report.check_time);
            if let Some(tables) = &report.tables {
                restored.tables = tables.tables;
                restored.tables_left = tables.left;
                let found = tables.findings.iter();
                restored.problems = found.map(|f| Problem::of_table(name, f)).collect();
            }
            let failed = report.queries.iter().filter(|query| !query.passed);
            let problems = failed.map(|query| Problem::of_query(name, query));
            restored.problems.extend(problems);
            restored.checks = report.queries;
        }
        Err(error) => restored.problems.push(failed(name, error)?),
    }
    let path = made.path().to_path_buf();
    made.close().map_err(refuse(path))?;
    Ok(restored)
}

/// Converts an error of the restore that concerns the backup into a problem; returns errors that
/// concern this machine.
fn failed(name: &BackupName, error: RestoreError) -> Result<Problem, RestoreError> {
    match error {
        error @ (RestoreError::Applier { .. }
        | RestoreError::Gtid { .. }
        | RestoreError::MissingTables { .. }) => Ok(Problem::new(
            ProblemKind::Restore,
            name.as_str(),
            error.to_string(),
            "a server that starts on it, at the recorded position",
        )),
        other => Problem::of_restore(other),
    }
}
