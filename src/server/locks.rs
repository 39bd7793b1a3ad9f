//! The locks of a backup, and who stands in their way.
//!
//! `LOCK INSTANCE FOR BACKUP` keeps DDL out and lets DML go on; several backups may hold it. `FLUSH TABLES WITH
//! READ LOCK` keeps all writes out, and **while it waits** for a long statement it keeps new writes waiting
//! behind it: its timeout should be short.

use std::time::Duration;

use super::{Server, ServerError};

/// `lock_wait_timeout` takes 1 s to one year.
const LONGEST_WAIT: u64 = 31_536_000;
const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// One lock statement and what is needed to explain its failure.
struct Request {
    statement: &'static str,
    option: &'static str,
    /// The kinds of metadata locks that can stand in its way, as SQL literals.
    kinds: &'static str,
}

const INSTANCE: Request = Request {
    statement: "LOCK INSTANCE FOR BACKUP",
    option: "--lock-ddl-timeout",
    kinds: "'BACKUP LOCK'",
};
const FLUSH: Request = Request {
    statement: "FLUSH NO_WRITE_TO_BINLOG TABLES",
    option: "--lock-tables-timeout",
    kinds: "'GLOBAL', 'COMMIT', 'TABLE'",
};
const READ_LOCK: Request = Request {
    statement: "FLUSH TABLES WITH READ LOCK",
    ..FLUSH
};

impl Server {
    /// Keeps DDL out until [`Self::unlock_instance`] or the end of the connection.
    ///
    /// # Errors
    /// [`ServerError::LockTimeout`] with those who hold it, when it isn't to be had within `timeout` (whole
    /// seconds, at least 1); a missing `BACKUP_ADMIN`.
    pub fn lock_instance(&mut self, timeout: Duration) -> Result<(), ServerError> {
        self.lock("keeping DDL out", &INSTANCE, timeout)
    }

    /// Lets DDL in again.
    ///
    /// # Errors
    /// A broken connection (which has let it in too).
    pub fn unlock_instance(&mut self) -> Result<(), ServerError> {
        self.run("letting DDL in again", "UNLOCK INSTANCE")
    }

    /// Flushes all tables, then keeps all writes out until [`Self::unlock_tables`]. For user tables of engines
    /// without redo. `timeout` is for each of the two statements.
    ///
    /// # Errors
    /// As [`Self::lock_instance`]; needs `RELOAD`.
    pub fn lock_tables(&mut self, timeout: Duration) -> Result<(), ServerError> {
        let doing = "keeping writes out";
        // Flushing first makes the time under the lock shorter.
        self.lock(doing, &FLUSH, timeout)?;
        self.lock(doing, &READ_LOCK, timeout)
    }

    /// Lets writes in again.
    ///
    /// # Errors
    /// A broken connection (which has let them in too).
    pub fn unlock_tables(&mut self) -> Result<(), ServerError> {
        self.run("letting writes in again", "UNLOCK TABLES")
    }

    /// Whether users have tables of engines without redo (MyISAM, CSV, ARCHIVE, MERGE), which can only be copied
    /// under [`Self::lock_tables`].
    ///
    /// `INFORMATION_SCHEMA.TABLES` hides a table from an account that has no privilege on it, so this needs one
    /// table privilege on `*.*`; [`Self::check_privileges`] asks for it.
    ///
    /// # Errors
    /// A failed query.
    pub fn has_non_innodb_tables(&mut self) -> Result<bool, ServerError> {
        let rows = self.rows(
            "looking for tables of engines without redo",
            "SELECT 1 FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
             AND ENGINE IN ('MyISAM', 'CSV', 'ARCHIVE', 'MRG_MYISAM') \
             AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') LIMIT 1",
        )?;
        Ok(!rows.is_empty())
    }

    fn lock(
        &mut self,
        doing: &'static str,
        request: &Request,
        timeout: Duration,
    ) -> Result<(), ServerError> {
        let seconds = timeout.as_secs().clamp(1, LONGEST_WAIT);
        self.run(doing, &format!("SET SESSION lock_wait_timeout = {seconds}"))?;
        match self.run(doing, request.statement) {
            Err(ServerError::Query {
                code: LOCK_WAIT_TIMEOUT,
                ..
            }) => Err(ServerError::LockTimeout {
                statement: request.statement,
                seconds,
                holders: self.holders(request.kinds),
                option: request.option,
            }),
            other => other,
        }
    }

    /// Who stands in the way; where the account may not see the locks, the statements that run longest.
    fn holders(&mut self, kinds: &str) -> String {
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

fn describe(row: &super::connect::Cells) -> String {
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
fn kind_of(statement: Option<&str>) -> String {
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
