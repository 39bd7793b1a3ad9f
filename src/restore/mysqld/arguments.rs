//! The command line of the recovering server.

use super::{Paths, Recovery, Run, missing, recorded_gtids};
use crate::restore::RestoreError;
use crate::restore::binary_log::BinaryLog;
use crate::restore::data_files;
use std::ffi::OsString;
use std::path::Path;

/// Redo log length in bytes below which native AIO is turned off. With it, a shutdown takes half a
/// second longer, because each I/O thread checks only at intervals whether it must end (seen with
/// 9.7.4 under strace; `os0file.cc` has the timeout). With more redo, pages are read in batches,
/// which benefit from the depth of its queue.
const LITTLE_REDO: u64 = 64 << 20;

/// Returns the command line without the account and the caller's own options. Options that some
/// supported releases don't know have the prefix `--loose-`.
pub(super) fn arguments(
    run: &Recovery<'_>,
    paths: &Paths,
    which: Run,
) -> Result<Vec<OsString>, RestoreError> {
    let server = &run.manifest.server;
    let mut arguments: Vec<OsString> = vec!["--no-defaults".into()];
    let mut path = |option: &str, value: &Path| {
        let mut argument = OsString::from(option);
        argument.push(value);
        arguments.push(argument);
    };
    path("--datadir=", &paths.root);
    path("--innodb-data-home-dir=", &paths.root);
    path("--innodb-undo-directory=", &paths.root);
    path("--innodb-log-group-home-dir=", &paths.root);
    path("--tmpdir=", &paths.temporary);
    path("--innodb-tmpdir=", &paths.temporary);
    path("--socket=", &paths.socket);
    path("--pid-file=", &paths.pid);
    path("--log-error=", &paths.log);
    // The directory in which the server looks up names of the source's tables of replicas and
    // channels.
    path("--relay-log=", &paths.temporary.join("relay"));
    path("--relay-log-index=", &paths.temporary.join("relay.index"));
    let data_file_path = data_files::of(run.manifest)?;
    arguments.push(format!("--innodb-data-file-path={data_file_path}").into());
    arguments.push(format!("--innodb-page-size={}", server.page_size).into());
    arguments.push(format!("--lower-case-table-names={}", server.lower_case_table_names).into());
    arguments.push(format!("--innodb-buffer-pool-size={}", run.options.use_memory).into());
    for option in [
        "--log-error-verbosity=3",
        "--skip-networking",
        // The server must not remove files that are in an index.
        "--binlog-expire-logs-seconds=0",
        "--loose-binlog-expire-logs-auto-purge=OFF",
        "--loose-relay-log-purge=OFF",
        "--persisted-globals-load=OFF",
        "--log-output=NONE",
        "--loose-mysqlx=OFF",
        "--skip-grant-tables",
        "--skip-name-resolve",
        "--skip-replica-start",
        "--event-scheduler=DISABLED",
        "--skip-slow-query-log",
        "--skip-general-log",
        "--performance-schema=OFF",
        "--secure-file-priv=",
        "--innodb-fast-shutdown=1",
        "--innodb-buffer-pool-load-at-startup=OFF",
        "--innodb-buffer-pool-dump-at-shutdown=OFF",
        "--loose-auto-generate-certs=OFF",
        "--loose-sha256-password-auto-generate-rsa-keys=OFF",
        "--loose-caching-sha2-password-auto-generate-rsa-keys=OFF",
    ] {
        arguments.push(option.into());
    }
    let doublewrite = if run.place.in_place { "ON" } else { "OFF" };
    arguments.push(format!("--innodb-doublewrite={doublewrite}").into());
    if run.plan.redo_bytes < LITTLE_REDO {
        arguments.push("--innodb-use-native-aio=OFF".into());
    }
    if which == Run::First {
        arguments.extend(missing::FIRST_RUN.map(OsString::from));
        return Ok(arguments);
    }
    arguments.extend(binary_log(run.log, paths));
    if recorded_gtids(run.manifest).is_some() {
        arguments.push("--enforce-gtid-consistency=ON".into());
        arguments.push("--gtid-mode=ON".into());
    }
    Ok(arguments)
}

/// Returns the options of the binary log. Recovery reads its end to find the prepared transactions
/// that were committed; without it they would be rolled back, although the recorded position is
/// after them.
fn binary_log(log: Option<&BinaryLog>, paths: &Paths) -> Vec<OsString> {
    if log.is_none() {
        return vec!["--disable-log-bin".into()];
    }
    let names = [
        ("--log-bin=", BinaryLog::stem()),
        ("--log-bin-index=", BinaryLog::index()),
    ];
    names
        .map(|(option, name)| {
            let mut argument = OsString::from(option);
            argument.push(paths.binlog.join(name));
            argument
        })
        .into()
}
