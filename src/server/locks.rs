//! The locks of a backup, and the report of their holders.
//!
//! `LOCK INSTANCE FOR BACKUP` blocks DDL and permits DML; several backups may hold it. While it
//! waits for a long DDL statement, other DDL waits behind it, so it waits in slices. The effects of
//! `FLUSH TABLES` and `FLUSH TABLES WITH READ LOCK` on other sessions are documented at
//! [`super::quiet`].

use std::time::{Duration, Instant};

use super::connect::Row;
use super::session::LOCK_WAIT;
use super::{Server, ServerError, engines};

/// Maximum time that one statement waits for a lock, before other statements may pass and it is
/// tried again.
const SLICE: Duration = Duration::from_secs(10);
/// Time limit for the answer, in addition to the limit of the lock.
const GRACE: Duration = Duration::from_secs(30);
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// The option for the time limit of a lock.
const OPTION: &str = "BackupOptions::lock_timeout";
const INSTANCE: &str = "LOCK INSTANCE FOR BACKUP";

impl Server {
    /// Blocks DDL until [`Self::unlock_instance`] or the end of the connection.
    ///
    /// # Errors
    /// [`ServerError::LockTimeout`] with the holders, if the lock isn't available within `timeout`
    /// (whole seconds, at least 1); a missing `BACKUP_ADMIN`.
    pub fn lock_instance(&mut self, timeout: Duration) -> Result<(), ServerError> {
        let doing = "blocking DDL";
        let end = Instant::now() + timeout;
        let got = loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.try_lock(doing, INSTANCE, left.min(SLICE))? {
                break true;
            }
            if Instant::now() >= end {
                break false;
            }
        };
        if !got {
            let holders = self.holders("'BACKUP LOCK'");
            return Err(lock_timeout(INSTANCE, timeout, holders));
        }
        self.reset_lock_wait(doing)
    }

    /// Permits DDL again.
    ///
    /// # Errors
    /// A lost connection (which also ends the lock).
    pub fn unlock_instance(&mut self) -> Result<(), ServerError> {
        self.run("permitting DDL again", "UNLOCK INSTANCE")
    }

    /// Permits writes again.
    ///
    /// # Errors
    /// A lost connection (which also ends the lock).
    pub fn unlock_tables(&mut self) -> Result<(), ServerError> {
        self.run("permitting writes again", "UNLOCK TABLES")
    }

    /// Returns whether there are tables of engines without redo (MyISAM, CSV, ARCHIVE, MERGE),
    /// which can only be copied under [`Self::lock_tables`], including the schemas `mysql` and
    /// `sys`. The two log tables don't count, because that lock doesn't cover them.
    ///
    /// `INFORMATION_SCHEMA.TABLES` hides a table from an account without a privilege on it, so the
    /// answer `false` is certain only with one table privilege on `*.*` ([`Self::check_privileges`]).
    ///
    /// # Errors
    /// A failed query.
    pub fn has_non_innodb_tables(&mut self) -> Result<bool, ServerError> {
        let engines = engines::COPIED.join("', '");
        let statement = format!(
            "SELECT 1 FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE IN ('{engines}') \
             AND TABLE_SCHEMA NOT IN ('performance_schema', 'information_schema') \
             AND NOT (TABLE_SCHEMA = 'mysql' AND TABLE_NAME IN ('general_log', 'slow_log')) LIMIT 1"
        );
        let rows = self.rows("listing tables of engines without redo", &statement)?;
        Ok(!rows.is_empty())
    }

    /// Runs a statement that waits for a lock for at most `limit` (whole seconds, at least 1);
    /// returns whether it got the lock.
    pub(super) fn try_lock(
        &mut self,
        doing: &'static str,
        statement: &'static str,
        limit: Duration,
    ) -> Result<bool, ServerError> {
        let seconds = limit.as_secs().max(1);
        self.run(doing, &format!("SET SESSION lock_wait_timeout = {seconds}"))?;
        let limit = Duration::from_secs(seconds) + GRACE;
        match self.within(limit).run(doing, statement) {
            Ok(()) => Ok(true),
            Err(ServerError::Query {
                code: LOCK_WAIT_TIMEOUT,
                ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Resets the lock wait limit: later statements must not have the limit of the lock.
    pub(super) fn reset_lock_wait(&mut self, doing: &'static str) -> Result<(), ServerError> {
        self.run(
            doing,
            &format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}"),
        )
    }

    /// Waits between two attempts.
    pub(super) fn pause(&self, doing: &'static str, time: Duration) -> Result<(), ServerError> {
        if self.cancel().wait(time) {
            return Err(ServerError::Interrupted { doing });
        }
        Ok(())
    }

    /// Returns the holders of the lock; if the account can't read the locks, the statements that
    /// run longest.
    pub(super) fn holders(&mut self, kinds: &str) -> String {
        let exact = format!(
            "SELECT DISTINCT t.PROCESSLIST_ID, t.PROCESSLIST_USER, t.PROCESSLIST_HOST, t.PROCESSLIST_TIME, \
             t.PROCESSLIST_INFO FROM performance_schema.metadata_locks m JOIN performance_schema.threads t \
             ON t.THREAD_ID = m.OWNER_THREAD_ID WHERE m.LOCK_STATUS = 'GRANTED' AND m.OBJECT_TYPE IN ({kinds}) \
             AND t.PROCESSLIST_ID <> CONNECTION_ID() ORDER BY t.PROCESSLIST_TIME DESC LIMIT 5"
        );
        let doing = "listing the holders of the lock";
        let held = self.rows(doing, &exact).unwrap_or_default();
        if !held.is_empty() {
            return format!(
                "held by {}",
                held.iter().map(describe).collect::<Vec<_>>().join("; ")
            );
        }
        let longest = "SELECT ID, USER, HOST, TIME, INFO FROM performance_schema.processlist \
             WHERE ID <> CONNECTION_ID() AND COMMAND IN ('Query', 'Execute') ORDER BY TIME DESC LIMIT 5";
        match self.rows(doing, longest) {
            Ok(rows) if rows.is_empty() => {
                "its holders can't be determined (no other statement runs now)".into()
            }
            Ok(rows) => format!(
                "running longest: {} (the exact holders need SELECT on performance_schema.*)",
                rows.iter().map(describe).collect::<Vec<_>>().join("; ")
            ),
            Err(e) => format!("its holders can't be determined: {e}"),
        }
    }
}

pub(super) fn lock_timeout(
    statement: &'static str,
    timeout: Duration,
    holders: String,
) -> ServerError {
    ServerError::LockTimeout {
        statement,
        seconds: timeout.as_secs().max(1),
        holders,
        option: OPTION,
    }
}

/// Describes a connection: id, user, host, seconds, statement.
pub(super) fn describe(row: &Row) -> String {
    format!(
        "connection {} of {}@{}, {} s, {}",
        row.get(0).unwrap_or("?"),
        row.get(1).unwrap_or("?"),
        row.get(2).unwrap_or("?"),
        row.get(3).unwrap_or("?"),
        kind_of(row.get(4))
    )
}

/// Returns the first words of a statement: enough to recognise it, without the user's data, which
/// must not get into a log.
pub(super) fn kind_of(statement: Option<&str>) -> String {
    let Some(statement) = statement else {
        return "idle".into();
    };
    let words: Vec<String> = statement
        .split_whitespace()
        .take(2)
        .take_while(|w| w.len() <= 16 && w.chars().all(|c| c.is_ascii_alphabetic()))
        .map(str::to_ascii_uppercase)
        .collect();
    if words.is_empty() {
        "a statement".into()
    } else {
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_of_statements_contain_no_data() {
        assert_eq!(kind_of(None), "idle");
        assert_eq!(
            kind_of(Some("alter table secret.t add x int")),
            "ALTER TABLE"
        );
        assert_eq!(kind_of(Some("SELECT 'password' FROM t")), "SELECT");
        assert_eq!(kind_of(Some("/* 4711 */ select 1")), "a statement");
    }
}
