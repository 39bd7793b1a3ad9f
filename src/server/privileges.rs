//! Whether this account may do all that a backup does, told before it begins and all at once.
//!
//! What is needed was found by running each statement as an account with that privilege alone (MySQL 9.7.4;
//! `tests/server.rs` does it again):
//!
//! | privilege | for |
//! |---|---|
//! | `BACKUP_ADMIN` | `LOCK INSTANCE FOR BACKUP`, `log_status`, the redo consumer |
//! | `RELOAD` | `FLUSH ...` and `FLUSH TABLES WITH READ LOCK` (`FLUSH_TABLES` isn't enough for the logs) |
//! | `PROCESS` | `INFORMATION_SCHEMA.FILES`, `INNODB_TABLESPACES`, `INNODB_DATAFILES` |
//! | `REPLICATION CLIENT` (or `SUPER`) | `SHOW REPLICA STATUS` |
//! | `SELECT` on `performance_schema.log_status` | `log_status` |
//! | one table privilege on `*.*`; `SHOW VIEW` is the mildest | to see user tables of other engines at all |
//! | `REPLICATION_SLAVE_ADMIN` (or `SUPER`); with `--safe-slave-backup` | to stop and start the applier |
//! | `SELECT` on `mysql.slave_relay_log_info` and `mysql.slave_worker_info`; not required | a replica's position by file |
//! | `SYSTEM_VARIABLES_ADMIN` (or `SUPER`); not required | page tracking: `SET GLOBAL mysqlbackup.backupid` |
//!
//! `SHOW GRANTS` lists what the account has by itself, by its active roles and by mandatory roles, and partial
//! revokes as `REVOKE` lines.

use super::{Server, ServerError};

/// Each makes `INFORMATION_SCHEMA.TABLES` show a table.
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

impl Server {
    /// Checks all privileges of a backup.
    ///
    /// # Errors
    /// [`ServerError::MissingPrivileges`] with every missing one and the statement that gives exactly those.
    pub fn check_privileges(&mut self) -> Result<(), ServerError> {
        let doing = "checking the privileges";
        let Some(grants) = self.grants(doing)? else {
            return Ok(());
        };
        let missing = grants.missing();
        if missing.is_empty() {
            return Ok(());
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
            missing: missing.iter().map(|m| m.described().to_string()).collect(),
            account,
            hint,
        })
    }

    /// Whether the account may set global variables, which only page tracking needs.
    ///
    /// # Errors
    /// A failed query.
    pub fn may_set_global_variables(&mut self) -> Result<bool, ServerError> {
        let grants = self.grants("checking the privileges")?;
        Ok(grants.is_none_or(|g| g.has("SYSTEM_VARIABLES_ADMIN") || g.has("SUPER")))
    }

    /// Whether the account may stop and start the appliers of a replica.
    ///
    /// # Errors
    /// A failed query.
    pub fn may_stop_appliers(&mut self) -> Result<bool, ServerError> {
        let grants = self.grants("checking the privileges")?;
        Ok(grants.is_none_or(|g| g.has("REPLICATION_SLAVE_ADMIN") || g.has("SUPER")))
    }

    /// What the account may do; `None`: everything.
    fn grants(&mut self, doing: &'static str) -> Result<Option<Grants>, ServerError> {
        /// The server runs with `--skip-grant-tables`: everybody may do everything.
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

/// One requirement.
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

    const fn described(self) -> &'static str {
        match self {
            Self::Global(name) => name,
            Self::LogStatus => "SELECT on performance_schema.log_status",
            Self::TableVisibility => {
                "SHOW VIEW on *.* (or another table privilege on *.*, to see tables that need a lock)"
            }
        }
    }
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

/// `user@host` as `CURRENT_USER()` says it, quoted: the host is what follows the last `@`.
fn quoted_account(text: &str) -> String {
    let quote = |part: &str| format!("`{}`", part.replace('`', "``"));
    match text.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", quote(user), quote(host)),
        None => quote(text),
    }
}

/// What `SHOW GRANTS` says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Grants {
    /// Privileges on `*.*`.
    global: Vec<String>,
    /// Privileges that some schema is exempted from (partial revokes): privilege, schema.
    revoked: Vec<(String, String)>,
    /// `SELECT` on `performance_schema.log_status` by schema or table.
    log_status: bool,
    /// Granted roles, as written.
    roles: Vec<String>,
}

impl Grants {
    fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut grants = Self::default();
        for line in lines {
            if let Some(rest) = line.strip_prefix("GRANT ") {
                grants.grant(rest);
            } else if let Some(rest) = line.strip_prefix("REVOKE ")
                && let Some((privileges, Scope::Schema(schema))) =
                    privileges_and_scope(rest, " FROM ")
            {
                grants
                    .revoked
                    .extend(privileges.into_iter().map(|p| (p, schema.clone())));
            }
        }
        grants
    }

    fn grant(&mut self, rest: &str) {
        match privileges_and_scope(rest, " TO ") {
            Some((privileges, Scope::Global)) => self.global.extend(privileges),
            Some((privileges, scope)) => {
                let select = privileges
                    .iter()
                    .any(|p| p == "SELECT" || p == "ALL PRIVILEGES");
                self.log_status |= select && scope.covers_log_status();
            }
            None => {
                // Roles: no ON.
                if let Some((roles, _)) = rest.split_once(" TO ") {
                    self.roles.extend(split(roles));
                }
            }
        }
    }

    fn has(&self, privilege: &str) -> bool {
        self.global
            .iter()
            .any(|p| p == privilege || p == "ALL PRIVILEGES")
    }

    fn missing(&self) -> Vec<Needed> {
        Needed::ALL
            .into_iter()
            .filter(|n| !self.satisfies(*n))
            .collect()
    }

    fn satisfies(&self, needed: Needed) -> bool {
        match needed {
            Needed::Global("REPLICATION CLIENT") => {
                self.has("REPLICATION CLIENT") || self.has("SUPER")
            }
            Needed::Global(name) => self.has(name),
            Needed::LogStatus => {
                let exempt = self
                    .revoked
                    .iter()
                    .any(|(p, schema)| p == "SELECT" && schema == "performance_schema");
                self.log_status || (self.has("SELECT") && !exempt)
            }
            // An exemption hides a schema's tables unless another privilege shows them.
            Needed::TableVisibility => TABLE_PRIVILEGES
                .iter()
                .any(|p| self.has(p) && !self.revoked.iter().any(|(r, _)| r == p)),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Scope {
    Global,
    Schema(String),
    Table(String, String),
    Other,
}

impl Scope {
    fn parse(text: &str) -> Self {
        if text == "*.*" {
            return Self::Global;
        }
        let Some((schema, rest)) = identifier(text) else {
            return Self::Other;
        };
        match rest.strip_prefix('.') {
            Some("*") => Self::Schema(schema),
            Some(table) => {
                identifier(table).map_or(Self::Other, |(table, _)| Self::Table(schema, table))
            }
            None => Self::Other,
        }
    }

    fn covers_log_status(&self) -> bool {
        match self {
            Self::Global => true,
            Self::Schema(pattern) => like(pattern.as_bytes(), b"performance_schema"),
            Self::Table(schema, table) => {
                schema.eq_ignore_ascii_case("performance_schema")
                    && table.eq_ignore_ascii_case("log_status")
            }
            Self::Other => false,
        }
    }
}

/// The privileges and the scope of `SELECT, RELOAD ON *.* TO ...`; `None` without `ON` (roles).
fn privileges_and_scope(rest: &str, end: &str) -> Option<(Vec<String>, Scope)> {
    let at = outside_quotes(rest, " ON ")?;
    let (privileges, after) = (&rest[..at], &rest[at + " ON ".len()..]);
    let scope = &after[..outside_quotes(after, end)?];
    Some((split(privileges), Scope::parse(scope)))
}

/// Where `needle` begins outside of backticks.
fn outside_quotes(text: &str, needle: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '`';
        (!quoted && text[at..].starts_with(needle)).then_some(at)
    })
}

/// The parts between commas that stand outside of backticks and parentheses (column lists); a part with a
/// column list is a privilege on those columns only and is left out.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted, mut start) = (Vec::new(), 0_usize, false, 0);
    for (at, c) in text.char_indices() {
        match c {
            '`' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    let trimmed = parts.into_iter().map(str::trim);
    trimmed
        .filter(|p| !p.is_empty() && (p.starts_with('`') || !p.contains('(')))
        .map(str::to_string)
        .collect()
}

/// A backquoted identifier at the start of `text`, and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('`')?;
    let mut name = String::new();
    let mut chars = inner.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '`' {
            name.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == '`') {
            chars.next();
            name.push('`');
        } else {
            return Some((name, &inner[at + 1..]));
        }
    }
    None
}

/// A schema in a grant is a pattern: `%` any text, `_` any one character, `\` takes the next one literally.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'%', rest @ ..], _) => (0..=text.len()).any(|skip| like(rest, &text[skip..])),
        ([b'\\', c, rest @ ..], [t, more @ ..]) => c == t && like(rest, more),
        ([b'_', rest @ ..], [_, more @ ..]) => like(rest, more),
        ([c, rest @ ..], [t, more @ ..]) => c.eq_ignore_ascii_case(t) && like(rest, more),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(lines: &[&str]) -> Vec<Needed> {
        Grants::parse(lines.iter().copied()).missing()
    }

    #[test]
    fn nothing_granted() {
        let all = missing(&["GRANT USAGE ON *.* TO `bk`@`localhost`"]);
        assert_eq!(all, Needed::ALL);
        assert_eq!(
            grant_statement(&all, &quoted_account("bk@localhost")),
            "GRANT BACKUP_ADMIN, PROCESS, RELOAD, REPLICATION CLIENT, SHOW VIEW ON *.* TO `bk`@`localhost`; \
             GRANT SELECT ON performance_schema.log_status TO `bk`@`localhost`;"
        );
    }

    #[test]
    fn exactly_enough() {
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
    fn log_status_by_schema_table_and_pattern() {
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
            "columns aren't the table"
        );
    }

    #[test]
    fn partial_revokes_take_away() {
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
    fn roles_are_kept_apart() {
        let grants =
            Grants::parse(["GRANT `r1`@`%`,`o, ON x`@`%` TO `bk`@`localhost`"].into_iter());
        assert_eq!(grants.roles, ["`r1`@`%`", "`o, ON x`@`%`"]);
        assert_eq!(grants.missing(), Needed::ALL);
        assert_eq!(
            Grants::parse(["GRANT PROXY ON ``@`` TO `root`@`localhost`"].into_iter()).missing(),
            Needed::ALL
        );
    }

    #[test]
    fn accounts_are_quoted() {
        assert_eq!(quoted_account("a`b@c@%"), "`a``b@c`@`%`");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(line in "(GRANT|REVOKE) .{0,80}") {
            let _ = Grants::parse([line.as_str()].into_iter()).missing();
        }
    }
}
