//! The rules of a filter, compiled.

use super::{PatternError, TableFilter, decoded, is_of_server, pattern};
use regex::Regex;
use std::collections::HashSet;

/// The sign of a partition in the name of a file. `#` of a table's name is encoded.
const PARTITION: [&str; 2] = ["#p#", "#P#"];

/// A database and a table, in the forms in which a filter may name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    schemas: Vec<String>,
    /// `db.table`, for a partition with its `#p#...`.
    whole: Vec<String>,
    /// `db.table` of the table of a partition; empty for others.
    without_partition: Vec<String>,
    /// It is a table of a full-text index. Its name doesn't have the name of the table that the index belongs to.
    of_index: bool,
}

impl TableName {
    /// Returns the forms of the name of its database.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = &str> {
        self.schemas.iter().map(String::as_str)
    }

    /// Returns whether it is a table of a full-text index.
    pub(crate) const fn is_of_index(&self) -> bool {
        self.of_index
    }

    /// Creates one from the names of a directory and of a file without its extension.
    pub(crate) fn of_file(schema: &str, table: &str) -> Self {
        let schemas = forms([schema.to_owned(), decoded(schema)]);
        let cut = PARTITION.iter().filter_map(|sign| table.find(sign)).min();
        let whole = match cut {
            None => forms([table.to_owned(), decoded(table)]),
            Some(_) => {
                let signs = |name: String| [name.replace("#P#", "#p#"), name.replace("#p#", "#P#")];
                forms(
                    [table.to_owned(), decoded(table)]
                        .into_iter()
                        .flat_map(signs),
                )
            }
        };
        let without = cut.map(|at| &table[..at]);
        let without = without.map_or(Vec::new(), |name| forms([name.to_owned(), decoded(name)]));
        Self {
            whole: joined(&schemas, &whole),
            without_partition: joined(&schemas, &without),
            schemas,
            of_index: is_of_full_text_index(table),
        }
    }

    /// Creates one from the names that a person writes.
    pub(crate) fn written(schema: &str, table: &str) -> Self {
        let schemas = vec![schema.to_owned()];
        Self {
            whole: joined(&schemas, &[table.to_owned()]),
            without_partition: Vec::new(),
            schemas,
            of_index: is_of_full_text_index(table),
        }
    }

    /// Creates one from the path of a file of a table in a backup, of which the last two parts count:
    /// `db/t.ibd`, `db/t#p#p0.ibd.delta`. Returns `None` for a file that isn't in a schema.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let (directory, file) = path.rsplit_once('/')?;
        let schema = directory
            .rsplit_once('/')
            .map_or(directory, |(_, last)| last);
        // A dot of a table's name is encoded.
        let table = file.split_once('.').map_or(file, |(stem, _)| stem);
        Some(Self::of_file(schema, table))
    }
}

/// Returns whether it is a name such as `fts_0000000000000430_being_deleted`, with the id of a table.
fn is_of_full_text_index(table: &str) -> bool {
    let id = table
        .strip_prefix("fts_")
        .and_then(|rest| rest.split_once('_'));
    id.is_some_and(|(id, _)| id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Returns each form once.
fn forms(all: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut forms: Vec<String> = Vec::new();
    for form in all {
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms
}

fn joined(schemas: &[String], tables: &[String]) -> Vec<String> {
    let of = |schema: &String| {
        let schema = schema.clone();
        tables.iter().map(move |table| format!("{schema}.{table}"))
    };
    schemas.iter().flat_map(of).collect()
}

/// A list of databases and tables.
#[derive(Debug, Default)]
struct Names {
    databases: HashSet<String>,
    /// The databases of which tables are named.
    with_tables: HashSet<String>,
    tables: HashSet<String>,
}

impl Names {
    fn of(entries: &[String]) -> Self {
        let mut names = Self::default();
        for entry in entries {
            match entry.split_once('.') {
                None => {
                    names.databases.insert(entry.clone());
                }
                Some((database, _)) => {
                    names.with_tables.insert(database.to_owned());
                    names.tables.insert(entry.clone());
                }
            }
        }
        names
    }
}

fn any(set: &HashSet<String>, forms: &[String]) -> bool {
    forms.iter().any(|form| set.contains(form))
}

fn matches(patterns: &[Regex], forms: &[String]) -> bool {
    let one = |pattern: &Regex| forms.iter().any(|form| pattern.is_match(form));
    patterns.iter().any(one)
}

/// A compiled [`TableFilter`].
#[derive(Debug)]
pub(crate) struct Matcher {
    databases: Names,
    databases_exclude: Names,
    tables: Vec<Regex>,
    tables_exclude: Vec<Regex>,
    tables_listed: HashSet<String>,
    filter: TableFilter,
}

impl Matcher {
    /// Compiles a filter.
    ///
    /// # Errors
    /// [`PatternError`].
    pub(crate) fn new(filter: &TableFilter) -> Result<Self, PatternError> {
        let compiled = |patterns: &[String]| -> Result<Vec<Regex>, PatternError> {
            patterns.iter().map(|text| pattern::compile(text)).collect()
        };
        Ok(Self {
            databases: Names::of(&filter.databases),
            databases_exclude: Names::of(&filter.databases_exclude),
            tables: compiled(&filter.tables)?,
            tables_exclude: compiled(&filter.tables_exclude)?,
            tables_listed: filter.tables_listed.iter().cloned().collect(),
            filter: filter.clone(),
        })
    }

    /// Returns whether the backup has a table.
    pub(crate) fn keeps(&self, name: &TableName) -> bool {
        if name.schemas.iter().any(|schema| is_of_server(schema)) {
            return true;
        }
        if any(&self.databases_exclude.databases, &name.schemas) {
            return false;
        }
        let database = any(&self.databases.databases, &name.schemas);
        let listed = any(&self.databases.with_tables, &name.schemas);
        if !self.filter.databases.is_empty() && !database && !listed {
            return false;
        }
        // The table could only be found by opening all tables. An index without its table does no harm, a table without
        // its index does.
        if name.of_index {
            return true;
        }
        for forms in [&name.whole, &name.without_partition] {
            if any(&self.databases_exclude.tables, forms) || matches(&self.tables_exclude, forms) {
                return false;
            }
            let by_name = any(&self.databases.tables, forms) || any(&self.tables_listed, forms);
            if by_name || matches(&self.tables, forms) {
                return true;
            }
        }
        database || !self.filter.includes()
    }

    /// Returns the entries that name something to back up, and that no table of `names` has.
    pub(crate) fn unmatched(&self, names: &[TableName]) -> Vec<&str> {
        let mut schemas = HashSet::new();
        let mut tables = HashSet::new();
        for name in names {
            schemas.extend(name.schemas.iter().map(String::as_str));
            tables.extend(name.whole.iter().map(String::as_str));
            tables.extend(name.without_partition.iter().map(String::as_str));
        }
        let lists = self
            .filter
            .databases
            .iter()
            .chain(&self.filter.tables_listed);
        let by_name = lists.filter(|entry| {
            let found = match entry.contains('.') {
                true => &tables,
                false => &schemas,
            };
            !is_of_server(entry) && !found.contains(entry.as_str())
        });
        let by_pattern = self.filter.tables.iter().zip(&self.tables);
        let by_pattern = by_pattern
            .filter(|(_, pattern)| !tables.iter().any(|table| pattern.is_match(table)))
            .map(|(text, _)| text);
        by_name.chain(by_pattern).map(String::as_str).collect()
    }
}
