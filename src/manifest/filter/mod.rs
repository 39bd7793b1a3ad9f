//! The filter of a partial backup: the tables that it has.
//!
//! The rules are those of xtrabackup's `--databases`, `--databases-exclude`, `--tables`, `--tables-exclude` and
//! `--tables-file`. A name is compared in two forms: as a person writes it (`my-db.t`), and as the files have it
//! (`my@002ddb.t`). The schemas of the server itself ([`is_of_server`]), and tablespaces that are not of one table, are in
//! every backup.

mod letters;
mod matcher;
mod pattern;

#[cfg(test)]
mod tests;

pub(crate) use letters::decoded;
pub(crate) use matcher::{Matcher, TableName};
pub use pattern::PatternError;

use super::line_value;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The filter of a partial backup. All fields empty: every table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TableFilter {
    /// The databases (`db`) and tables (`db.table`) that the backup has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// The databases and tables that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases_exclude: Vec<String>,
    /// POSIX extended regular expressions: the backup has the tables with a match in `db.table`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// The same, for tables that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables_exclude: Vec<String>,
    /// The tables (`db.table`) that the backup has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables_listed: Vec<String>,
}

/// The key of the filter in `xtrabackup_info`. Its line is the last one: other programs read the lines by position.
pub(crate) const INFO_KEY: &str = "lsnap_filter";

impl TableFilter {
    /// Returns the value of the line in `xtrabackup_info`: JSON.
    pub(crate) fn to_info(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Returns the filter in an `xtrabackup_info`; `None` if the line is missing.
    ///
    /// # Errors
    /// The fault of the line.
    pub(crate) fn of_info(text: &str) -> Result<Option<Self>, String> {
        let value = line_value(text, INFO_KEY);
        let parsed = value.map(serde_json::from_str).transpose();
        parsed.map_err(|error| format!("{INFO_KEY}: {error}; expected the filter of the backup"))
    }

    /// Returns whether it is the filter of a backup of every table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists().iter().all(|(_, list)| list.is_empty())
    }

    /// Returns the same filter in its one form: each list sorted, each entry once.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        for list in [
            &mut self.databases,
            &mut self.databases_exclude,
            &mut self.tables,
            &mut self.tables_exclude,
            &mut self.tables_listed,
        ] {
            list.sort();
            list.dedup();
        }
        self
    }

    /// Returns whether it names what the backup has, and not only what it lacks.
    #[must_use]
    pub fn includes(&self) -> bool {
        let lists = [&self.databases, &self.tables, &self.tables_listed];
        lists.iter().any(|list| !list.is_empty())
    }

    fn lists(&self) -> [(&'static str, &[String]); 5] {
        [
            ("databases", &self.databases),
            ("databases left out", &self.databases_exclude),
            ("tables that match", &self.tables),
            ("left out tables that match", &self.tables_exclude),
            ("tables", &self.tables_listed),
        ]
    }
}

/// Number of entries of a list in a message.
const NAMED: usize = 20;

impl fmt::Display for TableFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self
            .lists()
            .into_iter()
            .filter(|(_, list)| !list.is_empty());
        for (number, (what, list)) in given.enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            let shown: Vec<&str> = list.iter().take(NAMED).map(String::as_str).collect();
            write!(f, "{separator}{what}: {}", shown.join(", "))?;
            if let more @ 1.. = list.len().saturating_sub(NAMED) {
                write!(f, " and {more} more")?;
            }
        }
        Ok(())
    }
}

/// Schemas of the server itself. A server doesn't start without the first, and the others have little data.
const OF_SERVER: [&str; 4] = ["mysql", "sys", "performance_schema", "information_schema"];

/// Returns whether a schema belongs to the server, so that every backup has it.
#[must_use]
pub(crate) fn is_of_server(schema: &str) -> bool {
    OF_SERVER.contains(&schema)
}
