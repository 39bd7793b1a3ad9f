//! The small metadata files for `xtrabackup --prepare` and for users.
//!
//! Names, order of lines and spelling are those of `docs/format/checkpoints.md`; some readers parse
//! by position.

use crate::datadir::Tablespace;
use crate::innodb::{Lsn, base_names};
use crate::manifest::filter::INFO_KEY;
use crate::manifest::{BackupKind, LsnRange, TableFilter};
use crate::server::{BinlogPosition, Identity, LogStatus, Variables};
use chrono::{DateTime, Local, Utc};
use std::fmt::Write as _;

/// File name of the backup's redo (`docs/format/redo.md#xtrabackup_logfile`).
pub(super) const LOGFILE: &str = "xtrabackup_logfile";

/// The release of xtrabackup whose files are written, as `xtrabackup --version` shows it. Programs parse it.
pub const XTRABACKUP_VERSION: &str = "8.4.0-4";

/// The metadata files whose name a schema's directory can have. (A dot or a hyphen in a schema's
/// name is encoded in the directory's name.)
pub(super) const FILES: [&str; 7] = [
    "xtrabackup_binlog_info",
    "xtrabackup_checkpoints",
    "xtrabackup_galera_info",
    "xtrabackup_info",
    LOGFILE,
    "xtrabackup_slave_info",
    "xtrabackup_tablespaces",
];

/// Returns the text of `xtrabackup_checkpoints`
/// (`docs/format/checkpoints.md#xtrabackup_checkpoints`), which readers parse by position.
pub(super) fn checkpoints(kind: BackupKind, lsn: &LsnRange, flushed: Lsn) -> String {
    let kind = match kind {
        BackupKind::Full => "full-backuped",
        BackupKind::Incremental => "incremental",
    };
    format!(
        "backup_type = {kind}\nfrom_lsn = {}\nto_lsn = {}\nlast_lsn = {}\nflushed_lsn = {flushed}\n\
         redo_memory = 0\nredo_frames = 0\n",
        lsn.from_lsn, lsn.to_lsn, lsn.last_lsn
    )
}

/// The values in `xtrabackup_info`.
pub(super) struct Info<'a> {
    pub uuid: &'a str,
    pub name: &'a str,
    pub command: &'a str,
    pub identity: &'a Identity,
    pub started: DateTime<Utc>,
    pub ended: DateTime<Utc>,
    pub lock_seconds: u64,
    pub status: &'a LogStatus,
    pub kind: BackupKind,
    pub lsn: &'a LsnRange,
    pub compressed: bool,
    pub encrypted: bool,
    /// Whether a filter leaves out tables.
    pub partial: bool,
    /// The filter, if there is one.
    pub filter: Option<&'a TableFilter>,
    pub in_directory: bool,
}

/// Returns the text of `xtrabackup_info` (`docs/format/checkpoints.md#xtrabackup_info`).
pub(super) fn info(i: &Info<'_>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let time = |t: DateTime<Utc>| {
        t.with_timezone(&Local)
            .format("%Y-%m-%d %H:%M:%S")
            .to_string()
    };
    let format = if i.in_directory { "file" } else { "xbstream" };
    let yes = |is: bool, word: &str| if is { word } else { "N" }.to_owned();
    let lines = [
        ("uuid", i.uuid.to_owned()),
        ("name", i.name.to_owned()),
        ("tool_name", "lsnap".to_owned()),
        ("tool_command", i.command.to_owned()),
        ("tool_version", version.to_owned()),
        ("ibbackup_version", XTRABACKUP_VERSION.to_owned()),
        ("server_version", i.identity.version_string.clone()),
        ("server_flavor", i.identity.flavor.to_string()),
        ("start_time", time(i.started)),
        ("end_time", time(i.ended)),
        ("lock_time", i.lock_seconds.to_string()),
        ("binlog_pos", binlog_pos(i.status, i.identity)),
        ("innodb_from_lsn", i.lsn.from_lsn.to_string()),
        ("innodb_to_lsn", i.lsn.to_lsn.to_string()),
        ("partial", yes(i.partial, "Y")),
        ("incremental", yes(i.kind == BackupKind::Incremental, "Y")),
        ("format", format.to_owned()),
        ("compressed", yes(i.compressed, "compressed")),
        ("encrypted", yes(i.encrypted, "Y")),
        ("lock_ddl_type", "ON".to_owned()),
    ];
    let filter = i.filter.map(|filter| (INFO_KEY, filter.to_info()));
    lines
        .iter()
        .chain(&filter)
        .fold(String::new(), |mut out, (key, value)| {
            // Readers count lines.
            let value = value.replace(['\n', '\r'], " ");
            let _ = writeln!(out, "{key} = {value}");
            out
        })
}

/// Returns the GTID set that is part of a position: xtrabackup leaves it out unless `gtid_mode` is `ON`, because a replica
/// can't be configured by it.
fn gtids<'a>(position: &'a BinlogPosition, identity: &Identity) -> &'a str {
    if identity.gtid_mode == "ON" {
        &position.gtid_executed
    } else {
        ""
    }
}

fn binlog_pos(status: &LogStatus, identity: &Identity) -> String {
    let Some(b) = &status.binlog else {
        return String::new();
    };
    let mut out = format!("filename '{}', position '{}'", b.file, b.position);
    let gtids = gtids(b, identity);
    if !gtids.is_empty() {
        let _ = write!(out, ", GTID of the last change '{gtids}'");
    }
    out
}

/// Returns the text of `xtrabackup_binlog_info`
/// (`docs/format/checkpoints.md#xtrabackup_binlog_info`); `None` if the server writes no binary
/// log.
pub(super) fn binlog_info(status: &LogStatus, identity: &Identity) -> Option<String> {
    let b = status.binlog.as_ref()?;
    let gtids = gtids(b, identity);
    Some(if gtids.is_empty() {
        format!("{}\t{}\n", b.file, b.position)
    } else {
        format!("{}\t{}\t{gtids}\n", b.file, b.position)
    })
}

/// Returns the text of `backup-my.cnf` (`docs/format/checkpoints.md#backup-mycnf`): prepare and a
/// restored server need the page size and the layout.
pub(super) fn backup_my_cnf(v: &Variables, identity: &Identity) -> String {
    let on = |b: bool| if b { "ON" } else { "OFF" };
    format!(
        "# This MySQL options file was generated by lsnap.\n\n# The server\n[mysqld]\n\
         innodb_checksum_algorithm={}\ninnodb_log_checksums=1\ninnodb_data_file_path={}\n\
         innodb_log_file_size={}\ninnodb_page_size={}\ninnodb_undo_directory={}\n\
         innodb_undo_tablespaces={}\nserver_id={}\ninnodb_log_checksums=ON\n\
         innodb_redo_log_encrypt={}\ninnodb_undo_log_encrypt={}\n\
         innodb_buffer_pool_filename={}\nplugin_load=\nserver_uuid={}\nmaster_key_id=0\n",
        v.checksum_algorithm,
        base_names(&v.innodb_data_file_path),
        v.log_file_size.unwrap_or(v.redo_log_capacity),
        v.page_size,
        "./",
        v.undo_tablespaces.unwrap_or(2),
        v.server_id,
        on(v.redo_log_encrypt),
        on(v.undo_log_encrypt),
        v.buffer_pool_filename,
        identity.server_uuid,
    )
}

/// An entry of `xtrabackup_tablespaces`.
#[derive(serde::Serialize)]
struct ExternalTablespace<'a> {
    file_name: String,
    tablespace_name: &'a str,
    tablespace_type: &'static str,
}

/// Returns the text of `xtrabackup_tablespaces`
/// (`docs/format/checkpoints.md#xtrabackup_tablespaces`): the tablespaces outside of the datadir,
/// and the undo tablespaces. xbcloud interprets the presence of the file as the sign of a complete
/// backup, so only the manifest is stored after it.
pub(super) fn tablespaces<'a>(spaces: impl Iterator<Item = &'a Tablespace>) -> String {
    use crate::datadir::TablespaceKind::{General, Undo};
    let external: Vec<_> = spaces
        .filter(|t| t.kind == Undo || (t.kind == General && t.external.is_some()))
        .map(|t| ExternalTablespace {
            file_name: t.source.display().to_string(),
            tablespace_name: t.tablespace_name.as_deref().unwrap_or_default(),
            tablespace_type: if t.kind == Undo {
                "UNDO_LOG"
            } else {
                "TABLESPACE"
            },
        })
        .collect();
    serde_json::json!({"version": 2, "external_tablespaces": external}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LSN: LsnRange = LsnRange {
        from_lsn: Lsn(100),
        scan_floor: Lsn(90),
        start_checkpoint: Lsn(150),
        to_lsn: Lsn(200),
        last_lsn: Lsn(300),
    };

    #[test]
    fn checkpoints_has_the_order_of_lines_that_readers_parse() {
        assert_eq!(
            checkpoints(BackupKind::Incremental, &LSN, Lsn(7)),
            "backup_type = incremental\nfrom_lsn = 100\nto_lsn = 200\nlast_lsn = 300\n\
             flushed_lsn = 7\nredo_memory = 0\nredo_frames = 0\n"
        );
        assert!(
            checkpoints(BackupKind::Full, &LSN, Lsn(7))
                .starts_with("backup_type = full-backuped\n")
        );
    }
}
