//! `performance_schema.log_status`, and the flushes and status variables that belong to it.
//!
//! The meaning of one read: the server holds the binary log's write lock, the GTID lock and
//! InnoDB's log at the same time. But a group of transactions is *written to the binary log first*,
//! then synced, and only then committed in InnoDB and added to `gtid_executed`, under other locks.
//! So:
//! * Transactions that InnoDB has committed at `lsn` are always in the binary log before
//!   `position`.
//! * The reverse is true on servers that wait for the group, from 8.0.42, 8.4.5 and 9.3.0 on: of
//!   2,800 reads of 9.7.4 under load, with `binlog_order_commits` on and off, all agreed with the
//!   binary log. Older servers (MySQL bugs 102175 and 112331, Percona's PS-7873) don't wait:
//!   transactions before `position` may be only *prepared* at `lsn`, and missing in
//!   `gtid_executed`. A backup treats all versions the same: it rotates the binary log first, and
//!   copies the new file up to `position`.
//! * A recovery without the binary log rolls such transactions back; with the binary log up to
//!   `position` it commits them (tested: a server killed between the two stages).
//! * `lsn` is the end of the log in memory. With `innodb_flush_log_at_trx_commit=0` the file was 2
//!   MiB behind it: call [`Server::flush_engine_logs`] after the read, then copy the redo at least
//!   to `lsn`.

use serde_json::Value as Json;

use super::connect::SLOW_ANSWER;
use super::{Server, ServerError};
use crate::innodb::Lsn;

/// A position in the binary log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogPosition {
    /// The file name, without directory.
    pub file: String,
    /// The byte offset in it.
    pub position: u64,
    /// The executed GTID set, without line ends; may be empty.
    pub gtid_executed: String,
}

/// One read of `performance_schema.log_status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStatus {
    /// The server's UUID.
    pub server_uuid: String,
    /// The binary log; `None` if it is off.
    pub binlog: Option<BinlogPosition>,
    /// The executed GTID set, also if the binary log is off; without line ends.
    pub gtid_executed: String,
    /// The end of InnoDB's redo log.
    pub lsn: Lsn,
    /// InnoDB's last checkpoint.
    pub checkpoint_lsn: Lsn,
}

impl LogStatus {
    /// Parses the columns of the table.
    ///
    /// # Errors
    /// [`ServerError::Unexpected`] for a structure other than that of 8.0.30 to 9.7.
    pub fn parse(server_uuid: &str, local: &str, engines: &str) -> Result<Self, ServerError> {
        let local = json("LOCAL", local)?;
        let engines = json("STORAGE_ENGINES", engines)?;
        let gtid_executed = local
            .get("gtid_executed")
            .and_then(Json::as_str)
            .map(one_line)
            .ok_or_else(|| lacks("LOCAL", "gtid_executed", &local))?;
        let binlog = match local.get("binary_log_file") {
            None => None,
            Some(file) => Some(BinlogPosition {
                file: file
                    .as_str()
                    .ok_or_else(|| lacks("LOCAL", "binary_log_file", &local))?
                    .to_string(),
                position: number("LOCAL", &local, "binary_log_position")?,
                gtid_executed: gtid_executed.clone(),
            }),
        };
        let innodb = engines
            .get("InnoDB")
            .ok_or_else(|| lacks("STORAGE_ENGINES", "InnoDB", &engines))?;
        let (lsn, checkpoint_lsn) = (
            Lsn(number("STORAGE_ENGINES", innodb, "LSN")?),
            Lsn(number("STORAGE_ENGINES", innodb, "LSN_checkpoint")?),
        );
        if checkpoint_lsn > lsn {
            return Err(ServerError::unexpected(
                "performance_schema.log_status",
                format!("checkpoint {checkpoint_lsn} after the log's end {lsn}"),
                "a checkpoint at or before the log's end",
            ));
        }
        Ok(Self {
            server_uuid: server_uuid.to_string(),
            binlog,
            gtid_executed,
            lsn,
            checkpoint_lsn,
        })
    }
}

fn json(column: &str, text: &str) -> Result<Json, ServerError> {
    serde_json::from_str(text).map_err(|e| {
        ServerError::unexpected(
            format!("performance_schema.log_status.{column}"),
            format!("invalid JSON ({e})"),
            "JSON",
        )
    })
}

fn lacks(column: &str, key: &str, found: &Json) -> ServerError {
    ServerError::unexpected(
        format!("performance_schema.log_status.{column}"),
        found.to_string().chars().take(200).collect::<String>(),
        format!("the key {key} with a value of its kind"),
    )
}

fn number(column: &str, object: &Json, key: &str) -> Result<u64, ServerError> {
    object
        .get(key)
        .and_then(Json::as_u64)
        .ok_or_else(|| lacks(column, key, object))
}

/// Removes the line ends that the server writes after the commas of a GTID set.
pub(super) fn one_line(gtids: &str) -> String {
    gtids.chars().filter(|c| !c.is_whitespace()).collect()
}

impl Server {
    /// Reads binary log position, GTID set and InnoDB's LSNs as of one point in time.
    ///
    /// # Errors
    /// A missing privilege, a lost connection, or a value that can't be parsed.
    pub fn log_status(&mut self) -> Result<LogStatus, ServerError> {
        let row = self.within(SLOW_ANSWER).row(
            "reading the log positions",
            "SELECT SERVER_UUID, LOCAL, STORAGE_ENGINES FROM performance_schema.log_status",
        )?;
        LogStatus::parse(
            row.get(0).unwrap_or_default(),
            row.get(1).unwrap_or_default(),
            row.get(2).unwrap_or_default(),
        )
    }

    /// Returns the executed GTID set without line ends; `None` if it is empty.
    ///
    /// # Errors
    /// A failed query.
    pub fn gtid_executed(&mut self) -> Result<Option<String>, ServerError> {
        let row = self.row(
            "reading the executed GTID set",
            "SELECT @@GLOBAL.gtid_executed",
        )?;
        Ok(row.get(0).map(one_line).filter(|g| !g.is_empty()))
    }

    /// Returns whether `a` is a subset of `b`. The server compares them, because it supports all
    /// formats, tags included.
    ///
    /// # Errors
    /// A failed query; a text that isn't a GTID set.
    pub fn gtid_subset(&mut self, a: &str, b: &str) -> Result<bool, ServerError> {
        let doing = "comparing GTID sets";
        let rows = self.rows_with(doing, "SELECT GTID_SUBSET(?, ?)", vec![a.into(), b.into()])?;
        match rows.first().and_then(|r| r.get(0)) {
            Some("1") => Ok(true),
            Some("0") => Ok(false),
            other => Err(ServerError::unexpected(
                "GTID_SUBSET",
                format!("{other:?}"),
                "0 or 1",
            )),
        }
    }

    /// Merges GTID sets, separated by commas, into one.
    ///
    /// # Errors
    /// A failed query, or a text that isn't a GTID set.
    pub fn gtid_union(&mut self, sets: &str) -> Result<String, ServerError> {
        // GTID_SUBTRACT normalises its first argument.
        let rows = self.rows_with(
            "joining GTID sets",
            "SELECT GTID_SUBTRACT(?, '')",
            vec![sets.trim_matches(',').into()],
        )?;
        match rows.first().and_then(|r| r.get(0)) {
            Some(set) => Ok(set.replace('\n', "")),
            None => Err(ServerError::unexpected(
                "GTID_SUBTRACT",
                "NULL",
                "a GTID set",
            )),
        }
    }

    /// Starts a new binary log file; waits until all transactions of the old one are committed in
    /// the engines. Isn't replicated.
    ///
    /// # Errors
    /// A failed statement.
    pub fn flush_binary_logs(&mut self) -> Result<(), ServerError> {
        self.within(SLOW_ANSWER).run(
            "starting a new binary log file",
            "FLUSH NO_WRITE_TO_BINLOG BINARY LOGS",
        )
    }

    /// Flushes InnoDB's redo log to the file. Isn't replicated.
    ///
    /// # Errors
    /// A failed statement.
    pub fn flush_engine_logs(&mut self) -> Result<(), ServerError> {
        self.within(SLOW_ANSWER).run(
            "flushing the engines' logs",
            "FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS",
        )
    }

    /// Returns `@@log_bin_basename`, the path of the binary log without its number; `None` if the
    /// binary log is off.
    ///
    /// # Errors
    /// A failed query.
    pub fn binary_log_basename(&mut self) -> Result<Option<String>, ServerError> {
        let row = self.row(
            "reading the path of the binary log",
            "SELECT @@log_bin_basename",
        )?;
        Ok(row.get(0).filter(|p| !p.is_empty()).map(str::to_string))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINES: &str = r#"{"InnoDB": {"LSN": 19465365, "LSN_checkpoint": 19465360}}"#;

    #[test]
    fn a_status_with_binary_log_and_gtids_is_parsed() {
        let local = r#"{"gtid_executed": "8e587f12-e707-11f1-8105-02fc00000001:1-33,\n9e587f12-e707-11f1-8105-02fc00000001:tag:1",
            "binary_log_file": "binlog.000002", "binary_log_position": 198}"#;
        let s = LogStatus::parse("uuid", local, ENGINES).unwrap();
        let gtids =
            "8e587f12-e707-11f1-8105-02fc00000001:1-33,9e587f12-e707-11f1-8105-02fc00000001:tag:1";
        assert_eq!(s.gtid_executed, gtids);
        assert_eq!(
            s.binlog,
            Some(BinlogPosition {
                file: "binlog.000002".into(),
                position: 198,
                gtid_executed: gtids.into()
            })
        );
        assert_eq!(
            (s.lsn, s.checkpoint_lsn),
            (Lsn(19_465_365), Lsn(19_465_360))
        );
    }

    #[test]
    fn a_status_without_binary_log_is_parsed() {
        let s = LogStatus::parse("u", r#"{"gtid_executed": ""}"#, ENGINES).unwrap();
        assert_eq!((s.binlog, s.gtid_executed.as_str()), (None, ""));
    }

    #[test]
    fn other_structures_are_errors() {
        let good = (r#"{"gtid_executed": ""}"#, ENGINES);
        for (local, engines) in [
            ("", good.1),
            ("{}", good.1),
            (r#"{"gtid_executed": 5}"#, good.1),
            (r#"{"gtid_executed": "", "binary_log_file": "b"}"#, good.1),
            (
                r#"{"gtid_executed": "", "binary_log_file": "b", "binary_log_position": -1}"#,
                good.1,
            ),
            (good.0, "{}"),
            (good.0, r#"{"InnoDB": {"LSN": 1}}"#),
            (good.0, r#"{"InnoDB": {"LSN": 1, "LSN_checkpoint": 2}}"#),
        ] {
            let error = LogStatus::parse("u", local, engines);
            assert!(
                matches!(error, Err(ServerError::Unexpected { .. })),
                "{local} {engines}: {error:?}"
            );
        }
    }
}
