//! A parser for the lines of `SHOW GRANTS`.

/// The grants that matter for a backup.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Grants {
    /// Privileges on `*.*`.
    global: Vec<String>,
    /// Partial revokes: privilege and schema.
    revoked: Vec<(String, String)>,
    /// `SELECT` on `performance_schema.log_status` by schema or table.
    pub log_status: bool,
    /// Granted roles, as written.
    pub roles: Vec<String>,
}

impl Grants {
    pub(super) fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
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
                // A line without ON grants roles.
                if let Some((roles, _)) = rest.split_once(" TO ") {
                    self.roles.extend(split(roles));
                }
            }
        }
    }

    /// Returns whether the account has the privilege on `*.*`.
    pub(super) fn has(&self, privilege: &str) -> bool {
        self.global
            .iter()
            .any(|p| p == privilege || p == "ALL PRIVILEGES")
    }

    /// Returns whether the privilege is revoked for this schema.
    pub(super) fn is_revoked(&self, privilege: &str, schema: &str) -> bool {
        let mut revoked = self.revoked.iter();
        revoked.any(|(p, of)| p == privilege && of == schema)
    }

    /// Returns whether the privilege is revoked for any schema.
    pub(super) fn is_revoked_somewhere(&self, privilege: &str) -> bool {
        self.revoked.iter().any(|(p, _)| p == privilege)
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

/// Parses the privileges and the scope of `SELECT, RELOAD ON *.* TO ...`; returns `None` without
/// `ON` (roles).
fn privileges_and_scope(rest: &str, end: &str) -> Option<(Vec<String>, Scope)> {
    let at = outside_quotes(rest, " ON ")?;
    let (privileges, after) = (&rest[..at], &rest[at + " ON ".len()..]);
    let scope = &after[..outside_quotes(after, end)?];
    Some((split(privileges), Scope::parse(scope)))
}

/// Returns the offset of `needle` outside of backticks.
fn outside_quotes(text: &str, needle: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '`';
        (!quoted && text[at..].starts_with(needle)).then_some(at)
    })
}

/// Returns the parts between commas outside of backticks and parentheses (column lists). A part
/// with a column list is a privilege on these columns only, and is left out.
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

/// Parses a backquoted identifier at the start of `text`; returns it and the rest.
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

/// Matches a schema pattern of a grant: `%` is any text, `_` any character, `\` escapes the next
/// character.
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
