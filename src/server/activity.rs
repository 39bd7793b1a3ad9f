//! What the server does and how long it takes: the summaries of `performance_schema`.
//!
//! Where the facts come from: the MySQL manual ("Statement Summary Tables", "File I/O Summary Tables"): times
//! are in picoseconds, both tables count since the server started, both are switched on by default. Statements
//! that clients prepared are counted as `statement/com/Execute` (tried with MySQL 9.7.4). The names are given
//! one by one because the tables have an index on them: to read the whole of one, the server would go through
//! all of its threads for each of some two hundred names.

use super::{Server, ServerError};
use crate::pace::{Class, Counter};

/// What clients do all the time. Rare and long things, such as `ALTER TABLE`, would only be noise.
const STATEMENTS: &str = "'statement/sql/select', 'statement/sql/insert', 'statement/sql/insert_select', \
     'statement/sql/replace', 'statement/sql/update', 'statement/sql/update_multi', 'statement/sql/delete', \
     'statement/sql/delete_multi', 'statement/sql/commit', 'statement/sql/call_procedure', 'statement/com/Execute'";
/// What a server waits for that runs no statements: a replica that applies rows.
const FILES: &str = "'wait/io/file/innodb/innodb_data_file', 'wait/io/file/innodb/innodb_log_file'";

impl Server {
    /// How often and how long the common statements ran and InnoDB's files were waited for, since the server
    /// started. Without `performance_schema` there is nothing in it.
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
        let doing = "asking how long the server's work takes";
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

    /// How many threads run a statement at this moment, this one included.
    ///
    /// # Errors
    /// A failed query.
    pub fn threads_running(&mut self) -> Result<u64, ServerError> {
        self.status_number("Threads_running")
    }
}

fn counter(
    row: &super::connect::Cells,
    class: fn(String) -> Class,
) -> Result<Counter, ServerError> {
    let picos: u64 = row.number(2, "SUM_TIMER_WAIT")?;
    Ok(Counter {
        class: class(row.text(0, "EVENT_NAME")?),
        count: row.number(1, "COUNT_STAR")?,
        nanos: picos / 1000,
    })
}
