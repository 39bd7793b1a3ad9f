//! Page tracking: the server's list of the pages that it wrote since an LSN
//! (`docs/design.md#page-tracking`).
//!
//! InnoDB keeps the list, `component_mysqlbackup` gives access to it. Facts, from tests with a
//! MySQL 9.7.4 (`tests/e2e/tracking.rs` repeats them) and from the server's source:
//! - `mysqlbackup_page_track_set(true)` starts tracking, or sets a new *reset point* while it is
//!   on, and returns the LSN of the newest reset point. A page is listed once for each reset point,
//!   when it is first written after it. If only few pages were written since the last one, no new
//!   point is set, and the LSN of the last one is returned.
//! - `..._get_changed_pages(start, 0)` writes `#meb/<mysqlbackup.backupid>.idx` in the datadir: all
//!   pages listed since the reset point at or below `start`, up to the time of the call. 0 means
//!   success, but **an error while the file is written is ignored**: after a full disk, or if
//!   another session sets the id during the call, the file is too short although the result is 0.
//!   So the file is compared with `..._get_changed_page_count`, which counts up to the last
//!   checkpoint. 3803 means: not tracked without a gap, or no checkpoint since `start`. If no page
//!   is listed, no file is written.
//! - Setting `mysqlbackup.backupid` removes the file that was written under the previous id, also
//!   if it belongs to another tool.
//! - `mysqlbackup_page_track_get_start_lsn()` can't be used: if tracking was stopped and started
//!   again, and the server was then restarted, it returns 0 although pages are tracked.
//! - A reset point that is set when the list of one period of tracking has more than 65,535 blocks
//!   (1 GiB in `#ib_archive`) is stored wrongly, and the server may not start again (PS-11175):
//!   callers of [`Server::page_tracking_begin`] must check this first.
//! - The functions need `BACKUP_ADMIN`, setting the id needs `SYSTEM_VARIABLES_ADMIN`.

use super::connect::SLOW_ANSWER;
use super::{Server, ServerError};
use crate::innodb::Lsn;

/// The functions don't exist: unknown function, or no database in which they could be searched.
const NO_FUNCTION: [u16; 2] = [1305, 1046];
/// `ER_PAGE_TRACKING_RANGE_NOT_TRACKED`.
const NOT_TRACKED: i64 = 3803;
/// The component's variable doesn't exist.
const UNKNOWN_VARIABLE: u16 = 1193;
/// A user lock that is held while a list is written and read: only one lsnap at a time does this on
/// a server.
const ONE_AT_A_TIME: &str = "lsnap.page_tracking";
/// Time limit for another lsnap to finish reading its list, in seconds.
const WAIT_SECONDS: u32 = 30;

impl Server {
    /// Starts page tracking, or sets a reset point: every page that is written after that is listed
    /// from the returned LSN on. Must not be called if the list has become too long (see above).
    ///
    /// # Errors
    /// [`ServerError::NoPageTracking`] without the component, a missing `BACKUP_ADMIN`,
    /// [`ServerError::PageTracking`] if the server refuses.
    pub fn page_tracking_begin(&mut self) -> Result<Lsn, ServerError> {
        let call = "mysqlbackup_page_track_set(true)";
        match self.tracker(call)? {
            lsn if lsn > 0 => Ok(Lsn(lsn.unsigned_abs())),
            code => Err(refused(call, code)),
        }
    }

    /// Returns whether there is a reset point below `lsn`, and no gap since.
    ///
    /// # Errors
    /// The same as [`Self::page_tracking_begin`].
    pub fn page_tracking_covers(&mut self, lsn: Lsn) -> Result<bool, ServerError> {
        match self.changed_page_count(before(lsn)) {
            Ok(_) => Ok(true),
            Err(ServerError::PageTracking { .. } | ServerError::PageTrackingGap { .. }) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the start time of the server, in seconds of its own clock since 1970: constant
    /// during one run of the server.
    ///
    /// # Errors
    /// A failed query.
    pub fn started_at(&mut self) -> Result<u64, ServerError> {
        let row = self.row(
            "reading the start time of the server",
            "SELECT CAST(UNIX_TIMESTAMP() - VARIABLE_VALUE AS SIGNED) FROM performance_schema.global_status \
             WHERE VARIABLE_NAME = 'Uptime'",
        )?;
        row.number(0, "Uptime")
    }

    /// Waits until no other lsnap reads changed pages of this server, and blocks others until
    /// [`Self::page_tracking_release`] or the end of the connection.
    ///
    /// # Errors
    /// [`ServerError::PageTracking`] if it takes longer than 30 s.
    pub fn page_tracking_claim(&mut self) -> Result<(), ServerError> {
        let statement = format!("SELECT GET_LOCK('{ONE_AT_A_TIME}', {WAIT_SECONDS})");
        let row = self.row("waiting for other readers of changed pages", &statement)?;
        if row.get(0) == Some("1") {
            return Ok(());
        }
        Err(ServerError::PageTracking {
            what: format!(
                "another lsnap has been reading the changed pages of this server for {WAIT_SECONDS} s"
            ),
        })
    }

    /// Permits other lsnaps to read changed pages.
    ///
    /// # Errors
    /// A failed query.
    pub fn page_tracking_release(&mut self) -> Result<(), ServerError> {
        self.run(
            "permitting others to read changed pages",
            &format!("DO RELEASE_LOCK('{ONE_AT_A_TIME}')"),
        )
    }

    /// Returns the id of the last list of changed pages; `None` if none was written since the
    /// server started.
    ///
    /// # Errors
    /// [`ServerError::NoPageTracking`] without the component.
    pub fn page_tracking_id(&mut self) -> Result<Option<String>, ServerError> {
        let statement = "SELECT @@GLOBAL.mysqlbackup.backupid";
        match self.row(
            "reading the id of the last list of changed pages",
            statement,
        ) {
            Ok(row) => Ok(row.get(0).filter(|id| !id.is_empty()).map(str::to_string)),
            Err(ServerError::Query {
                code: UNKNOWN_VARIABLE,
                ..
            }) => Err(ServerError::NoPageTracking),
            Err(error) => Err(error),
        }
    }

    /// Writes the pages that the server lists since the reset point at or below `from` into
    /// `#meb/<id>.idx` of its datadir. Returns the minimum number of entries in it; if that is 0,
    /// the file may not exist.
    ///
    /// # Errors
    /// A missing `SYSTEM_VARIABLES_ADMIN`; [`ServerError::PageTracking`] if there is a gap in the
    /// list, or if another session set another id during the call.
    pub fn write_changed_pages(&mut self, id: &str, from: Lsn) -> Result<u64, ServerError> {
        // A range without a checkpoint in it is refused like one with a gap; an older reset point
        // lists more pages than necessary, which is harmless.
        let (from, least) = match self.changed_page_count(from) {
            Err(ServerError::PageTrackingGap { .. }) if from > Lsn(1) => {
                (before(from), self.changed_page_count(before(from))?)
            }
            least => (from, least?),
        };
        self.run(
            "choosing the file of the changed pages",
            &format!("SET GLOBAL mysqlbackup.backupid = '{id}'"),
        )?;
        let call = format!("mysqlbackup_page_track_get_changed_pages({from}, 0)");
        let code = self.tracker(&call)?;
        if code != 0 {
            return Err(refused(&call, code));
        }
        let now = self.page_tracking_id()?.unwrap_or_default();
        if now == id {
            return Ok(least);
        }
        Err(ServerError::PageTracking {
            what: format!(
                "another session set mysqlbackup.backupid to '{now}' while the changed pages were written under \
                 '{id}': another backup tool reads them at the same time"
            ),
        })
    }

    /// Returns the number of entries listed up to the last checkpoint.
    fn changed_page_count(&mut self, from: Lsn) -> Result<u64, ServerError> {
        let call = format!("mysqlbackup_page_track_get_changed_page_count({from}, 0)");
        match self.tracker(&call)? {
            count if count >= 0 => Ok(count.unsigned_abs()),
            code => Err(refused(&call, code)),
        }
    }

    fn tracker(&mut self, call: &str) -> Result<i64, ServerError> {
        // The call may write the list of changed pages to a file.
        let answer = self.within(SLOW_ANSWER);
        match answer.row("calling page tracking", &format!("SELECT {call}")) {
            Ok(row) => row.number(0, call),
            Err(ServerError::Query { code, .. }) if NO_FUNCTION.contains(&code) => {
                Err(ServerError::NoPageTracking)
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns the LSN one byte earlier.
const fn before(lsn: Lsn) -> Lsn {
    Lsn(lsn.0.saturating_sub(1))
}

fn refused(call: &str, code: i64) -> ServerError {
    if code.abs() == NOT_TRACKED {
        return ServerError::PageTrackingGap {
            call: call.to_owned(),
            code,
        };
    }
    ServerError::PageTracking {
        what: format!("{call} returned {code}; check the server's error log"),
    }
}
