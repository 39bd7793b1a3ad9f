//! Queries of the user with their expected results, on a recovered server.

use mysql::prelude::Queryable;
use mysql::{Conn, Value};
use serde::Serialize;
use std::time::Instant;

/// The longest result that is compared, in bytes.
const MOST: usize = 64 << 10;

/// A query with its expected result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlCheck {
    /// Its name in reports.
    pub name: String,
    /// One statement.
    pub query: String,
    /// The expected result, as `mysql --batch --raw --skip-column-names` prints it: rows end with a line feed (which the
    /// last one may lack), columns are separated by tabs, NULL is `NULL`.
    pub expect: String,
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckedQuery {
    /// The name of the check.
    pub name: String,
    /// True if the result is the expected one.
    pub passed: bool,
    /// Duration of the query in seconds.
    pub duration_seconds: f64,
    /// The result, or the error of the server.
    #[serde(skip)]
    pub found: String,
    /// The expected result.
    #[serde(skip)]
    pub expected: String,
}

/// Runs a query. An error of the server is a result.
pub(super) fn check(connection: &mut Conn, check: &SqlCheck) -> CheckedQuery {
    let begun = Instant::now();
    let found = result(connection, &check.query).unwrap_or_else(|error| error.to_string());
    let expected = check.expect.strip_suffix('\n').unwrap_or(&check.expect);
    CheckedQuery {
        name: check.name.clone(),
        passed: found == expected,
        duration_seconds: begun.elapsed().as_secs_f64(),
        found,
        expected: expected.to_owned(),
    }
}

fn result(connection: &mut Conn, query: &str) -> mysql::Result<String> {
    let mut text = String::new();
    let mut is_first = true;
    for row in connection.query_iter(query)? {
        if !std::mem::take(&mut is_first) {
            text.push('\n');
        }
        let values = row?.unwrap();
        let values: Vec<String> = values.iter().map(shown).collect();
        text += &values.join("\t");
        if text.len() > MOST {
            return Ok(format!("a result of more than {} KiB", MOST >> 10));
        }
    }
    Ok(text)
}

fn shown(value: &Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.as_sql(true).trim_matches('\'').to_owned(),
    }
}
