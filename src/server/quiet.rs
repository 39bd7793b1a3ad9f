//! Locks all tables at a time when other sessions are blocked only briefly.
//!
//! The effect of `FLUSH TABLES` and `FLUSH TABLES WITH READ LOCK` (seen on MySQL 9.7.4; see bug
//! 44884): both mark every open table as old and wait until no statement uses an old one. A later
//! statement on such a table also waits for that, and **continues to wait after the flush was
//! abandoned, killed or timed out**: until the earlier statement ends. The server doesn't notice a
//! lost client while its flush waits. So:
//! * no flush starts while a long-running statement uses a table; the longer the backup has waited,
//!   the older a statement may be;
//! * each attempt is short ([`TRY_LIMIT`]), and the server itself ends it;
//! * between attempts, other statements can run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::connect::Row;
use super::locks::{kind_of, lock_timeout};
use super::{Server, ServerError};

/// Time limit of one flush, which waits for statements that were short when it began.
const TRY_LIMIT: Duration = Duration::from_secs(3);
/// Interval between two checks for long statements.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Pause between two attempts: longer than one attempt.
const TRY_PAUSE: Duration = Duration::from_secs(5);
/// Initial minimum age of a long statement, in seconds.
const LONG: u64 = 1;
/// The minimum age grows by one second after each such period of waiting, in seconds.
const AGE_STEP: u64 = 20;

const FLUSH: &str = "FLUSH NO_WRITE_TO_BINLOG TABLES";
const READ_LOCK: &str = "FLUSH TABLES WITH READ LOCK";
const DOING: &str = "blocking writes";

impl Server {
    /// Flushes all tables, then blocks all writes until [`Self::unlock_tables`]. For user tables of
    /// engines without redo.
    ///
    /// # Errors
    /// [`ServerError::LockTimeout`] with the blocking statements, if the lock wasn't possible
    /// within `timeout`; the server is then unchanged. Needs `RELOAD`.
    pub fn lock_tables(&mut self, timeout: Duration) -> Result<(), ServerError> {
        let began = Instant::now();
        loop {
            // Flushing first shortens the time under the lock.
            let mut blocked = None;
            for statement in [FLUSH, READ_LOCK] {
                let age = LONG + began.elapsed().as_secs() / AGE_STEP;
                let long = self.long_statements(age)?;
                if !long.is_empty() {
                    blocked = Some((statement, long.join("; "), CHECK_INTERVAL));
                } else if !self.try_lock(DOING, statement, TRY_LIMIT.min(timeout))? {
                    let holders = self.holders("'GLOBAL', 'COMMIT', 'TABLE'");
                    blocked = Some((statement, holders, TRY_PAUSE));
                }
                if blocked.is_some() {
                    break;
                }
            }
            self.reset_lock_wait(DOING)?;
            let Some((statement, holders, pause)) = blocked else {
                return Ok(());
            };
            // A read lock that failed halfway isn't held (tested), but that isn't documented.
            self.unlock_tables()?;
            if began.elapsed() + pause >= timeout {
                return Err(lock_timeout(statement, timeout, holders));
            }
            self.pause(DOING, pause)?;
        }
    }

    /// Returns descriptions of the statements that have run for `seconds` or longer and use a
    /// table.
    fn long_statements(&mut self, seconds: u64) -> Result<Vec<String>, ServerError> {
        let doing = "listing long-running statements";
        let running = self.rows(doing, "SHOW PROCESSLIST")?;
        let mine = self
            .session
            .as_ref()
            .map(|session_id| session_id.connection.clone());
        let mut long: Vec<Running> = running.iter().filter_map(Running::of).collect();
        long.retain(|r| r.seconds >= seconds && mine.as_deref() != Some(&r.id));
        if long.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(users) = self.table_users(doing) {
            long.retain(|r| users.contains(&r.id));
            return Ok(long.iter().map(|r| r.text.clone()).collect());
        }
        let last = long.last_mut();
        if let Some(last) = last {
            last.text += " (with SELECT on performance_schema.* the account could see which of them use a table; only \
                          those are waited for)";
        }
        Ok(long.into_iter().map(|r| r.text).collect())
    }

    /// Returns the ids of connections that hold a lock on any table; `None` if the account can't
    /// see the locks.
    fn table_users(&mut self, doing: &'static str) -> Option<BTreeSet<String>> {
        let statement = "SELECT DISTINCT t.PROCESSLIST_ID, t.PROCESSLIST_ID = CONNECTION_ID() \
             FROM performance_schema.metadata_locks m JOIN performance_schema.threads t \
             ON t.THREAD_ID = m.OWNER_THREAD_ID WHERE m.LOCK_STATUS = 'GRANTED' AND m.OBJECT_TYPE = 'TABLE' \
             AND t.PROCESSLIST_ID IS NOT NULL";
        let rows = self.rows(doing, statement).ok()?;
        // This query itself locks tables: if its own locks aren't listed, the list is incomplete.
        let sees = rows.iter().any(|row| row.get(1) == Some("1"));
        let ids = rows.iter().filter_map(|row| row.get(0));
        sees.then(|| ids.map(str::to_owned).collect())
    }
}

/// A client's statement in the process list.
#[derive(Debug, PartialEq, Eq)]
struct Running {
    id: String,
    seconds: u64,
    text: String,
}

impl Running {
    fn of(row: &Row) -> Option<Self> {
        let named = |name| row.named(name).unwrap_or_default();
        Self::read(
            named("Id"),
            named("User"),
            named("Host"),
            named("Command"),
            named("Time"),
            row.named("Info"),
        )
    }

    fn read(
        id: &str,
        user: &str,
        host: &str,
        command: &str,
        time: &str,
        info: Option<&str>,
    ) -> Option<Self> {
        // Statements of the replication applier are short, but show the time since they ran on the
        // source.
        if !matches!(command, "Query" | "Execute") || user == "system user" {
            return None;
        }
        // The time is negative after the clock was set back.
        let seconds = time.parse().unwrap_or(0);
        Some(Self {
            id: id.to_owned(),
            seconds,
            text: format!(
                "connection {id} of {user}@{host}, {seconds} s, {}",
                kind_of(info)
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_of_clients_count_as_long() {
        let read = |user, command, time| Running::read("7", user, "h", command, time, None);
        assert_eq!(read("app", "Query", "3").map(|r| r.seconds), Some(3));
        assert_eq!(read("app", "Execute", "3").map(|r| r.seconds), Some(3));
        assert_eq!(read("app", "Query", "-1").map(|r| r.seconds), Some(0));
        for (user, command) in [
            ("app", "Sleep"),
            ("app", "Binlog Dump GTID"),
            ("event_scheduler", "Daemon"),
            ("system user", "Query"),
        ] {
            assert_eq!(read(user, command, "3"), None, "{user} {command}");
        }
    }

    #[test]
    fn a_pause_is_longer_than_an_attempt() {
        assert!(TRY_PAUSE > TRY_LIMIT);
    }
}
