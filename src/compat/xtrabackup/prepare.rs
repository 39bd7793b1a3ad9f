//! `--prepare`.

use super::extra_lsndir::ExtraLsndir;
use super::table::Opt;
use super::{Failure, target, threads};
use crate::cli;
use crate::compat::log;
use crate::compat::options::Parsed;
use crate::progress::Silent;
use crate::restore::prepare::{PrepareError, PrepareOptions, PrepareReport, Prepared, prepare};
use crate::restore::{ApplierChoice, RestoreError};
use std::ffi::OsString;
use std::path::PathBuf;

/// The environment variable with the program that applies the redo log; callers of xtrabackup
/// can't give an option of lsnap.
const APPLIER: &str = "LSNAP_REDO_APPLIER";
/// The environment variable with the path of the server program.
const MYSQLD: &str = "LSNAP_MYSQLD";

pub(super) fn run(options: &Parsed) -> Result<(), Failure> {
    let step = step_options(options)?;
    log::note(&format!("prepare of {}", step.target.display()));
    let extra = options
        .path(Opt::ExtraLsndir)
        .map(ExtraLsndir::open)
        .transpose()?;
    let report = prepare(&step, &Silent).map_err(|error| Failure(text(&error)))?;
    tell(&report);
    if let Some(extra) = extra {
        extra.copy(&step.target)?;
    }
    Ok(())
}

fn step_options(options: &Parsed) -> Result<PrepareOptions, Failure> {
    let mut step = PrepareOptions::new(target(options));
    step.incremental = options.path(Opt::IncrementalDir);
    step.log_only = options.is_on(Opt::ApplyLogOnly);
    step.applier = applier(std::env::var_os(APPLIER))?;
    step.mysqld = std::env::var_os(MYSQLD)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    step.threads = threads(options);
    step.rollback_prepared = options.is_on(Opt::RollbackPreparedTrx);
    step.export = options.is_on(Opt::Export);
    if let Some(bytes) = options.number(Opt::UseMemory) {
        step.use_memory = bytes;
    }
    step.keyring_config = options.path(Opt::ComponentKeyringConfig);
    if let Some(file) = options.path(Opt::KeyringFileData) {
        step.mysqld_args
            .push("--early-plugin-load=keyring_file.so".to_owned());
        step.mysqld_args
            .push(format!("--keyring-file-data={}", file.display()));
    }
    if let Some(number) = options.number(Opt::LowerCaseTableNames) {
        step.mysqld_args
            .push(format!("--lower-case-table-names={number}"));
    }
    step.cancel =
        cli::on_signal("the step is being interrupted; it can be run again").map_err(Failure)?;
    Ok(step)
}

/// Returns the redo applier that the environment names.
fn applier(value: Option<OsString>) -> Result<ApplierChoice, Failure> {
    match value
        .as_deref()
        .map(|value| value.to_string_lossy())
        .as_deref()
    {
        None | Some("" | "auto") => Ok(ApplierChoice::Auto),
        Some("mysqld") => Ok(ApplierChoice::Mysqld),
        Some("server") => Ok(ApplierChoice::Server),
        Some(other) => Err(Failure(format!(
            "{APPLIER} is {other:?}, expected auto, mysqld or server"
        ))),
    }
}

/// Returns the message of an error in the words of xtrabackup's options.
fn text(error: &PrepareError) -> String {
    let text = match error {
        PrepareError::Used { path } => format!(
            "xtrabackup_logfile of {} was already used to '--prepare'. Extract or copy the backup again",
            path.display()
        ),
        PrepareError::Restore(RestoreError::Interrupted) => {
            "the step was interrupted. Run the same step again".to_owned()
        }
        PrepareError::Wrapped { path, layer } => format!(
            "{} was found instead of the plain file; run --{layer} on the directory first",
            path.display()
        ),
        PrepareError::Unfinished {
            target,
            incremental,
            log_only,
        } => {
            let mut step = format!("--prepare --target-dir={}", target.display());
            if *log_only {
                step += " --apply-log-only";
            }
            if let Some(incremental) = incremental {
                step += &format!(" --incremental-dir={incremental}");
            }
            format!(
                "{} is half prepared, because this step was interrupted: {step}. Run the same step again",
                target.display()
            )
        }
        other => other.to_string(),
    };
    [
        ("PrepareOptions::log_only", "--apply-log-only"),
        ("PrepareOptions::export", "--export"),
        (
            "RestoreOptions::mysqld",
            "the environment variable LSNAP_MYSQLD",
        ),
    ]
    .iter()
    .fold(text, |text, (field, option)| text.replace(field, option))
}

/// Writes the lines of a step that succeeded.
fn tell(report: &PrepareReport) {
    for warning in &report.warnings {
        log::warning(warning);
    }
    if report.continued {
        log::note("the step was interrupted before; it was continued");
    }
    match report.state {
        Prepared::Already => log::warning("This target seems to be already prepared."),
        Prepared::LogApplied => log::note(&format!(
            "the directory is ready for the next incremental: to_lsn {}, last_lsn {}",
            report.to_lsn, report.last_lsn
        )),
        Prepared::Ready => {
            if let Some(applier) = &report.applier {
                log::note(&format!("redo applier: {applier}"));
            }
            if report.rolled_back > 0 {
                let what = crate::counted::count(report.rolled_back, "prepared XA transaction");
                log::note(&format!("{what} rolled back"));
            }
            if let Some(tables) = report.exported {
                let what = crate::counted::count(tables, "table");
                log::note(&format!(
                    "{what} exported: .cfg files are next to the .ibd files"
                ));
            }
            log::note(&format!(
                "Shutdown completed; log sequence number {}",
                report.last_lsn
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_redo_applier() {
        let of = |value: &str| applier(Some(OsString::from(value)));
        assert_eq!(applier(None).unwrap(), ApplierChoice::Auto);
        for (value, expected) in [
            ("", ApplierChoice::Auto),
            ("auto", ApplierChoice::Auto),
            ("mysqld", ApplierChoice::Mysqld),
            ("server", ApplierChoice::Server),
        ] {
            assert_eq!(of(value).unwrap(), expected, "{value}");
        }
        assert!(of("xtrabackup").is_err() && of("x").is_err());
    }

    #[test]
    fn errors_have_the_words_of_xtrabackup() {
        let target = PathBuf::from("/t");
        let said = text(&PrepareError::NotLogApplied {
            target: target.clone(),
            found: "full-backuped".to_owned(),
        });
        let expected = "applying incremental backup needs target prepared with --apply-log-only.";
        assert!(said.starts_with(expected), "{said}");
        let said = text(&PrepareError::Unfinished {
            target: target.clone(),
            incremental: Some("/i".to_owned()),
            log_only: true,
        });
        assert!(
            said.contains("--prepare --target-dir=/t --apply-log-only --incremental-dir=/i"),
            "{said}"
        );
        let said = text(&PrepareError::Used { path: target });
        assert!(said.contains("was already used to '--prepare'"), "{said}");
    }
}
