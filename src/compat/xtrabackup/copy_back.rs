//! `--copy-back` and `--move-back`.

use super::table::Opt;
use super::{Failure, target, threads};
use crate::cli;
use crate::compat::log;
use crate::compat::options::Parsed;
use crate::counted::count;
use crate::progress::Silent;
use crate::restore::{BackOptions, BackReport, back};
use std::path::Path;

pub(super) fn run(options: &Parsed) -> Result<(), Failure> {
    let mut how = back_options(options)?;
    how.cancel = cli::on_signal("the files that were placed stay").map_err(Failure)?;
    let report = back(&how, &Silent).map_err(|error| Failure(error.to_string()))?;
    tell(&how, &report);
    Ok(())
}

fn back_options(options: &Parsed) -> Result<BackOptions, Failure> {
    let datadir = options.path(Opt::Datadir);
    let datadir = datadir.filter(|path| !path.as_os_str().is_empty());
    let datadir = datadir.ok_or_else(|| {
        Failure(
            "Please set parameter 'datadir': give --datadir, or an option file with it in [mysqld]"
                .to_owned(),
        )
    })?;
    let mut how = BackOptions::new(target(options), datadir);
    how.move_files = options.is_on(Opt::MoveBack);
    how.force_non_empty = options.is_on(Opt::ForceNonEmptyDirectories);
    how.undo_directory = options.path(Opt::InnodbUndoDirectory);
    how.data_home = options.path(Opt::InnodbDataHomeDir);
    how.data_file_path = options.text(Opt::InnodbDataFilePath)?.map(str::to_owned);
    how.redo_directory = options.path(Opt::InnodbLogGroupHomeDir);
    how.log_bin = options.path(Opt::LogBin);
    how.log_bin_index = options.path(Opt::LogBinIndex);
    how.parallel = threads(options);
    Ok(how)
}

fn tell(how: &BackOptions, report: &BackReport) {
    for warning in &report.warnings {
        log::warning(warning);
    }
    if report.continued {
        log::note("a former run did not end; this one continued it");
    }
    let done = if how.move_files { "moved" } else { "copied" };
    log::note(&format!(
        "{} {done} to {}",
        count(report.files, "file"),
        how.datadir.display()
    ));
    let mut outside: Vec<&Path> = report
        .external
        .iter()
        .filter_map(|path| path.parent())
        .collect();
    outside.sort_unstable();
    outside.dedup();
    for directory in outside {
        log::note(&format!(
            "{} has tablespaces: innodb_directories of the server must have it",
            directory.display()
        ));
    }
    if rustix::process::geteuid().is_root() {
        log::note(&format!(
            "the files belong to the account that wrote them, as with the original: before the server starts, run \
             chown -R mysql:mysql {}",
            how.datadir.display()
        ));
    }
}
