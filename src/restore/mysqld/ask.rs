//! Queries to the recovered server.

use super::missing::MayLack;
use super::{Paths, Recovery, gtids_are_exact, recorded_gtids};
use crate::restore::RestoreError;
use crate::restore::complete::{self, Fault};
use crate::restore::queries::{self, CheckedQuery};
use crate::restore::tables::{self, CheckedTables};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use std::path::Path;
use std::time::Duration;

/// Timeout of a query on a limited connection.
const ANSWER: Duration = Duration::from_secs(120);

/// Resets the variables that could truncate a result.
const SESSION: &str = "SET SESSION sql_select_limit = 18446744073709551615, sql_big_selects = 1, \
     max_join_size = 18446744073709551615, max_execution_time = 0, sql_mode = '', autocommit = 1";

/// Connects; if `limited`, a query that exceeds the timeout is an error.
pub(super) fn connect(socket: &Path, limited: bool) -> mysql::Result<Conn> {
    let limit = limited.then_some(ANSWER);
    let options = OptsBuilder::new()
        .user(Some("root"))
        .socket(socket.to_str())
        .prefer_socket(false)
        .read_timeout(limit)
        .write_timeout(limit);
    let mut connection = Conn::new(options)?;
    connection.query_drop(SESSION)?;
    Ok(connection)
}

impl Recovery<'_> {
    /// Checks that every table of the dictionary has its files.
    pub(super) fn complete(&self, paths: &Paths, may: &MayLack) -> Result<(), RestoreError> {
        let other = |schema: &str, table: &str| may.has_table(schema, table);
        // Listing very many tables takes long.
        let listed = connect(&paths.socket, false)
            .map_err(Fault::Server)
            .and_then(|mut connection| {
                complete::missing(&mut connection, &paths.root, &may.absent, &other)
            });
        match listed {
            Ok(missing) if missing.is_empty() => Ok(()),
            Ok(missing) => Err(RestoreError::MissingTables {
                missing,
                log: paths.log.clone(),
            }),
            Err(Fault::Directory(error)) => Err(error),
            Err(Fault::Server(error)) => {
                Err(self.failed(paths, format!("its tables could not be listed: {error}")))
            }
        }
    }

    /// Compares `gtid_executed` as sets, with the server's own function.
    pub(super) fn compare(
        &self,
        connection: &mut Conn,
        paths: &Paths,
    ) -> Result<bool, RestoreError> {
        let Some(expected) = recorded_gtids(self.manifest) else {
            return Ok(false);
        };
        let row: Option<(String, Option<i64>, Option<i64>)> = connection
            .exec_first(
                "SELECT @@GLOBAL.gtid_executed, GTID_SUBSET(?, @@GLOBAL.gtid_executed), \
                 GTID_SUBSET(@@GLOBAL.gtid_executed, ?)",
                (expected, expected),
            )
            .map_err(|error| self.failed(paths, format!("a query failed: {error}")))?;
        match row {
            Some((_, Some(1), Some(1))) => Ok(true),
            // The set was read while transactions were being committed: it may lack some that are
            // in the backup.
            Some((_, Some(1), _)) if !gtids_are_exact(self.manifest) => Ok(true),
            Some((found, _, _)) => Err(RestoreError::Gtid {
                expected: expected.to_owned(),
                found,
                log: paths.log.clone(),
            }),
            None => Err(self.failed(paths, "it returned no gtid_executed".to_owned())),
        }
    }

    /// Rolls back the prepared XA transactions, without a record in the binary log. Returns their
    /// number.
    pub(super) fn roll_back(
        &self,
        connection: &mut Conn,
        paths: &Paths,
    ) -> Result<usize, RestoreError> {
        let failed = |error| {
            self.failed(
                paths,
                format!("an XA transaction can't be rolled back: {error}"),
            )
        };
        connection
            .query_drop("SET SESSION sql_log_bin = 0")
            .map_err(failed)?;
        let prepared: Vec<mysql::Row> =
            connection.query("XA RECOVER CONVERT XID").map_err(failed)?;
        for row in &prepared {
            let number = |column: usize| {
                let value = row.get_opt::<u64, _>(column);
                value.and_then(Result::ok).unwrap_or_default()
            };
            let data = row.get_opt::<String, _>(3).and_then(Result::ok);
            let data = data.unwrap_or_default();
            let digits = data.strip_prefix("0x").unwrap_or(&data);
            let split = usize::try_from(number(1))
                .unwrap_or(usize::MAX)
                .saturating_mul(2);
            let (global, branch) = digits.split_at_checked(split).unwrap_or((digits, ""));
            let sql = format!("XA ROLLBACK X'{global}',X'{branch}',{}", number(0));
            connection.query_drop(sql).map_err(failed)?;
        }
        Ok(prepared.len())
    }

    pub(super) fn prepared(
        &self,
        connection: &mut Conn,
        paths: &Paths,
    ) -> Result<usize, RestoreError> {
        connection
            .query::<mysql::Row, _>("XA RECOVER")
            .map(|rows| rows.len())
            .map_err(|error| self.failed(paths, format!("a query failed: {error}")))
    }

    /// Checks every table, if requested.
    pub(super) fn check_tables(
        &self,
        paths: &Paths,
    ) -> Result<Option<CheckedTables>, RestoreError> {
        if !self.options.check_tables {
            return Ok(None);
        }
        self.progress.note("checking the tables");
        // No timeout, because a large table takes long; if the server crashes, the connection ends.
        connect(&paths.socket, false)
            .and_then(|mut connection| {
                tables::check(
                    &mut connection,
                    self.options.table_budget,
                    self.options.seed,
                )
            })
            .map(Some)
            .map_err(|error| {
                self.failed(paths, format!("its tables could not be checked: {error}"))
            })
    }

    /// Runs the queries of the user, each on a connection of its own.
    pub(super) fn run_queries(&self, paths: &Paths) -> Result<Vec<CheckedQuery>, RestoreError> {
        let mut results = Vec::new();
        for query in &self.options.queries {
            self.options.cancel.check()?;
            let connection = connect(&paths.socket, false);
            let mut connection = connection.map_err(|error| {
                self.failed(
                    paths,
                    format!("the query '{}' could not be run: {error}", query.name),
                )
            })?;
            results.push(queries::check(&mut connection, query));
        }
        Ok(results)
    }
}
