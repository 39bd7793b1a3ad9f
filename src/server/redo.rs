//! The redo log as the server sees it: is it on, where is its end, and may the server reuse what isn't read yet.
//!
//! The redo consumer (`docs/format/redo.md#rules-for-a-follower`; server 8.0.30 and later): while one is
//! registered the server keeps redo that
//! the consumer hasn't advanced past, and *stalls writers* when the log is full of it. It belongs to the
//! connection that registered it and ends with it.

use super::{Server, ServerError};

impl Server {
    /// Whether redo logging is on. While it is off (`ALTER INSTANCE DISABLE INNODB REDO_LOG`) no hot backup works.
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

    /// The LSN of InnoDB's last checkpoint.
    ///
    /// # Errors
    /// A failed query.
    pub fn checkpoint_lsn(&mut self) -> Result<u64, ServerError> {
        self.status_number("Innodb_redo_log_checkpoint_lsn")
    }

    /// The LSN of the redo log's end, in memory: what is on disk may be behind it.
    ///
    /// # Errors
    /// A failed query.
    pub fn current_lsn(&mut self) -> Result<u64, ServerError> {
        self.status_number("Innodb_redo_log_current_lsn")
    }

    /// The LSN up to which the redo log is on disk.
    ///
    /// # Errors
    /// A failed query.
    pub fn flushed_lsn(&mut self) -> Result<u64, ServerError> {
        self.status_number("Innodb_redo_log_flushed_to_disk_lsn")
    }

    /// Makes the server keep redo from now on until [`Self::redo_consumer_advance`] lets it go.
    ///
    /// # Errors
    /// A missing `BACKUP_ADMIN`; a consumer that this connection has already.
    pub fn redo_consumer_register(&mut self) -> Result<(), ServerError> {
        self.run(
            "registering as a reader of the redo log",
            "DO innodb_redo_log_consumer_register()",
        )
    }

    /// Lets the server reuse all redo below `lsn`.
    ///
    /// # Errors
    /// A failed statement.
    pub fn redo_consumer_advance(&mut self, lsn: u64) -> Result<(), ServerError> {
        self.run(
            "letting the server reuse redo",
            &format!("DO innodb_redo_log_consumer_advance({lsn})"),
        )
    }

    /// Lets the server reuse all redo again.
    ///
    /// # Errors
    /// A failed statement.
    pub fn redo_consumer_unregister(&mut self) -> Result<(), ServerError> {
        self.run(
            "ending the reading of the redo log",
            "DO innodb_redo_log_consumer_unregister()",
        )
    }

    /// One global status variable.
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
