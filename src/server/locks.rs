//! The locks of a backup, and who stands in their way.
//!
//! `LOCK INSTANCE FOR BACKUP` keeps DDL out and lets DML go on; several backups may hold it. While it waits for a
//! long DDL statement, other DDL waits behind it, so it waits in slices. What `FLUSH TABLES` and `FLUSH TABLES WITH
//! READ LOCK` do to others while they wait, and after, stands at [`super::quiet`].

use std::time::{Duration, Instant};

use super::connect::Cells;
use super::session::LOCK_WAIT;
use super::{Server, ServerError, engines};

/// The longest that one statement waits for a lock, before it lets others pass and tries again.
const SLICE: Duration = Duration::from_secs(10);
/// How much longer than a lock's own limit its answer is waited for.
const GRACE: Duration = Duration::from_secs(30);
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// The option that sets how long a lock is waited for.
const OPTION: &str = "--lock-timeout";
const INSTANCE: &str = "LOCK INSTANCE FOR BACKUP";

impl Server {
    /// Keeps DDL out until [`Self::unlock_instance`] or the end of the connection.
    ///
    /// # Errors
    /// [`ServerError::LockTimeout`] with those who hold it, when it isn't to be had within `timeout` (whole
    /// seconds, at least 1); a missing `BACKUP_ADMIN`.
    pub fn lock_instance(&mut self, timeout: Duration) -> Result<(), ServerError> {
        let doing = "keeping DDL out";
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
            return Err(late(INSTANCE, timeout, holders));
        }
        self.usual_lock_wait(doing)
    }

    /// Lets DDL in again.
    ///
    /// # Errors
    /// A broken connection (which has let it in too).
    pub fn unlock_instance(&mut self) -> Result<(), ServerError> {
        self.run("letting DDL in again", "UNLOCK INSTANCE")
    }

    /// Lets writes in again.
    ///
    /// # Errors
    /// A broken connection (which has let them in too).
    pub fn unlock_tables(&mut self) -> Result<(), ServerError> {
        self.run("letting writes in again", "UNLOCK TABLES")
    }

    /// Whether there are tables of engines without redo (MyISAM, CSV, ARCHIVE, MERGE), which can only be copied
    /// under [`Self::lock_tables`]; in the schemas `mysql` and `sys`, too. The two log tables don't count: that lock
    /// doesn't hold them.
    ///
    /// `INFORMATION_SCHEMA.TABLES` hides a table from an account that has no privilege on it, so this needs one
    /// table privilege on `*.*`; [`Self::check_privileges`] asks for it.
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
        let rows = self.rows("looking for tables of engines without redo", &statement)?;
        Ok(!rows.is_empty())
    }

    /// Runs a statement that waits for a lock for at most `limit` (whole seconds, at least 1). `false`: in vain.
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

    /// What comes after a lock shall not wait as long, or as short, as the lock.
    pub(super) fn usual_lock_wait(&mut self, doing: &'static str) -> Result<(), ServerError> {
        self.run(
            doing,
            &format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}"),
        )
    }

    /// Lets time pass between two tries.
    pub(super) fn pause(&self, doing: &'static str, time: Duration) -> Result<(), ServerError> {
        if self.cancel().wait(time) {
            return Err(ServerError::Interrupted { doing });
        }
        Ok(())
    }

    /// Who stands in the way; where the account may not see the locks, the statements that run longest.
    pub(super) fn holders(&mut self, kinds: &str) -> String {
        let exact = format!(
            "SELECT DISTINCT t.PROCESSLIST_ID, t.PROCESSLIST_USER, t.PROCESSLIST_HOST, t.PROCESSLIST_TIME, \
             t.PROCESSLIST_INFO FROM performance_schema.metadata_locks m JOIN performance_schema.threads t \
             ON t.THREAD_ID = m.OWNER_THREAD_ID WHERE m.LOCK_STATUS = 'GRANTED' AND m.OBJECT_TYPE IN ({kinds}) \
             AND t.PROCESSLIST_ID <> CONNECTION_ID() ORDER BY t.PROCESSLIST_TIME DESC LIMIT 5"
        );
        let doing = "looking for who holds the lock";
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
                "who holds it is not to be seen (no other statement runs now)".into()
            }
            Ok(rows) => format!(
                "running longest: {} (the holders themselves show only with SELECT on performance_schema.*)",
                rows.iter().map(describe).collect::<Vec<_>>().join("; ")
            ),
            Err(e) => format!("who holds it can't be seen: {e}"),
        }
    }
}

pub(super) fn late(statement: &'static str, timeout: Duration, holders: String) -> ServerError {
    ServerError::LockTimeout {
        statement,
        seconds: timeout.as_secs().max(1),
        holders,
        option: OPTION,
    }
}

/// A connection: id, user, host, seconds, statement.
pub(super) fn describe(row: &Cells) -> String {
    format!(
        "connection {} of {}@{}, {} s, {}",
        row.get(0).unwrap_or("?"),
        row.get(1).unwrap_or("?"),
        row.get(2).unwrap_or("?"),
        row.get(3).unwrap_or("?"),
        kind_of(row.get(4))
    )
}

/// The first words of a statement: enough to know it, too little to carry anybody's data into a log.
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
    fn a_statement_keeps_its_data_to_itself() {
        assert_eq!(kind_of(None), "idle");
        assert_eq!(
            kind_of(Some("alter table secret.t add x int")),
            "ALTER TABLE"
        );
        assert_eq!(kind_of(Some("SELECT 'password' FROM t")), "SELECT");
        assert_eq!(kind_of(Some("/* 4711 */ select 1")), "a statement");
    }
}
