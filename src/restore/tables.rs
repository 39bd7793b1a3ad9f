//! `CHECK TABLE` of every table of a recovered server.

use mysql::prelude::Queryable;
use mysql::{Conn, Row};
use serde::Serialize;

/// Findings that are kept; a server with more is as damaged as can be.
const MOST: usize = 1000;

/// What `CHECK TABLE` said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CheckedTables {
    /// Tables that were asked for.
    pub tables: usize,
    /// What was wrong, at most 1000.
    pub findings: Vec<TableFinding>,
}

/// What was wrong with one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableFinding {
    /// The table.
    pub table: String,
    /// The server's words.
    pub message: String,
}

/// Checks every base table that has storage.
///
/// # Errors
/// The server did not answer: it may have died of what it found.
pub(super) fn check(connection: &mut Conn) -> mysql::Result<CheckedTables> {
    let all: Vec<(String, String)> = connection.query(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
         AND TABLE_SCHEMA NOT IN ('performance_schema', 'information_schema') ORDER BY 1, 2",
    )?;
    let mut checked = CheckedTables {
        tables: all.len(),
        findings: Vec::new(),
    };
    for (schema, table) in &all {
        let quote = |name: &str| name.replace('`', "``");
        let sql = format!("CHECK TABLE `{}`.`{}`", quote(schema), quote(table));
        let rows: Vec<Row> = connection.query(sql)?;
        let mut told = false;
        for row in rows {
            let column = |number: usize| {
                let text: Option<Option<String>> = row.get(number);
                text.flatten().unwrap_or_default()
            };
            let (kind, message) = (column(2), column(3));
            let fine = match kind.as_str() {
                "status" => message == "OK" || message.contains("up to date"),
                // An engine without such a check says so, and has nothing to be checked.
                "note" => true,
                _ => false,
            };
            told = true;
            if !fine && checked.findings.len() < MOST {
                checked.findings.push(TableFinding {
                    table: format!("{schema}.{table}"),
                    message: format!("{kind}: {message}"),
                });
            }
        }
        if !told {
            checked.findings.push(TableFinding {
                table: format!("{schema}.{table}"),
                message: "the server said nothing about it".to_owned(),
            });
        }
    }
    Ok(checked)
}
