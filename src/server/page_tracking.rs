//! Page tracking: the server's own list of the pages that it wrote since an LSN (`docs/design.md#page-tracking`).
//!
//! InnoDB keeps the list, `component_mysqlbackup` hands it out. Facts, from a MySQL 9.7.4 that was asked
//! (`tests/e2e/tracking.rs` asks it again) and from reading what the server's source says it does:
//! - `mysqlbackup_page_track_set(true)` begins tracking, or sets a new *reset point* while it is on, and
//!   returns the LSN of the newest reset point. A page is listed once for each reset point, when it is first
//!   written after it. Few pages since the last one: no new point is made, the LSN of the last one returns.
//! - `..._get_changed_pages(start, 0)` writes `#meb/<mysqlbackup.backupid>.idx` in the datadir: all pages
//!   listed since the reset point at or below `start`, up to this very moment. 0 is success, but **an error
//!   while the file is written is swallowed**: a full disk or another session that sets the id meanwhile
//!   leave a short file behind a 0. So the file is compared with `..._get_changed_page_count`, which counts
//!   up to the last checkpoint. 3803: not tracked without a gap, or no checkpoint since `start`. No page: no
//!   file.
//! - Setting `mysqlbackup.backupid` removes the file that was written under the id before, whosever it was.
//! - `mysqlbackup_page_track_get_start_lsn()` is of no use: when tracking was stopped and begun again, and the
//!   server then restarted, it returns 0 although pages are tracked.
//! - A reset point that is set when the list of one stretch of tracking has more than 65,535 blocks (1 GiB in
//!   `#ib_archive`) is stored wrongly, and the server may not start again (PS-11175): who calls
//!   [`Server::page_tracking_begin`] must look first.
//! - `BACKUP_ADMIN` permits the functions, `SYSTEM_VARIABLES_ADMIN` the setting of the id.

use super::connect::UNHURRIED;
use super::{Server, ServerError};
use crate::innodb::Lsn;

/// The functions are not there: unknown; or looked for in the session's database, and it has none.
const NO_FUNCTION: [u16; 2] = [1305, 1046];
/// `ER_PAGE_TRACKING_RANGE_NOT_TRACKED`.
const NOT_TRACKED: i64 = 3803;
/// The component's variable is not there.
const UNKNOWN_VARIABLE: u16 = 1193;
/// Held while a list is asked for and read: of all lsnaps that know this server, one.
const ONE_AT_A_TIME: &str = "lsnap.page_tracking";
/// How long to wait for another lsnap to have read its list, in seconds.
const WAIT_SECONDS: u32 = 30;

impl Server {
    /// Begins page tracking, or sets a reset point: every page that is written from now on is listed from
    /// the LSN that is returned. Never to be called when the list has become too long (see above).
    ///
    /// # Errors
    /// [`ServerError::NoPageTracking`] without the component, a missing `BACKUP_ADMIN`,
    /// [`ServerError::PageTracking`] when the server refuses.
    pub fn page_tracking_begin(&mut self) -> Result<Lsn, ServerError> {
        let call = "mysqlbackup_page_track_set(true)";
        match self.tracker(call)? {
            lsn if lsn > 0 => Ok(Lsn(lsn.unsigned_abs())),
            code => Err(refused(call, code)),
        }
    }

    /// Whether there is a reset point below `lsn`, and no gap since.
    ///
    /// # Errors
    /// As [`Self::page_tracking_begin`].
    pub fn page_tracking_covers(&mut self, lsn: Lsn) -> Result<bool, ServerError> {
        match self.changed_page_count(before(lsn)) {
            Ok(_) => Ok(true),
            Err(ServerError::PageTracking { .. } | ServerError::PageTrackingGap { .. }) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// When the server was started, in seconds of its own clock since 1970: the same in every answer of one
    /// run of the server.
    ///
    /// # Errors
    /// A failed query.
    pub fn started_at(&mut self) -> Result<u64, ServerError> {
        let row = self.row(
            "asking when the server was started",
            "SELECT CAST(UNIX_TIMESTAMP() - VARIABLE_VALUE AS SIGNED) FROM performance_schema.global_status \
             WHERE VARIABLE_NAME = 'Uptime'",
        )?;
        row.number(0, "Uptime")
    }

    /// Waits until no other lsnap asks this server for changed pages. Until
    /// [`Self::page_tracking_release`], or the end of the connection, none does.
    ///
    /// # Errors
    /// [`ServerError::PageTracking`] when it takes longer than half a minute.
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

    /// Lets other lsnaps ask.
    ///
    /// # Errors
    /// A failed query.
    pub fn page_tracking_release(&mut self) -> Result<(), ServerError> {
        self.run(
            "letting others read changed pages",
            &format!("DO RELEASE_LOCK('{ONE_AT_A_TIME}')"),
        )
    }

    /// The id under which somebody last asked for changed pages; `None`: nobody since the server started.
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

    /// Has the server write the pages that it lists since the reset point at or below `from` into
    /// `#meb/<id>.idx` of its datadir. Returns how many entries must be in it at least; when that is 0
    /// there may be no file.
    ///
    /// # Errors
    /// A missing `SYSTEM_VARIABLES_ADMIN`; [`ServerError::PageTracking`] when there is a gap in the list, or
    /// somebody set another id meanwhile.
    pub fn write_changed_pages(&mut self, id: &str, from: Lsn) -> Result<u64, ServerError> {
        // A range without a checkpoint in it is refused like one with a gap; a reset point that is still
        // older gives more than was asked for.
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

    /// How many entries are listed up to the last checkpoint.
    fn changed_page_count(&mut self, from: Lsn) -> Result<u64, ServerError> {
        let call = format!("mysqlbackup_page_track_get_changed_page_count({from}, 0)");
        match self.tracker(&call)? {
            count if count >= 0 => Ok(count.unsigned_abs()),
            code => Err(refused(&call, code)),
        }
    }

    fn tracker(&mut self, call: &str) -> Result<i64, ServerError> {
        // The list of the pages that changed is written to a file meanwhile.
        let answer = self.within(UNHURRIED);
        match answer.row("asking for page tracking", &format!("SELECT {call}")) {
            Ok(row) => row.number(0, call),
            Err(ServerError::Query { code, .. }) if NO_FUNCTION.contains(&code) => {
                Err(ServerError::NoPageTracking)
            }
            Err(error) => Err(error),
        }
    }
}

/// The position one byte earlier.
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
        what: format!("{call} answered {code}; the server's error log may say why"),
    }
}
