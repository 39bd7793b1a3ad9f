//! The initialisation of a session: no result that lsnap reads may depend on the server's global
//! variables or on its `init_connect`.
//!
//! `COM_RESET_CONNECTION` ends everything that `init_connect` may have left (a transaction, `LOCK
//! TABLES`, temporary tables, user variables, locks of `GET_LOCK`) and doesn't run `init_connect`
//! again. After it, session variables have the global values, so each that affects a result is set.
//! Roles stay as `init_connect` set them: that may be intended, and the privileges are checked in
//! the same session.

use std::time::{Duration, Instant};

use super::connect::SessionId;
use super::refusal::denied;
use super::wire::Command;
use super::{Server, ServerError};

/// `lock_wait_timeout` of all statements except for the locks themselves, in seconds.
pub(super) const LOCK_WAIT: u64 = 60;
/// Time limit for the complete initialisation.
const LIMIT: Duration = Duration::from_secs(60);

const UNKNOWN_VARIABLE: u16 = 1193;
const ABORTED_BY_SERVER: u16 = 1184;
const PASSWORD_EXPIRED: u16 = 1820;

/// The statements of the initialisation. Unknown variables are ignored: they can't affect a server
/// that doesn't have them.
///
/// The order matters: `completion_type` before the `ROLLBACK` (2 ends the session after it),
/// `max_join_size` before `sql_big_selects` (which it sets).
const SESSION: &[&str] = &[
    "SET SESSION completion_type = 0",
    "SET SESSION autocommit = 1",
    "ROLLBACK",
    "UNLOCK TABLES",
    "SET NAMES utf8mb4 COLLATE utf8mb4_general_ci",
    "SET SESSION sql_mode = ''",
    // The number of rows: the maxima as literals, because DEFAULT is the global value.
    "SET SESSION sql_select_limit = 18446744073709551615",
    "SET SESSION max_join_size = 18446744073709551615",
    "SET SESSION sql_big_selects = 1",
    "SET SESSION sql_safe_updates = 0",
    "SET SESSION sql_auto_is_null = 0",
    "SET SESSION group_concat_max_len = 4294967295",
    "SET SESSION max_execution_time = 0",
    // The visibility of rows: committed ones, without delay, of this server.
    "SET SESSION transaction_isolation = 'REPEATABLE-READ'",
    "SET SESSION transaction_read_only = 0",
    "SET SESSION information_schema_stats_expiry = 86400",
    "SET SESSION show_gipk_in_create_table_and_information_schema = 1",
    "SET SESSION optimizer_switch = 'default'",
    "SET SESSION use_secondary_engine = 'OFF'",
    "SET SESSION group_replication_consistency = 'EVENTUAL'",
    "SET SESSION wsrep_sync_wait = 0",
    // The contents of rows.
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION timestamp = DEFAULT",
    "SET SESSION default_week_format = 0",
    "SET SESSION lc_time_names = 'en_US'",
    "SET SESSION div_precision_increment = 4",
    "SET SESSION sql_quote_show_create = 1",
    "SET SESSION terminology_use_previous = 'NONE'",
    // Time limits: a lock or a backup may idle for hours; an answer is read immediately, but the
    // machine may be busy.
    "SET SESSION wait_timeout = 2147483",
    "SET SESSION net_read_timeout = 600",
    "SET SESSION net_write_timeout = 600",
    "SET SESSION lock_wait_timeout = 60",
    "SET SESSION innodb_lock_wait_timeout = 50",
];

const DOING: &str = "initialising the session";

impl Server {
    /// Initialises the session; every connection uses it.
    pub(super) fn initialise(&mut self, answer_limit: Option<Duration>) -> Result<(), ServerError> {
        let end = Instant::now() + answer_limit.unwrap_or(LIMIT);
        self.limit_until(end);
        // A proxy may not support it.
        match self.send(DOING, "COM_RESET_CONNECTION", Command::ResetConnection, "") {
            Err(ServerError::Query {
                code: ABORTED_BY_SERVER,
                message,
                ..
            }) => {
                return Err(ServerError::InitConnect {
                    target: self.target().to_owned(),
                    message,
                });
            }
            // MySQL 9.7 only closes the connection.
            Err(ServerError::Gone { detail, .. }) => {
                return Err(ServerError::InitConnect {
                    target: self.target().to_owned(),
                    message: detail,
                });
            }
            Ok(_) | Err(ServerError::Query { .. }) => {}
            Err(error) => return Err(error),
        }
        for statement in SESSION {
            self.limit_until(end);
            match self.run(DOING, statement) {
                Err(ServerError::Query {
                    code: UNKNOWN_VARIABLE,
                    ..
                }) => {}
                Err(ServerError::Query {
                    code: code @ PASSWORD_EXPIRED,
                    message,
                    ..
                }) => {
                    return Err(denied(
                        self.options(),
                        self.target().to_owned(),
                        code,
                        message,
                    ));
                }
                other => other?,
            }
        }
        self.limit_until(end);
        self.session = self.session_id()?;
        Ok(())
    }

    fn limit_until(&mut self, end: Instant) {
        self.within(end.saturating_duration_since(Instant::now()));
    }

    /// Returns the ids of the session; `None` for a server without UUID, which isn't MySQL.
    fn session_id(&mut self) -> Result<Option<SessionId>, ServerError> {
        match self.row(DOING, "SELECT @@server_uuid, CONNECTION_ID()") {
            Ok(row) => Ok(Some(SessionId {
                server: row.text(0, "server_uuid")?,
                connection: row.text(1, "CONNECTION_ID()")?,
            })),
            Err(ServerError::Query {
                code: UNKNOWN_VARIABLE,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks that the session is still the initialised one, which holds the locks.
    ///
    /// # Errors
    /// [`ServerError::Gone`] if it ended, or if a proxy replaced it by another one.
    pub fn check_session(&mut self) -> Result<(), ServerError> {
        let Some(before) = self.session.clone() else {
            return self.ping();
        };
        let doing = "checking the session";
        let row = self.row(doing, "SELECT @@server_uuid, CONNECTION_ID()")?;
        if (row.get(0), row.get(1)) == (Some(&before.server), Some(&before.connection)) {
            return Ok(());
        }
        Err(ServerError::Gone {
            doing,
            target: self.target().to_owned(),
            detail: format!(
                "another session answers: connection {} of server {}, before it was {} of {}",
                row.get(1).unwrap_or("?"),
                row.get(0).unwrap_or("?"),
                before.connection,
                before.server
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_affects_only_the_session() {
        for statement in SESSION {
            let known = ["SET SESSION ", "SET NAMES ", "ROLLBACK", "UNLOCK TABLES"];
            assert!(
                known.iter().any(|k| statement.starts_with(k)),
                "{statement}"
            );
        }
        let wait = format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}");
        assert!(SESSION.contains(&wait.as_str()));
    }
}
