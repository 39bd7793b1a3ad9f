//! The base of an incremental: an LSN, or a directory with `xtrabackup_checkpoints`.

use super::table::Opt;
use super::{Failure, directory};
use crate::backup::{BackupOptions, BaseChoice, check_origin, history_lsn};
use crate::compat::log;
use crate::compat::options::Parsed;
use crate::innodb::Lsn;
use crate::manifest::{Checkpoints, MANIFEST, Manifest, line_value, parse_manifest};
use crate::server::{HistoryKey, Server};
use std::io::ErrorKind;
use std::path::Path;

/// Returns the base that the options choose; `None` for a full backup. An LSN wins over a directory: callers give both,
/// and then the directory has no backup. The history comes last.
pub(super) fn choice(
    options: &Parsed,
    backup: &BackupOptions,
) -> Result<Option<BaseChoice>, Failure> {
    if options.is_given(Opt::IncrementalLsn) {
        let text = options.text(Opt::IncrementalLsn)?.unwrap_or_default();
        return Ok(Some(BaseChoice::Lsn(lsn(text)?)));
    }
    if let Some(dir) = options.path(Opt::IncrementalBasedir) {
        named(&dir)?;
        return in_directory(&dir, backup).map(Some);
    }
    let name = options.text(Opt::IncrementalHistoryName)?;
    let uuid = options.text(Opt::IncrementalHistoryUuid)?;
    let key = match (name, uuid) {
        (None, None) => return Ok(None),
        (_, Some(uuid)) => HistoryKey::Uuid(uuid.to_owned()),
        (Some(name), None) => HistoryKey::Name(name.to_owned()),
    };
    let lsn = history_lsn(&backup.connect, &backup.cancel, &key, &backup.filter)
        .map_err(|error| Failure(error.to_string()))?;
    let (what, value) = match &key {
        HistoryKey::Name(name) => ("name", name),
        HistoryKey::Uuid(uuid) => ("uuid", uuid),
    };
    log::note(&format!("Found and using lsn: {lsn} for {what} {value}"));
    Ok(Some(BaseChoice::Lsn(lsn)))
}

/// Parses a whole decimal number. An empty text is not 0: it is the result of a script that found no LSN.
fn lsn(text: &str) -> Result<Lsn, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.map(Lsn).ok_or_else(|| {
        Failure(format!(
            "value '{text}' may be wrong format for incremental option; expected the to_lsn of the base, a decimal number"
        ))
    })
}

/// Refuses an empty path, the result of a script that found no directory: it would be the working directory.
fn named(dir: &Path) -> Result<(), Failure> {
    if dir.as_os_str().is_empty() {
        return Err(Failure(
            "--incremental-basedir is empty; expected the directory of the base".to_owned(),
        ));
    }
    Ok(())
}

/// Returns the base in a directory. Only `xtrabackup_checkpoints` has to be there. If lsnap's manifest is there too, and
/// is about the same backup, more can be checked.
fn in_directory(dir: &Path, backup: &BackupOptions) -> Result<BaseChoice, Failure> {
    let to_lsn = checkpoints(dir)?.to_lsn;
    match manifest(dir)? {
        Some(manifest)
            // `--prepare` may have merged other backups into the directory.
            if manifest.lsn.to_lsn == to_lsn
                // A chain with a manifest is encrypted as a whole or not at all.
                && manifest.is_encrypted() == backup.key.is_some() =>
        {
            return Ok(BaseChoice::Given(Box::new(manifest)));
        }
        Some(manifest) => check_origin(&backup.connect, &backup.cancel, &manifest)
            .map_err(|error| Failure(error.to_string()))?,
        None => same_server(dir, backup)?,
    }
    log::note(&format!("incremental backup from LSN {to_lsn} is enabled."));
    Ok(BaseChoice::Lsn(to_lsn))
}

/// Refuses a base of another server, as far as the directory has its UUID: the LSNs of two servers can't be compared, and
/// pages that changed would be missing from the backup.
fn same_server(dir: &Path, backup: &BackupOptions) -> Result<(), Failure> {
    let path = dir.join("backup-my.cnf");
    // An --extra-lsndir doesn't have it, and it may be compressed or encrypted.
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(());
    };
    let Some(base) = line_value(&text, "server_uuid").filter(|uuid| !uuid.is_empty()) else {
        return Ok(());
    };
    let server = Server::connect_until(&backup.connect, &backup.cancel)
        .and_then(|mut server| server.identity())
        .map_err(|error| Failure(error.to_string()))?
        .server_uuid;
    if base == server {
        return Ok(());
    }
    Err(wrong(
        &path,
        format!(
            "it is a backup of server {base}, this one is {server}; take a full backup, or, if this server was restored \
             from that backup and no other, give its to_lsn with --incremental-lsn"
        ),
    ))
}

fn wrong(path: &Path, what: impl std::fmt::Display) -> Failure {
    Failure(format!("--incremental-basedir: {}: {what}", path.display()))
}

fn checkpoints(dir: &Path) -> Result<Checkpoints, Failure> {
    let path = dir.join(directory::CHECKPOINTS);
    let text = std::fs::read(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => wrong(
            &path,
            "it is missing, so this is no backup, or one that failed; name the directory of a backup, or an --extra-lsndir",
        ),
        _ => wrong(&path, error),
    })?;
    Checkpoints::parse(&text).map_err(|what| wrong(&path, what))
}

fn manifest(dir: &Path) -> Result<Option<Manifest>, Failure> {
    let path = dir.join(MANIFEST);
    match std::fs::read(&path) {
        Ok(text) => parse_manifest(&text)
            .map(Some)
            .map_err(|what| wrong(&path, what)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(&path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_path_is_no_directory() {
        assert!(named(Path::new("")).is_err());
        assert!(named(Path::new(".")).is_ok());
    }

    #[test]
    fn an_lsn_is_a_whole_decimal_number() {
        assert_eq!(lsn("0").unwrap(), Lsn(0));
        assert_eq!(lsn("18446744073709551615").unwrap(), Lsn(u64::MAX));
        for text in ["", "1k", "-1", "+1", "0x10", " 1", "18446744073709551616"] {
            assert!(lsn(text).is_err(), "{text:?}");
        }
    }
}
