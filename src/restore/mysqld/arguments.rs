//! The command line of the recovering server.

use super::{Paths, Recovery, recorded_gtids};
use crate::restore::RestoreError;
use crate::store::{FileEntry, FileRole, Manifest};
use std::ffi::OsString;
use std::path::Path;

/// With native AIO a shutdown takes half a second longer: each I/O thread looks only so often whether it is to
/// end (seen with 9.7.4 under strace; `os0file.cc` has the time-out). Pages of more redo than this, in bytes,
/// are read in batches, where the depth of its queue is worth more.
const LITTLE_REDO: u64 = 64 << 20;

/// The whole command line. Options that not every supported release knows are `--loose-` ones.
pub(super) fn arguments(run: &Recovery<'_>, paths: &Paths) -> Result<Vec<OsString>, RestoreError> {
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
    let data_file_path =
        base_names(&server.data_file_path).map_err(|what| RestoreError::Damaged {
            backup: run.plan.target.clone(),
            path: "lsnap_manifest.json".to_owned(),
            what,
        })?;
    arguments.push(format!("--innodb-data-file-path={data_file_path}").into());
    arguments.push(format!("--innodb-page-size={}", server.page_size).into());
    arguments.push(format!("--lower-case-table-names={}", server.lower_case_table_names).into());
    arguments.push(format!("--innodb-buffer-pool-size={}", run.options.use_memory).into());
    for option in [
        "--log-error-verbosity=3",
        "--skip-networking",
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
        "--innodb-doublewrite=OFF",
        "--innodb-buffer-pool-load-at-startup=OFF",
        "--innodb-buffer-pool-dump-at-shutdown=OFF",
        "--loose-auto-generate-certs=OFF",
        "--loose-sha256-password-auto-generate-rsa-keys=OFF",
        "--loose-caching-sha2-password-auto-generate-rsa-keys=OFF",
    ] {
        arguments.push(option.into());
    }
    if run.plan.redo_bytes < LITTLE_REDO {
        arguments.push("--innodb-use-native-aio=OFF".into());
    }
    arguments.extend(binary_log(run.manifest, &paths.root));
    if recorded_gtids(run.manifest).is_some() {
        arguments.push("--enforce-gtid-consistency=ON".into());
        arguments.push("--gtid-mode=ON".into());
    }
    if let Some(owner) = run.owner {
        arguments.push(format!("--user={}", owner.name).into());
    }
    arguments.extend(run.options.mysqld_args.iter().map(OsString::from));
    Ok(arguments)
}

/// The index of the backup's end of the binary log.
pub(super) fn binary_log_index(manifest: &Manifest) -> Option<&str> {
    let files = manifest
        .files
        .iter()
        .filter(|f| f.role == FileRole::BinaryLog);
    files
        .map(FileEntry::plain_path)
        .find(|path| path.ends_with(".index"))
}

/// The path of the backup's binary log without its number.
pub(super) fn binary_log_stem(manifest: &Manifest) -> Option<&str> {
    let file = &manifest.binlog.as_ref()?.file;
    file.rsplit_once('.').map(|(stem, _)| stem)
}

/// Recovery reads the end of the binary log to know which prepared transactions were committed;
/// without one they would be rolled back, although the recorded position lies behind them.
fn binary_log(manifest: &Manifest, root: &Path) -> Vec<OsString> {
    let (Some(index), Some(stem)) = (binary_log_index(manifest), binary_log_stem(manifest)) else {
        return vec!["--disable-log-bin".into()];
    };
    [("--log-bin=", stem), ("--log-bin-index=", index)]
        .map(|(option, name)| {
            let mut argument = OsString::from(option);
            argument.push(root.join(name));
            argument
        })
        .into()
}

/// `ibdata1:12M;/fast/ibdata2:50M:autoextend` with the files where the restore puts them.
fn base_names(data_file_path: &str) -> Result<String, String> {
    let files = data_file_path
        .split(';')
        .map(|file| {
            let (path, rest) = file.split_once(':').unwrap_or((file, ""));
            let name = path.rsplit('/').next().unwrap_or(path);
            let raw = rest
                .rsplit(':')
                .next()
                .is_some_and(|word| word.ends_with("raw"));
            if name.is_empty() || raw {
                return Err(format!(
                    "its innodb_data_file_path {data_file_path:?} has a file that cannot be restored as one: {file:?}"
                ));
            }
            Ok(format!("{name}:{rest}"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(files.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_files_are_looked_for_in_the_restored_directory() {
        assert_eq!(
            base_names("ibdata1:12M:autoextend").unwrap(),
            "ibdata1:12M:autoextend"
        );
        assert_eq!(
            base_names("ibdata1:12M;/fast/disk/ibdata2:50M:autoextend:max:5G").unwrap(),
            "ibdata1:12M;ibdata2:50M:autoextend:max:5G"
        );
        assert!(base_names("/dev/sdb1:10Graw").is_err());
        assert!(base_names("").is_err());
    }
}
