//! `CHECK TABLE` of every table of a recovered server.

use super::sample::Sample;
use mysql::prelude::Queryable;
use mysql::{Conn, Row};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Number of findings that are kept; more don't add information.
const MOST: usize = 1000;

/// The results of `CHECK TABLE`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckedTables {
    /// Number of tables that were checked.
    pub tables: usize,
    /// Number of tables that were not checked, because the time was over.
    pub left: usize,
    /// The tables with errors, at most 1000.
    pub findings: Vec<TableFinding>,
}

/// The error of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TableFinding {
    /// The table.
    pub table: String,
    /// The message of the server.
    pub message: String,
}

/// Checks every base table that has storage. With a budget, they are checked in a random order, and none is begun after
/// it; at least one is checked.
///
/// # Errors
/// The connection failed: the server may have crashed because of a damaged table.
pub(super) fn check(
    connection: &mut Conn,
    budget: Option<Duration>,
    seed: u64,
) -> mysql::Result<CheckedTables> {
    let mut all: Vec<(String, String)> = connection.query(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
         AND TABLE_SCHEMA NOT IN ('performance_schema', 'information_schema') ORDER BY 1, 2",
    )?;
    let begun = Instant::now();
    if budget.is_some() {
        Sample::new(seed).shuffle(&mut all);
    }
    let mut checked = CheckedTables::default();
    for (schema, table) in &all {
        if checked.tables > 0 && budget.is_some_and(|budget| begun.elapsed() >= budget) {
            checked.left = all.len() - checked.tables;
            break;
        }
        checked.tables += 1;
        let quote = |name: &str| name.replace('`', "``");
        let sql = format!("CHECK TABLE `{}`.`{}`", quote(schema), quote(table));
        let rows: Vec<Row> = connection.query(sql)?;
        let mut answered = false;
        for row in rows {
            let column = |number: usize| {
                let text: Option<Option<String>> = row.get(number);
                text.flatten().unwrap_or_default()
            };
            let (kind, message) = (column(2), column(3));
            let fine = match kind.as_str() {
                "status" => message == "OK" || message.contains("up to date"),
                // An engine without this check returns a note; there is nothing to check.
                "note" => true,
                _ => false,
            };
            answered = true;
            if !fine && checked.findings.len() < MOST {
                checked.findings.push(TableFinding {
                    table: format!("{schema}.{table}"),
                    message: format!("{kind}: {message}"),
                });
            }
        }
        if !answered {
            checked.findings.push(TableFinding {
                table: format!("{schema}.{table}"),
                message: "the server returned no result for it".to_owned(),
            });
        }
    }
    Ok(checked)
}
