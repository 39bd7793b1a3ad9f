//! `--backup`.

use super::table::Opt;
use super::{Failure, connection, directory, target, threads, unpack};
use crate::archive::fifo::{self, FifoOptions};
use crate::backup::{
    BackupOptions, BackupReport, BaseChoice, Output, Throttle, TrackingChoice, run_stream,
};
use crate::cli;
use crate::codec::Compression;
use crate::compat::log;
use crate::compat::options::Parsed;
use crate::compat::secrets;
use crate::manifest::{MANIFEST, Manifest, parse_manifest};
use crate::progress::Silent;
use crate::server::Server;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The unit of `--throttle`: bytes a second.
const THROTTLE_UNIT: u64 = 10 << 20;

pub(super) fn run(options: &Parsed, args: &[OsString]) -> Result<(), Failure> {
    let backup = backup_options(options, args)?;
    if let Some(datadir) = options.path(Opt::Datadir) {
        check_datadir(&datadir, &backup)?;
    }
    let fifos = [Opt::FifoDir, Opt::FifoStreams];
    if !options.is_given(Opt::Stream) && fifos.iter().any(|option| options.is_given(*option)) {
        return Err(Failure(
            "--fifo-streams and --fifo-dir need --stream".to_owned(),
        ));
    }
    let report = if options.is_given(Opt::Stream) {
        let outputs = outputs(options, &backup)?;
        run_stream(outputs, None, &backup, &Silent).map_err(|error| Failure(error.to_string()))?
    } else {
        let target = target(options);
        let report = directory::run(&target, &backup, threads(options))?;
        log::note(&format!(
            "Backup created in directory '{}'",
            target.display()
        ));
        report
    };
    tell(&report);
    Ok(())
}

fn backup_options(options: &Parsed, args: &[OsString]) -> Result<BackupOptions, Failure> {
    let mut backup = BackupOptions::new(connection::options(options)?);
    backup.threads = threads(options);
    backup.incremental = match options.path(Opt::IncrementalBasedir) {
        Some(dir) => Some(BaseChoice::Given(Box::new(manifest_in(&dir)?))),
        None => None,
    };
    backup.compression = compression(options)?;
    backup.uncompressed = backup.compression.is_none();
    if let Some(algorithm) = options.word(Opt::Encrypt) {
        let key = unpack::key(options, algorithm)?.ok_or_else(|| {
            Failure(
                "--encrypt needs a key; give it with --encrypt-key-file or --encrypt-key"
                    .to_owned(),
            )
        })?;
        backup.key = Some(key);
    } else if options.is_given(Opt::EncryptKey) || options.is_given(Opt::EncryptKeyFile) {
        log::warning("a key was given without --encrypt: the backup is not encrypted");
    }
    if let Some(directory) = options.path(Opt::Tmpdir) {
        backup.spool_dir = first_of(&directory);
    }
    backup.throttle = options
        .number(Opt::Throttle)
        .and_then(|units| NonZeroU64::new(units.saturating_mul(THROTTLE_UNIT)))
        .map(Throttle::Rate);
    backup.page_tracking =
        if options.is_on(Opt::PageTracking) && !options.is_on(Opt::IncrementalForceScan) {
            TrackingChoice::On
        } else {
            TrackingChoice::Off
        };
    if let Some(lock) = options.word(Opt::LockDdl)
        && !["ON", "1", "TRUE"].contains(&lock)
    {
        log::note("the instance lock is held from the start: --lock-ddl=ON");
    }
    if let Some(seconds) = options.number(Opt::LockDdlTimeout) {
        backup.lock_timeout = Duration::from_secs(seconds);
    }
    if options.is_on(Opt::SafeSlaveBackup) {
        let seconds = options.number(Opt::SafeSlaveBackupTimeout).unwrap_or(300);
        backup.stop_applier = Some(Duration::from_secs(seconds));
    }
    backup.allow_untested = options.is_on(Opt::NoServerVersionCheck);
    backup.command = secrets::masked(args, secrets::XTRABACKUP_LETTERS);
    backup.cancel = cli::on_signal("the backup is being cancelled").map_err(Failure)?;
    Ok(backup)
}

/// Returns the first directory of a list with colons.
fn first_of(directories: &Path) -> PathBuf {
    let bytes = directories.as_os_str().as_bytes();
    let first = bytes.split(|byte| *byte == b':').next();
    PathBuf::from(OsStr::from_bytes(first.unwrap_or(bytes)))
}

/// Refuses a data directory that is not the server's: the options are for another server.
fn check_datadir(given: &Path, backup: &BackupOptions) -> Result<(), Failure> {
    let server = Server::connect_until(&backup.connect, &backup.cancel)
        .and_then(|mut server| server.variables())
        .map_err(|error| Failure(error.to_string()))?
        .datadir;
    let resolved = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if resolved(given) == resolved(&server) {
        return Ok(());
    }
    Err(Failure(format!(
        "--datadir is {}, but the data directory of the server is {}; connect to the other server, or correct --datadir",
        given.display(),
        server.display()
    )))
}

fn compression(options: &Parsed) -> Result<Option<Compression>, Failure> {
    if !options.is_given(Opt::Compress) {
        return Ok(None);
    }
    let how = match options.word(Opt::Compress) {
        Some("quicklz") => {
            return Err(Failure(
                "--compress=quicklz: xtrabackup 8 can't write it any more; use zstd or lz4"
                    .to_owned(),
            ));
        }
        Some("lz4") => "lz4".to_owned(),
        Some(_) | None => {
            let level = options.number(Opt::CompressZstdLevel).unwrap_or(1);
            format!("zstd:{level}")
        }
    };
    how.parse()
        .map(Some)
        .map_err(|error| Failure(format!("--compress: {error}")))
}

/// Returns the manifest of an incremental's base.
fn manifest_in(dir: &Path) -> Result<Manifest, Failure> {
    let path = dir.join(MANIFEST);
    let wrong = |what: String| {
        Failure(format!(
            "--incremental-basedir: {}: {what}; expected a backup that lsnap made",
            path.display()
        ))
    };
    if !dir.join(directory::CHECKPOINTS).exists() {
        return Err(wrong(format!(
            "{} is missing, so the backup failed",
            directory::CHECKPOINTS
        )));
    }
    let text = std::fs::read(&path).map_err(|error| wrong(error.to_string()))?;
    parse_manifest(&text).map_err(|error| wrong(error.to_string()))
}

fn outputs(options: &Parsed, backup: &BackupOptions) -> Result<Vec<Output>, Failure> {
    let count = options.number(Opt::FifoStreams).unwrap_or(1);
    let files = match options.path(Opt::FifoDir) {
        Some(directory) => {
            let fifos = FifoOptions {
                directory,
                count: usize::try_from(count).unwrap_or(1),
                timeout: Duration::from_secs(options.number(Opt::FifoTimeout).unwrap_or(60)),
                cancel: backup.cancel.clone(),
            };
            fifo::writers(&fifos).map_err(|error| Failure(error.to_string()))?
        }
        None if count > 1 => {
            return Err(Failure("--fifo-streams needs --fifo-dir".to_owned()));
        }
        None => vec![cli::standard_output().map_err(Failure)?],
    };
    Ok(files
        .into_iter()
        .map(|file| Box::new(file) as Output)
        .collect())
}

/// Writes the lines that callers look for.
fn tell(report: &BackupReport) {
    let manifest = &report.manifest;
    for warning in &report.warnings {
        log::warning(warning);
    }
    if let Some(binlog) = &manifest.binlog {
        let gtid = match binlog.gtid_executed.as_str() {
            "" => String::new(),
            set => format!(", GTID of the last change '{}'", set.replace('\n', "")),
        };
        log::note(&format!(
            "MySQL binlog position: filename '{}', position '{}'{gtid}",
            binlog.file, binlog.position
        ));
    }
    let lsn = &manifest.lsn;
    log::note(&format!(
        "The latest check point (for incremental): '{}'",
        lsn.to_lsn
    ));
    log::note(&format!(
        "Transaction log of lsn ({}) to ({}) was copied.",
        lsn.start_checkpoint, lsn.last_lsn
    ));
}
