//! `--backup`.

use super::extra_lsndir::ExtraLsndir;
use super::table::Opt;
use super::{Failure, base, connection, directory, filter, target, threads, unpack};
use crate::archive::fifo::{self, FifoOptions};
use crate::backup::{
    BackupHistory, BackupOptions, BackupReport, BufferPool, Output, Throttle, TrackingChoice,
    run_stream,
};
use crate::cli;
use crate::codec::Compression;
use crate::compat::log;
use crate::compat::options::Parsed;
use crate::compat::secrets;
use crate::manifest::{BackupKind, SourcePosition, line_value};
use crate::progress::Progress;
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
    let extra = options
        .path(Opt::ExtraLsndir)
        .map(ExtraLsndir::open)
        .transpose()?;
    let history = options
        .is_given(Opt::History)
        .then(|| BackupHistory::open(&backup.connect, &backup.cancel))
        .transpose()
        .map_err(|error| Failure(error.to_string()))?;
    let target = target(options);
    let report = if options.is_given(Opt::Stream) {
        let outputs = outputs(options, &backup)?;
        let report = run_stream(outputs, None, &backup, &Notes)
            .map_err(|error| Failure(error.to_string()))?;
        cli::sync_output().map_err(Failure)?;
        report
    } else {
        directory::run(&target, &backup, threads(options))?
    };
    // Of a stream too, as xtrabackup writes it.
    log::note(&format!(
        "Backup created in directory '{}'",
        target.display()
    ));
    tell(&report, backup.slave_info);
    if let Some(history) = history {
        history
            .add(&report)
            .map_err(|error| Failure(error.to_string()))?;
    }
    // Last: the next incremental begins at its LSN, also if this run failed and its backup was removed.
    if let Some(extra) = extra {
        extra.write(&report)?;
    }
    Ok(())
}

fn backup_options(options: &Parsed, args: &[OsString]) -> Result<BackupOptions, Failure> {
    let mut backup = BackupOptions::new(connection::options(options)?);
    backup.threads = threads(options);
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
    backup.cancel = cli::on_signal("the backup is being cancelled").map_err(Failure)?;
    backup.incremental = base::choice(options, &backup)?;
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
    backup.filter = filter::of(options)?;
    backup.allow_untested = options.is_on(Opt::NoServerVersionCheck);
    backup.command = secrets::masked(args, secrets::XTRABACKUP_LETTERS);
    backup.into_directory = !options.is_given(Opt::Stream);
    let series = options.text(Opt::History)?.unwrap_or_default();
    backup.info_name = Some(series.to_owned());
    backup.slave_info = options.is_on(Opt::SlaveInfo);
    backup.galera_info = options.is_on(Opt::GaleraInfo);
    backup.dump_buffer_pool = options
        .is_on(Opt::DumpInnodbBufferPool)
        .then(|| buffer_pool(options));
    Ok(backup)
}

fn buffer_pool(options: &Parsed) -> BufferPool {
    let seconds = options.number(Opt::DumpInnodbBufferPoolTimeout);
    let percent = options.number(Opt::DumpInnodbBufferPoolPct);
    BufferPool {
        timeout: Duration::from_secs(seconds.unwrap_or(10)),
        percent: percent.filter(|percent| *percent > 0),
    }
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

fn outputs(options: &Parsed, backup: &BackupOptions) -> Result<Vec<Output>, Failure> {
    let count = options.number(Opt::FifoStreams).unwrap_or(1);
    let files = match options.path(Opt::FifoDir) {
        // With one stream, the original uses standard output.
        Some(directory) if count > 1 => {
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
        _ => vec![cli::standard_output().map_err(Failure)?],
    };
    Ok(files
        .into_iter()
        .map(|file| Box::new(file) as Output)
        .collect())
}

/// Writes the lines that callers look for.
fn tell(report: &BackupReport, slave_info: bool) {
    let manifest = &report.manifest;
    let position = line_value(&report.info, "binlog_pos").unwrap_or_default();
    if !position.is_empty() {
        log::note(&format!("MySQL binlog position: {position}"));
    }
    if let Some(replica) = manifest.replica.as_ref().filter(|_| slave_info) {
        for channel in &replica.channels {
            log::note(&slave_position(channel, &replica.gtid_executed));
        }
    }
    let lsn = &manifest.lsn;
    let tracked = manifest.page_tracking.as_ref();
    if manifest.kind == BackupKind::Incremental && !tracked.is_some_and(|tracking| tracking.used) {
        log::note("using the full scan for incremental backup");
    }
    log::note(&format!(
        "The latest check point (for incremental): '{}'",
        lsn.to_lsn
    ));
    log::note(&format!(
        "Transaction log of lsn ({}) to ({}) was copied.",
        lsn.start_checkpoint, lsn.last_lsn
    ));
}

/// Returns the line with a replica's position in its source.
fn slave_position(channel: &SourcePosition, gtids: &str) -> String {
    let position = match (&channel.file, channel.position) {
        _ if channel.auto_position => format!("purge list '{gtids}'"),
        (Some(file), Some(position)) => format!("filename '{file}', position '{position}'"),
        _ => "filename '', position ''".to_owned(),
    };
    format!(
        "MySQL slave binlog position: master host '{}', {position}, channel name: '{}'",
        channel.host, channel.channel
    )
}

/// Writes the notes of the library.
pub(super) struct Notes;

impl Progress for Notes {
    fn note(&self, message: &str) {
        log::note(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_of_a_replica_has_the_form_that_callers_parse() {
        let mut channel = SourcePosition {
            channel: "c".to_owned(),
            host: "db1".to_owned(),
            port: 3306,
            auto_position: false,
            file: Some("bin.000007".to_owned()),
            position: Some(4),
            unknown: None,
        };
        let line = "MySQL slave binlog position: master host 'db1', ";
        assert_eq!(
            slave_position(&channel, "u:1"),
            format!("{line}filename 'bin.000007', position '4', channel name: 'c'")
        );
        channel.auto_position = true;
        assert_eq!(
            slave_position(&channel, "u:1"),
            format!("{line}purge list 'u:1', channel name: 'c'")
        );
    }
}
