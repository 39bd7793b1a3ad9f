//! The check of all privileges of a backup, before it begins.
//!
//! The necessary privileges were determined by running each statement as an account with only that
//! privilege (MySQL 9.7.4; `tests/server.rs` repeats it):
//!
//! | privilege | for |
//! |---|---|
//! | `BACKUP_ADMIN` | `LOCK INSTANCE FOR BACKUP`, `log_status`, the redo consumer |
//! | `RELOAD` | `FLUSH ...` and `FLUSH TABLES WITH READ LOCK` (`FLUSH_TABLES` isn't enough for the logs) |
//! | `PROCESS` | `INFORMATION_SCHEMA.FILES`, `INNODB_TABLESPACES`, `INNODB_DATAFILES` |
//! | `REPLICATION CLIENT` (or `SUPER`) | `SHOW REPLICA STATUS` |
//! | `SELECT` on `performance_schema.log_status` | `log_status` |
//! | one table privilege on `*.*`, of which `SHOW VIEW` permits least; only if the server has an unknown engine | to list the tables of that engine |
//! | `REPLICATION_SLAVE_ADMIN` (or `SUPER`); with `BackupOptions::stop_applier` | to stop and start the applier |
//! | `SELECT` on `mysql.slave_relay_log_info` and `mysql.slave_worker_info`; not required | a replica's position by file |
//! | `SYSTEM_VARIABLES_ADMIN` (or `SUPER`); not required | page tracking: `SET GLOBAL mysqlbackup.backupid` |
//!
//! The tables of known engines other than `InnoDB` are found by their files: without a table privilege, the list of
//! tables is incomplete, but nothing of it is needed. The files of an unknown engine, such as a plugin, can't be recognised.
//!
//! `SHOW GRANTS` lists the privileges of the account itself, of its active roles and of mandatory
//! roles, and partial revokes as `REVOKE` lines.

use super::grants::Grants;
use super::{Server, ServerError};

/// With any of these privileges on a table, `INFORMATION_SCHEMA.TABLES` lists it.
const TABLE_PRIVILEGES: [&str; 12] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "CREATE VIEW",
    "SHOW VIEW",
    "TRIGGER",
];

/// The part of the server's tables that `INFORMATION_SCHEMA.TABLES` lists to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedTables {
    /// All of them.
    All,
    /// Perhaps not all: the account lacks a table privilege on `*.*`.
    Some,
}

impl Server {
    /// Checks all privileges of a backup. Returns whether the account sees all tables.
    ///
    /// # Errors
    /// [`ServerError::MissingPrivileges`] with every missing privilege and the statement that
    /// grants exactly those.
    pub fn check_privileges(&mut self) -> Result<ListedTables, ServerError> {
        let doing = "checking the privileges";
        let Some(grants) = self.grants(doing)? else {
            return Ok(ListedTables::All);
        };
        let engines = self.unknown_engines()?;
        let missing = missing(&grants, !engines.is_empty());
        if missing.is_empty() {
            return Ok(if Needed::TableVisibility.is_met_by(&grants) {
                ListedTables::All
            } else {
                ListedTables::Some
            });
        }
        let who = self.row(doing, "SELECT CURRENT_USER(), CURRENT_ROLE()")?;
        let account = quoted_account(&who.text(0, "CURRENT_USER()")?);
        let active = who.get(1).unwrap_or_default();
        let idle: Vec<&str> = grants
            .roles
            .iter()
            .map(String::as_str)
            .filter(|r| !active.contains(r))
            .collect();
        let hint = if idle.is_empty() {
            String::new()
        } else {
            format!(
                "\nor, if its role(s) {} have them, SET DEFAULT ROLE ALL TO {account};",
                idle.join(", ")
            )
        };
        Err(ServerError::MissingPrivileges {
            grant: grant_statement(&missing, &account),
            missing: missing.iter().map(|m| m.described(&engines)).collect(),
            account,
            hint,
        })
    }

    /// Returns whether the account may set global variables, which only page tracking needs.
    ///
    /// # Errors
    /// A failed query.
    pub fn may_set_global_variables(&mut self) -> Result<bool, ServerError> {
        let grants = self.grants("checking the privileges")?;
        Ok(grants.is_none_or(|g| g.has("SYSTEM_VARIABLES_ADMIN") || g.has("SUPER")))
    }

    /// Returns whether the account may stop and start the appliers of a replica.
    ///
    /// # Errors
    /// A failed query.
    pub fn may_stop_appliers(&mut self) -> Result<bool, ServerError> {
        let grants = self.grants("checking the privileges")?;
        Ok(grants.is_none_or(|g| g.has("REPLICATION_SLAVE_ADMIN") || g.has("SUPER")))
    }

    /// Returns the grants of the account; `None` if it has all privileges.
    fn grants(&mut self, doing: &'static str) -> Result<Option<Grants>, ServerError> {
        /// The server runs with `--skip-grant-tables`: every account has all privileges.
        const NO_GRANT_TABLES: u16 = 1290;
        let lines = match self.rows(doing, "SHOW GRANTS") {
            Err(ServerError::Query {
                code: NO_GRANT_TABLES,
                ..
            }) => return Ok(None),
            other => other?,
        };
        let lines: Vec<String> = lines
            .iter()
            .filter_map(|r| r.get(0).map(str::to_string))
            .collect();
        Ok(Some(Grants::parse(lines.iter().map(String::as_str))))
    }
}

/// A required privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needed {
    Global(&'static str),
    LogStatus,
    TableVisibility,
}

impl Needed {
    const ALL: [Self; 6] = [
        Self::Global("BACKUP_ADMIN"),
        Self::Global("PROCESS"),
        Self::Global("RELOAD"),
        Self::Global("REPLICATION CLIENT"),
        Self::TableVisibility,
        Self::LogStatus,
    ];

    /// Describes the privilege. `engines` are the unknown engines of the server.
    fn described(self, engines: &[String]) -> String {
        match self {
            Self::Global(name) => name.to_owned(),
            Self::LogStatus => "SELECT on performance_schema.log_status".to_owned(),
            Self::TableVisibility => format!(
                "SHOW VIEW on *.* (or another table privilege on *.*, to list the tables of {})",
                engines.join(", ")
            ),
        }
    }

    fn is_met_by(self, grants: &Grants) -> bool {
        match self {
            Self::Global("REPLICATION CLIENT") => {
                grants.has("REPLICATION CLIENT") || grants.has("SUPER")
            }
            Self::Global(name) => grants.has(name),
            Self::LogStatus => {
                let exempt = grants.is_revoked("SELECT", "performance_schema");
                grants.log_status || (grants.has("SELECT") && !exempt)
            }
            // A partial revoke hides a schema's tables unless another privilege shows them.
            Self::TableVisibility => TABLE_PRIVILEGES
                .iter()
                .any(|p| grants.has(p) && !grants.is_revoked_somewhere(p)),
        }
    }
}

/// Returns each requirement that the grants don't meet.
fn missing(grants: &Grants, unknown_engines: bool) -> Vec<Needed> {
    let all = Needed::ALL.into_iter();
    all.filter(|needed| unknown_engines || *needed != Needed::TableVisibility)
        .filter(|needed| !needed.is_met_by(grants))
        .collect()
}

fn grant_statement(missing: &[Needed], account: &str) -> String {
    let global: Vec<&str> = missing
        .iter()
        .filter_map(|m| match m {
            Needed::Global(name) => Some(*name),
            Needed::TableVisibility => Some("SHOW VIEW"),
            Needed::LogStatus => None,
        })
        .collect();
    let mut statements = Vec::new();
    if !global.is_empty() {
        statements.push(format!("GRANT {} ON *.* TO {account};", global.join(", ")));
    }
    if missing.contains(&Needed::LogStatus) {
        statements.push(format!(
            "GRANT SELECT ON performance_schema.log_status TO {account};"
        ));
    }
    statements.join(" ")
}

/// Quotes `user@host` of `CURRENT_USER()`: the host is the part after the last `@`.
fn quoted_account(text: &str) -> String {
    let quote = |part: &str| format!("`{}`", part.replace('`', "``"));
    match text.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", quote(user), quote(host)),
        None => quote(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With an unknown engine.
    fn missing(lines: &[&str]) -> Vec<Needed> {
        super::missing(&Grants::parse(lines.iter().copied()), true)
    }

    #[test]
    fn a_table_privilege_is_needed_only_for_an_unknown_engine() {
        let lines = [
            "GRANT RELOAD, PROCESS, LOCK TABLES, REPLICATION CLIENT ON *.* TO `bk`@`localhost`",
            "GRANT BACKUP_ADMIN ON *.* TO `bk`@`localhost`",
            "GRANT SELECT ON `performance_schema`.`log_status` TO `bk`@`localhost`",
        ];
        assert_eq!(missing(&lines), [Needed::TableVisibility]);
        let grants = Grants::parse(lines.into_iter());
        assert_eq!(super::missing(&grants, false), []);
        let text = Needed::TableVisibility.described(&["ROCKSDB".to_owned()]);
        assert!(text.contains("list the tables of ROCKSDB"), "{text}");
    }

    #[test]
    fn an_account_without_grants_lacks_everything() {
        let all = missing(&["GRANT USAGE ON *.* TO `bk`@`localhost`"]);
        assert_eq!(all, Needed::ALL);
        assert_eq!(
            grant_statement(&all, &quoted_account("bk@localhost")),
            "GRANT BACKUP_ADMIN, PROCESS, RELOAD, REPLICATION CLIENT, SHOW VIEW ON *.* TO `bk`@`localhost`; \
             GRANT SELECT ON performance_schema.log_status TO `bk`@`localhost`;"
        );
    }

    #[test]
    fn an_account_with_exactly_the_needed_privileges_is_accepted() {
        let exact = [
            "GRANT RELOAD, PROCESS, REPLICATION CLIENT, SHOW VIEW ON *.* TO `bk`@`localhost`",
            "GRANT BACKUP_ADMIN ON *.* TO `bk`@`localhost`",
            "GRANT SELECT ON `performance_schema`.`log_status` TO `bk`@`localhost`",
        ];
        assert_eq!(missing(&exact), []);
        assert_eq!(missing(&exact[..2]), [Needed::LogStatus]);
        assert_eq!(missing(&exact[1..]).len(), 4);
    }

    #[test]
    fn log_status_is_covered_by_schema_table_and_pattern() {
        for (scope, covered) in [
            ("`performance_schema`.*", true),
            ("`performance\\_schema`.*", true),
            ("`perf%`.*", true),
            ("`performance_schema`.`log_status`", true),
            ("`performance_schema`.`threads`", false),
            ("`other`.*", false),
        ] {
            let line = format!("GRANT SELECT ON {scope} TO `a ON b`@`%`");
            assert_eq!(
                Grants::parse([line.as_str()].into_iter()).log_status,
                covered,
                "{scope}"
            );
        }
        let columns =
            "GRANT SELECT (`LOCAL`, `REPLICATION`) ON `performance_schema`.`log_status` TO `u`@`%`";
        assert!(
            !Grants::parse([columns].into_iter()).log_status,
            "a privilege on columns isn't one on the table"
        );
    }

    #[test]
    fn partial_revokes_are_respected() {
        let lines = [
            "GRANT SELECT, RELOAD, PROCESS, SUPER ON *.* TO `pr`@`localhost`",
            "GRANT BACKUP_ADMIN ON *.* TO `pr`@`localhost`",
            "REVOKE SELECT ON `performance_schema`.* FROM `pr`@`localhost`",
        ];
        assert_eq!(missing(&lines[..2]), []);
        assert_eq!(
            missing(&lines),
            [Needed::TableVisibility, Needed::LogStatus]
        );
    }

    #[test]
    fn roles_are_parsed_separately() {
        let grants =
            Grants::parse(["GRANT `r1`@`%`,`o, ON x`@`%` TO `bk`@`localhost`"].into_iter());
        assert_eq!(grants.roles, ["`r1`@`%`", "`o, ON x`@`%`"]);
        assert_eq!(super::missing(&grants, true), Needed::ALL);
        assert_eq!(
            missing(&["GRANT PROXY ON ``@`` TO `root`@`localhost`"]),
            Needed::ALL
        );
    }

    #[test]
    fn accounts_are_quoted() {
        assert_eq!(quoted_account("a`b@c@%"), "`a``b@c`@`%`");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_without_a_panic(line in "(GRANT|REVOKE) .{0,80}") {
            let _ = missing(&[line.as_str()]);
        }
    }
}
