//! The table `PERCONA_SCHEMA.xtrabackup_history`, in which xtrabackup records the backups of a server on the server
//! itself. It is written like any other table: to the binary log too, so the replicas get the rows.

use super::replica::quoted;
use super::{Server, ServerError};
use crate::innodb::Lsn;

const DOING: &str = "writing the history of backups";
const READ_ONLY: u16 = 1290;
const NO_SCHEMA: u16 = 1049;
const NO_TABLE: u16 = 1146;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS PERCONA_SCHEMA.xtrabackup_history (\
    uuid VARCHAR(40) NOT NULL PRIMARY KEY, name VARCHAR(255) DEFAULT NULL, tool_name VARCHAR(255) DEFAULT NULL, \
    tool_command TEXT DEFAULT NULL, tool_version VARCHAR(255) DEFAULT NULL, ibbackup_version VARCHAR(255) DEFAULT NULL, \
    server_version VARCHAR(255) DEFAULT NULL, start_time TIMESTAMP NULL DEFAULT NULL, \
    end_time TIMESTAMP NULL DEFAULT NULL, lock_time BIGINT UNSIGNED DEFAULT NULL, binlog_pos TEXT DEFAULT NULL, \
    innodb_from_lsn BIGINT UNSIGNED DEFAULT NULL, innodb_to_lsn BIGINT UNSIGNED DEFAULT NULL, \
    partial ENUM('Y', 'N') DEFAULT NULL, incremental ENUM('Y', 'N') DEFAULT NULL, \
    format ENUM('file', 'tar', 'xbstream') DEFAULT NULL, compact ENUM('Y', 'N') DEFAULT NULL, \
    compressed ENUM('Y', 'N') DEFAULT NULL, encrypted ENUM('Y', 'N') DEFAULT NULL) \
    CHARACTER SET utf8mb4 ENGINE = InnoDB";

/// A row of the table, without `compact`, which is always `N`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryRow {
    /// The columns of texts and numbers, with their values; `None` is `NULL`.
    pub values: Vec<(&'static str, Option<String>)>,
    /// When the backup began, in seconds since 1970.
    pub start_time: i64,
    /// When the backup ended, in seconds since 1970.
    pub end_time: i64,
}

/// A condition by which a backup is looked up in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryKey {
    /// The name of a series of backups.
    Name(String),
    /// The UUID of a backup.
    Uuid(String),
}

/// The newest backup that a key selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its `innodb_to_lsn`.
    pub to_lsn: Lsn,
    /// Its `tool_version`.
    pub tool_version: Option<String>,
    /// Whether it is partial; `None` if the row doesn't say it.
    pub partial: Option<bool>,
}

impl HistoryKey {
    /// Returns the query for the newest backup. Names are compared by their bytes, whatever the collation of the column.
    fn newest(&self) -> String {
        let bytes = |text: &str| format!("CAST(CONVERT({text} USING utf8mb4) AS BINARY)");
        let (column, value) = match self {
            Self::Name(name) => ("name", name),
            Self::Uuid(uuid) => ("uuid", uuid),
        };
        format!(
            "SELECT innodb_to_lsn, tool_version, partial FROM PERCONA_SCHEMA.xtrabackup_history \
             WHERE {} = {} AND innodb_to_lsn IS NOT NULL ORDER BY end_time DESC, innodb_to_lsn DESC LIMIT 1",
            bytes(column),
            bytes(&quoted(value))
        )
    }
}

impl HistoryRow {
    fn statement(&self) -> String {
        let text = |value: &Option<String>| value.as_deref().map_or("NULL".to_owned(), quoted);
        let names: Vec<&str> = self.values.iter().map(|(name, _)| *name).collect();
        let values: Vec<String> = self.values.iter().map(|(_, value)| text(value)).collect();
        format!(
            "INSERT INTO PERCONA_SCHEMA.xtrabackup_history ({}, start_time, end_time, compact) VALUES ({}, \
             FROM_UNIXTIME({}), FROM_UNIXTIME({}), 'N')",
            names.join(", "),
            values.join(", "),
            self.start_time,
            self.end_time
        )
    }
}

impl Server {
    /// Makes the table if it is missing, and checks that rows can be inserted. Returns false if the server is read-only.
    ///
    /// # Errors
    /// [`ServerError::MissingPrivilege`] without `CREATE`, `INSERT` and `SELECT` on `PERCONA_SCHEMA`; a failed statement.
    pub fn history_open(&mut self) -> Result<bool, ServerError> {
        let is_missing = self.row(
            DOING,
            "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'PERCONA_SCHEMA' \
             AND TABLE_NAME = 'xtrabackup_history'",
        )?;
        let is_missing = is_missing.get(0) == Some("0");
        let statements = [
            // No metadata lock is requested for what is there already.
            is_missing.then_some("CREATE DATABASE IF NOT EXISTS PERCONA_SCHEMA"),
            is_missing.then_some(CREATE),
            // It has no rows; privileges and a read-only server are checked nevertheless.
            Some(
                "INSERT INTO PERCONA_SCHEMA.xtrabackup_history (uuid) SELECT uuid FROM PERCONA_SCHEMA.xtrabackup_history \
                 WHERE FALSE",
            ),
        ];
        for statement in statements.into_iter().flatten() {
            match self.run(DOING, statement) {
                Err(ServerError::Query {
                    code: READ_ONLY, ..
                }) => return Ok(false),
                other => other?,
            }
        }
        Ok(true)
    }

    /// Inserts a row. Returns false if the server is read-only.
    ///
    /// # Errors
    /// A failed statement.
    pub fn history_add(&mut self, row: &HistoryRow) -> Result<bool, ServerError> {
        match self.run(DOING, &row.statement()) {
            Err(ServerError::Query {
                code: READ_ONLY, ..
            }) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Returns the newest backup that the key selects; `None` if there is none. It may be one of another server: replicas
    /// get the rows.
    ///
    /// # Errors
    /// A failed query.
    pub fn history_newest(
        &mut self,
        key: &HistoryKey,
    ) -> Result<Option<HistoryEntry>, ServerError> {
        let rows = match self.rows("reading the history of backups", &key.newest()) {
            Ok(rows) => rows,
            Err(ServerError::Query {
                code: NO_SCHEMA | NO_TABLE,
                ..
            }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(HistoryEntry {
            to_lsn: Lsn(row.number(0, "innodb_to_lsn")?),
            tool_version: row.get(1).map(str::to_owned),
            partial: row.get(2).map(|partial| partial == "Y"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        let row = HistoryRow {
            values: vec![("uuid", Some("it's \\".to_owned())), ("name", None)],
            start_time: 1,
            end_time: 2,
        };
        assert_eq!(
            row.statement(),
            "INSERT INTO PERCONA_SCHEMA.xtrabackup_history (uuid, name, start_time, end_time, compact) \
             VALUES ('it''s \\\\', NULL, FROM_UNIXTIME(1), FROM_UNIXTIME(2), 'N')"
        );
    }

    #[test]
    fn names_are_compared_by_their_bytes() {
        let query = HistoryKey::Name("it's".to_owned()).newest();
        assert!(
            query.contains(
                "WHERE CAST(CONVERT(name USING utf8mb4) AS BINARY) = CAST(CONVERT('it''s' USING utf8mb4) AS BINARY) "
            ),
            "{query}"
        );
    }
}
