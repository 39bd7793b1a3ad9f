//! The replication channels of a server: the position of each, and the statements to stop and start
//! its applier.
//!
//! Facts, from tests with a MySQL 9.7.4 (`tests/e2e/replica.rs` repeats them) and from the manual:
//! - `mysql.slave_relay_log_info` has a row for each channel. Without workers (8.0 only) each
//!   applied transaction changes it, so it is the exact position. With workers it is the *low-water
//!   mark*: all transactions before it are applied, and later ones may be; the coordinator advances
//!   it every `replica_checkpoint_period` ms, and when the applier stops. Its `Number_of_workers`
//!   is as old as the last of these changes: 0 while the first transactions are applied by four
//!   workers.
//! - `mysql.slave_worker_info` has a row for each worker, which each transaction of that worker
//!   changes: the end of its last one. Rows of idle workers have an empty file name.
//! - With `replica_preserve_commit_order` the applied transactions have no gap, so the highest of
//!   these positions is the exact one. The variable can't be changed while an applier runs.
//! - Both are InnoDB tables: after the recovery of a backup, their contents match its data.
//! - From 8.0.30 on, `replica_parallel_workers=0` is deprecated; 9.7.4 changes it to 1.
//! - `SHOW REPLICA STATUS` shows the state of the threads in memory, which may be behind or ahead
//!   of the tables.

use super::connect::Row;
use super::{Server, ServerError};

/// A position in a binary log of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePoint {
    /// File name.
    pub file: String,
    /// Byte offset in it.
    pub position: u64,
}

/// The state of a replication channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name; empty for the default channel.
    pub name: String,
    /// Host of the source.
    pub host: String,
    /// Port of the source.
    pub port: u16,
    /// Whether it uses GTID auto-positioning.
    pub auto_position: bool,
    /// Whether its applier runs.
    pub applier_runs: bool,
    /// The position that the applier reports; `None` if it has not started to read a file.
    pub reported: Option<SourcePoint>,
    /// The contents of the tables; `None` if they can't be read or have no row for it.
    pub recorded: Option<Recorded>,
}

/// The position of a channel in the server's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The low-water mark: all transactions before it are applied.
    pub low: SourcePoint,
    /// The ends of the workers' last transactions; empty if no worker has applied any.
    pub workers: Vec<SourcePoint>,
    /// Whether transactions without a GTID are assigned one
    /// (`ASSIGN_GTIDS_TO_ANONYMOUS_TRANSACTIONS`).
    pub assigns_gtids: bool,
}

/// All channels of a server, except those of group replication, which are configured by the group
/// itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replica {
    /// The channels, in the server's order.
    pub channels: Vec<Channel>,
    /// Whether `gtid_mode` is `ON`.
    pub gtid_mode_on: bool,
    /// `replica_preserve_commit_order`.
    pub preserves_order: bool,
    /// Whether applied transactions are written to the binary log (`log_bin` and
    /// `log_replica_updates`).
    pub logs_updates: bool,
    /// Whether the account lacks `SELECT` on the two tables.
    pub tables_denied: bool,
}

impl Server {
    /// Returns the present state of the replication channels; none if this server isn't a replica.
    /// Needs `REPLICATION CLIENT`.
    ///
    /// # Errors
    /// A failed query, or a row that can't be parsed. Missing privileges on the tables aren't an
    /// error.
    pub fn replica(&mut self) -> Result<Replica, ServerError> {
        let rows = self.rows("reading the replication channels", "SHOW REPLICA STATUS")?;
        let channels = rows.iter().map(channel).collect::<Result<Vec<_>, _>>()?;
        let mut replica = Replica {
            channels,
            ..Replica::default()
        };
        replica
            .channels
            .retain(|c| !c.name.starts_with("group_replication_"));
        if replica.channels.is_empty() {
            return Ok(replica);
        }
        let row = self.row(
            "reading the replication settings",
            "SELECT @@GLOBAL.gtid_mode, @@GLOBAL.replica_preserve_commit_order, @@GLOBAL.log_bin, \
             @@GLOBAL.log_replica_updates",
        )?;
        replica.gtid_mode_on = row.get(0) == Some("ON");
        replica.preserves_order = row.get(1) == Some("1");
        replica.logs_updates = row.get(2) == Some("1") && row.get(3) == Some("1");
        match self.recorded() {
            Ok(all) => {
                for (name, recorded) in all {
                    let of = replica.channels.iter_mut().find(|c| c.name == name);
                    if let Some(channel) = of {
                        channel.recorded = Some(recorded);
                    }
                }
            }
            Err(ServerError::MissingPrivilege { .. }) => {
                replica.tables_denied = true;
            }
            Err(other) => return Err(other),
        }
        Ok(replica)
    }

    /// Returns the contents of the tables, by channel. The workers are read first: if the applier
    /// continues in between, the low-water mark is the later one.
    fn recorded(&mut self) -> Result<Vec<(String, Recorded)>, ServerError> {
        let doing = "reading the positions of the appliers";
        let workers = self.rows(
            doing,
            "SELECT Channel_name, Master_log_name, Master_log_pos FROM mysql.slave_worker_info \
             WHERE Master_log_name <> '' ORDER BY Channel_name, Id",
        )?;
        let channels = self.rows(
            doing,
            "SELECT Channel_name, Master_log_name, Master_log_pos, \
             Assign_gtids_to_anonymous_transactions_type FROM mysql.slave_relay_log_info \
             WHERE Master_log_name <> ''",
        )?;
        let mut all = Vec::with_capacity(channels.len());
        for row in &channels {
            let name = row.get(0).unwrap_or_default();
            let of = |w: &&Row| w.get(0).unwrap_or_default() == name;
            let points = workers.iter().filter(of).map(point);
            let recorded = Recorded {
                low: point(row)?,
                workers: points.collect::<Result<_, _>>()?,
                assigns_gtids: row.get(3) != Some("OFF"),
            };
            all.push((name.to_owned(), recorded));
        }
        Ok(all)
    }

    /// Stops the applier of a channel after the transaction in progress is finished or rolled back.
    ///
    /// # Errors
    /// A missing `REPLICATION_SLAVE_ADMIN`, or a failed statement.
    pub fn stop_applier(&mut self, channel: &str) -> Result<(), ServerError> {
        let statement = format!("STOP REPLICA SQL_THREAD FOR CHANNEL {}", quoted(channel));
        self.run("stopping the replica's applier", &statement)
    }

    /// Starts the applier of a channel, unless it is running. While another session is stopping it,
    /// the server waits for that first.
    ///
    /// # Errors
    /// The same as [`Self::stop_applier`].
    pub fn start_applier(&mut self, channel: &str) -> Result<(), ServerError> {
        let statement = format!("START REPLICA SQL_THREAD FOR CHANNEL {}", quoted(channel));
        self.run("starting the replica's applier", &statement)
    }

    /// Returns the number of temporary tables that the appliers have open.
    ///
    /// # Errors
    /// A failed query.
    pub fn replica_open_temp_tables(&mut self) -> Result<u64, ServerError> {
        let row = self.row(
            "reading the number of the applier's temporary tables",
            "SELECT MAX(VARIABLE_VALUE + 0) FROM performance_schema.global_status WHERE VARIABLE_NAME IN \
             ('Replica_open_temp_tables', 'Slave_open_temp_tables')",
        )?;
        let count = row.get(0).unwrap_or("0");
        count.parse::<f64>().map(|n| n as u64).map_err(|_| {
            ServerError::unexpected("Replica_open_temp_tables", format!("'{count}'"), "a number")
        })
    }
}

fn channel(row: &Row) -> Result<Channel, ServerError> {
    let text = |name: &str| {
        let found = row.named(name);
        found.map(str::to_string).ok_or_else(|| {
            ServerError::unexpected(
                format!("SHOW REPLICA STATUS, column {name}"),
                "nothing",
                "a value",
            )
        })
    };
    let number = |name: &str| -> Result<u64, ServerError> {
        let found = text(name)?;
        found.parse().map_err(|_| {
            ServerError::unexpected(
                format!("SHOW REPLICA STATUS, column {name}"),
                found,
                "a number",
            )
        })
    };
    let file = text("Relay_Source_Log_File")?;
    let reported = SourcePoint {
        position: number("Exec_Source_Log_Pos")?,
        file,
    };
    Ok(Channel {
        name: text("Channel_Name")?,
        host: text("Source_Host")?,
        port: number("Source_Port")?.try_into().unwrap_or_default(),
        auto_position: text("Auto_Position")? == "1",
        applier_runs: text("Replica_SQL_Running")? != "No",
        reported: (!reported.file.is_empty()).then_some(reported),
        recorded: None,
    })
}

fn point(row: &Row) -> Result<SourcePoint, ServerError> {
    Ok(SourcePoint {
        file: row.text(1, "Master_log_name")?,
        position: row.number(2, "Master_log_pos")?,
    })
}

/// Returns a string literal for any `sql_mode`: the server refuses names with a backslash.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
