//! Locking all tables at a moment at which it hurts nobody.
//!
//! What `FLUSH TABLES` and `FLUSH TABLES WITH READ LOCK` do (seen on MySQL 9.7.4; bug 44884 is about it): both mark
//! every open table as old and wait until no statement uses an old one. A later statement on such a table waits for
//! the same, and **goes on waiting when the flush was given up, killed or timed out**: until the statement ends that
//! was there first. The server doesn't notice that a client is gone while its flush waits. So:
//! * no flush begins while a statement that runs for long uses a table; the longer the backup has waited, the older
//!   a statement may be;
//! * each try is short ([`TRY`]), and the server itself ends it;
//! * between tries the others have time to pass.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::connect::Cells;
use super::locks::{kind_of, late};
use super::{Server, ServerError};

/// How long one flush waits for statements that were short when it began.
const TRY: Duration = Duration::from_secs(3);
/// The time between two looks at the statements that run.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The time between two tries: longer than one.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// The youngest statement that counts as long, in seconds, at the beginning.
const LONG: u64 = 1;
/// After so many seconds of waiting, a statement may be a second older.
const PATIENCE: u64 = 20;

const FLUSH: &str = "FLUSH NO_WRITE_TO_BINLOG TABLES";
const READ_LOCK: &str = "FLUSH TABLES WITH READ LOCK";
const DOING: &str = "keeping writes out";

impl Server {
    /// Flushes all tables, then keeps all writes out until [`Self::unlock_tables`]. For user tables of engines
    /// without redo.
    ///
    /// # Errors
    /// [`ServerError::LockTimeout`] with what was in the way, when there was no good moment within `timeout`; the
    /// server is then as it was. Needs `RELOAD`.
    pub fn lock_tables(&mut self, timeout: Duration) -> Result<(), ServerError> {
        let began = Instant::now();
        loop {
            // Flushing first makes the time under the lock shorter.
            let mut in_the_way = None;
            for statement in [FLUSH, READ_LOCK] {
                let age = LONG + began.elapsed().as_secs() / PATIENCE;
                let long = self.long_statements(age)?;
                if !long.is_empty() {
                    in_the_way = Some((statement, long.join("; "), LOOK_AGAIN));
                } else if !self.try_lock(DOING, statement, TRY.min(timeout))? {
                    let holders = self.holders("'GLOBAL', 'COMMIT', 'TABLE'");
                    in_the_way = Some((statement, holders, TRY_AGAIN));
                }
                if in_the_way.is_some() {
                    break;
                }
            }
            self.usual_lock_wait(DOING)?;
            let Some((statement, holders, pause)) = in_the_way else {
                return Ok(());
            };
            // A read lock that failed half-way is none (seen), but that is not written anywhere.
            self.unlock_tables()?;
            if began.elapsed() + pause >= timeout {
                return Err(late(statement, timeout, holders));
            }
            self.pause(DOING, pause)?;
        }
    }

    /// The statements that have run for `seconds` or longer and use a table, for people.
    fn long_statements(&mut self, seconds: u64) -> Result<Vec<String>, ServerError> {
        let doing = "looking for statements that run for long";
        let running = self.rows(doing, "SHOW PROCESSLIST")?;
        let mine = self.session.as_ref().map(|seat| seat.connection.clone());
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
            last.text += " (with SELECT on performance_schema.* the account would see which of them use a table; only \
                          those are waited for)";
        }
        Ok(long.into_iter().map(|r| r.text).collect())
    }

    /// The connections that hold a lock on any table. `None`: that can't be seen.
    fn table_users(&mut self, doing: &'static str) -> Option<BTreeSet<String>> {
        let statement = "SELECT DISTINCT t.PROCESSLIST_ID, t.PROCESSLIST_ID = CONNECTION_ID() \
             FROM performance_schema.metadata_locks m JOIN performance_schema.threads t \
             ON t.THREAD_ID = m.OWNER_THREAD_ID WHERE m.LOCK_STATUS = 'GRANTED' AND m.OBJECT_TYPE = 'TABLE' \
             AND t.PROCESSLIST_ID IS NOT NULL";
        let rows = self.rows(doing, statement).ok()?;
        // This query uses tables itself: where it doesn't see that, it sees nothing.
        let sees = rows.iter().any(|row| row.get(1) == Some("1"));
        let ids = rows.iter().filter_map(|row| row.get(0));
        sees.then(|| ids.map(str::to_owned).collect())
    }
}

/// One line of the process list that is a client's statement.
#[derive(Debug, PartialEq, Eq)]
struct Running {
    id: String,
    seconds: u64,
    text: String,
}

impl Running {
    fn of(row: &Cells) -> Option<Self> {
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
        // What replication applies is short, but shows the time since its source ran it.
        if !matches!(command, "Query" | "Execute") || user == "system user" {
            return None;
        }
        // It is negative on a clock that was put back.
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
    fn only_statements_of_clients_are_waited_for() {
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
    fn a_pause_is_longer_than_what_came_before_it() {
        assert!(TRY_AGAIN > TRY);
    }
}
