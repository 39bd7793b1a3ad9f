//! The state of a Galera cluster. It was not run against a server of a cluster.

use super::{Server, ServerError};

const DOING: &str = "reading the state of the Galera cluster";

impl Server {
    /// Returns whether the server has Galera's replication.
    ///
    /// # Errors
    /// A failed query.
    pub fn has_galera(&mut self) -> Result<bool, ServerError> {
        let row = self.row(
            DOING,
            "SELECT COUNT(*) FROM performance_schema.global_variables WHERE VARIABLE_NAME = 'wsrep_on'",
        )?;
        Ok(row.get(0) != Some("0"))
    }

    /// Returns the state as `UUID:SEQNO`. It belongs to the data only while the global read lock is held.
    ///
    /// # Errors
    /// A failed query; [`ServerError::Unexpected`] if the server is no member of a cluster.
    pub fn galera_state(&mut self) -> Result<String, ServerError> {
        let mut value = |name: &'static str| -> Result<String, ServerError> {
            let statement = format!(
                "SELECT MAX(VARIABLE_VALUE) FROM performance_schema.global_status WHERE VARIABLE_NAME = '{name}'"
            );
            let row = self.row(DOING, &statement)?;
            let found = row.get(0).filter(|value| !value.is_empty());
            found.map(str::to_owned).ok_or_else(|| {
                ServerError::unexpected(
                    name,
                    "no value",
                    "the state of a member of a Galera cluster",
                )
            })
        };
        let uuid = value("wsrep_local_state_uuid")?;
        Ok(format!("{uuid}:{}", value("wsrep_last_committed")?))
    }
}
