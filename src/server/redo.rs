//! The state of the redo log as reported by the server: enabled or not, its checkpoint and its end.

use super::{Server, ServerError};
use crate::innodb::Lsn;

impl Server {
    /// Returns whether redo logging is enabled. While it is disabled (`ALTER INSTANCE DISABLE
    /// INNODB REDO_LOG`) a hot backup is impossible.
    ///
    /// # Errors
    /// A failed query.
    pub fn redo_enabled(&mut self) -> Result<bool, ServerError> {
        match self.status("Innodb_redo_log_enabled")?.as_str() {
            "ON" => Ok(true),
            "OFF" => Ok(false),
            other => Err(ServerError::unexpected(
                "Innodb_redo_log_enabled",
                other,
                "ON or OFF",
            )),
        }
    }

    /// Returns the LSN of InnoDB's last checkpoint.
    ///
    /// # Errors
    /// A failed query.
    pub fn checkpoint_lsn(&mut self) -> Result<Lsn, ServerError> {
        self.status_number("Innodb_redo_log_checkpoint_lsn")
            .map(Lsn)
    }

    /// Returns the LSN of the redo log's end in memory; the file may be behind it.
    ///
    /// # Errors
    /// A failed query.
    pub fn current_lsn(&mut self) -> Result<Lsn, ServerError> {
        self.status_number("Innodb_redo_log_current_lsn").map(Lsn)
    }

    /// Returns the LSN up to which the redo log is on disk.
    ///
    /// # Errors
    /// A failed query.
    pub fn flushed_lsn(&mut self) -> Result<Lsn, ServerError> {
        self.status_number("Innodb_redo_log_flushed_to_disk_lsn")
            .map(Lsn)
    }

    /// Reads a global status variable.
    pub(super) fn status(&mut self, name: &'static str) -> Result<String, ServerError> {
        let statement = format!(
            "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = '{name}'"
        );
        let rows = self.rows("reading a status variable", &statement)?;
        let value = rows.first().and_then(|r| r.get(0));
        value
            .map(str::to_string)
            .ok_or_else(|| ServerError::unexpected(name, "nothing", "a value"))
    }

    pub(super) fn status_number(&mut self, name: &'static str) -> Result<u64, ServerError> {
        let text = self.status(name)?;
        text.parse()
            .map_err(|_| ServerError::unexpected(name, format!("'{text}'"), "a number"))
    }
}
