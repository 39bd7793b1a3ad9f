//! The dump of the buffer pool: the list of pages with which a restored server warms up.

use super::{Server, ServerError};

const DOING: &str = "dumping the buffer pool";

/// A dump that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferPoolDump {
    /// The status before the dump: the same text is that of an earlier dump.
    status_before: String,
    /// The server's `innodb_buffer_pool_dump_pct`, if it was changed for this dump.
    percent_before: Option<u64>,
}

impl Server {
    /// Starts a dump of this part of the buffer pool, in percent; `None`: as the server is configured.
    ///
    /// # Errors
    /// A missing `SYSTEM_VARIABLES_ADMIN`, or a failed statement.
    pub fn buffer_pool_dump(
        &mut self,
        percent: Option<u64>,
    ) -> Result<BufferPoolDump, ServerError> {
        let status_before = self.buffer_pool_dump_status()?;
        let mut percent_before = None;
        if let Some(percent) = percent {
            let row = self.row(DOING, "SELECT @@GLOBAL.innodb_buffer_pool_dump_pct")?;
            percent_before = Some(row.number(0, "innodb_buffer_pool_dump_pct")?);
            let statement = format!("SET GLOBAL innodb_buffer_pool_dump_pct = {percent}");
            self.run(DOING, &statement)?;
        }
        self.run(DOING, "SET GLOBAL innodb_buffer_pool_dump_now = ON")?;
        Ok(BufferPoolDump {
            status_before,
            percent_before,
        })
    }

    /// Returns whether the dump is complete.
    ///
    /// # Errors
    /// A failed query.
    pub fn buffer_pool_dumped(&mut self, dump: &BufferPoolDump) -> Result<bool, ServerError> {
        let status = self.buffer_pool_dump_status()?;
        Ok(status.contains("dump completed at") && status != dump.status_before)
    }

    /// Restores the variable that was changed for the dump.
    ///
    /// # Errors
    /// A failed statement.
    pub fn buffer_pool_dump_end(&mut self, dump: &BufferPoolDump) -> Result<(), ServerError> {
        let Some(percent) = dump.percent_before else {
            return Ok(());
        };
        let statement = format!("SET GLOBAL innodb_buffer_pool_dump_pct = {percent}");
        self.run(DOING, &statement)
    }

    fn buffer_pool_dump_status(&mut self) -> Result<String, ServerError> {
        let row = self.row(
            DOING,
            "SELECT VARIABLE_VALUE FROM performance_schema.global_status \
             WHERE VARIABLE_NAME = 'Innodb_buffer_pool_dump_status'",
        )?;
        row.text(0, "Innodb_buffer_pool_dump_status")
    }
}
