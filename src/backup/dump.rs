//! The dump of the server's buffer pool for a backup (`BackupOptions::dump_buffer_pool`): it starts before the copy, and
//! the copy of its file waits for it.

use super::error::BackupError;
use super::session::Session;
use crate::counted::count;
use crate::server::{BufferPoolDump, Server};
use std::time::{Duration, Instant};

/// Interval between two checks of the dump.
const POLL: Duration = Duration::from_millis(100);

/// A dump that the server is writing.
pub(super) struct Dump {
    dump: BufferPoolDump,
    end: Instant,
    seconds: u64,
}

impl Session<'_> {
    pub(super) fn start_dump(&self, server: &mut Server) -> Result<Option<Dump>, BackupError> {
        let Some(wanted) = self.options.dump_buffer_pool else {
            return Ok(None);
        };
        self.progress
            .note("Executing SET GLOBAL innodb_buffer_pool_dump_now=ON...");
        Ok(Some(Dump {
            dump: server.buffer_pool_dump(wanted.percent)?,
            end: Instant::now() + wanted.timeout,
            seconds: wanted.timeout.as_secs(),
        }))
    }

    /// Waits for the dump if the backup goes on, and restores the variable that was changed for it.
    pub(super) fn end_dump(
        &self,
        server: &mut Server,
        dump: &Dump,
        goes_on: bool,
    ) -> Result<(), BackupError> {
        let waited = if goes_on {
            self.wait(server, dump)
        } else {
            Ok(())
        };
        let restored = server.buffer_pool_dump_end(&dump.dump);
        waited?;
        Ok(restored?)
    }

    fn wait(&self, server: &mut Server, dump: &Dump) -> Result<(), BackupError> {
        self.progress
            .note("Checking if InnoDB buffer pool dump has completed");
        while !server.buffer_pool_dumped(&dump.dump)? {
            if Instant::now() > dump.end {
                tracing::warn!(
                    "InnoDB Buffer Pool Dump was not completed after {}: the backup has the list of pages that was there \
                     before",
                    count(dump.seconds, "second")
                );
                break;
            }
            if self.options.cancel.wait(POLL) {
                return Err(BackupError::Interrupted);
            }
        }
        Ok(())
    }
}
