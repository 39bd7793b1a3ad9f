//! The number and the latency of the server's statements and file waits: the summaries of
//! `performance_schema`.
//!
//! Sources: the MySQL manual ("Statement Summary Tables", "File I/O Summary Tables"): times are in
//! picoseconds, both tables count since the start of the server, both are enabled by default.
//! Prepared statements of clients are counted as `statement/com/Execute` (tested with MySQL 9.7.4).
//! The queries list single names because the tables have an index on them: for a scan of a whole
//! table, the server would visit all of its threads for each of about two hundred names.

use super::{Server, ServerError};
use crate::pace::{Class, Counter};

/// Frequent statements of clients. Rare and long ones, such as `ALTER TABLE`, would only be noise.
const STATEMENTS: &str = "'statement/sql/select', 'statement/sql/insert', 'statement/sql/insert_select', \
     'statement/sql/replace', 'statement/sql/update', 'statement/sql/update_multi', 'statement/sql/delete', \
     'statement/sql/delete_multi', 'statement/sql/commit', 'statement/sql/call_procedure', 'statement/com/Execute'";
/// File waits: the load of a server without statements, as a replica that applies rows.
const FILES: &str = "'wait/io/file/innodb/innodb_data_file', 'wait/io/file/innodb/innodb_log_file'";

impl Server {
    /// Returns how often and how long the common statements ran and InnoDB's files were waited for,
    /// since the start of the server. Empty without `performance_schema`.
    ///
    /// # Errors
    /// [`ServerError::MissingPrivilege`] without `SELECT` on the two tables; a failed query.
    pub fn activity(&mut self) -> Result<Vec<Counter>, ServerError> {
        let query = |table: &str, names: &str| {
            format!(
                "SELECT EVENT_NAME, COUNT_STAR, SUM_TIMER_WAIT FROM performance_schema.{table} \
                 WHERE EVENT_NAME IN ({names}) AND COUNT_STAR > 0"
            )
        };
        let mut counters = Vec::new();
        let doing = "reading the latency of statements";
        let statements = query("events_statements_summary_global_by_event_name", STATEMENTS);
        for row in self.rows(doing, &statements)? {
            counters.push(counter(&row, Class::Statement)?);
        }
        let files = query("file_summary_by_event_name", FILES);
        for row in self.rows(doing, &files)? {
            counters.push(counter(&row, Class::Wait)?);
        }
        Ok(counters)
    }

    /// Returns the number of threads that run a statement now, including this one.
    ///
    /// # Errors
    /// A failed query.
    pub fn threads_running(&mut self) -> Result<u64, ServerError> {
        self.status_number("Threads_running")
    }
}

fn counter(row: &super::connect::Row, class: fn(String) -> Class) -> Result<Counter, ServerError> {
    let picos: u64 = row.number(2, "SUM_TIMER_WAIT")?;
    Ok(Counter {
        class: class(row.text(0, "EVENT_NAME")?),
        count: row.number(1, "COUNT_STAR")?,
        nanos: picos / 1000,
    })
}
