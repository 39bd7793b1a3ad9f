//! The options of partial backups.

use super::Failure;
use super::table::Opt;
use crate::compat::options::Parsed;
use crate::counted::count;
use crate::manifest::TableFilter;
use std::path::Path;

/// Longest name in bytes that xtrabackup accepts, of a database or of a table.
const LONGEST: usize = 64 * 3;
/// Largest file with names that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// Returns the filter of the options.
pub(super) fn of(options: &Parsed) -> Result<TableFilter, Failure> {
    let blanks = |option: Opt, name: &str| -> Result<Vec<String>, Failure> {
        let text = options.text(option)?.unwrap_or_default();
        let entries = text.split([' ', '\t']).filter(|entry| !entry.is_empty());
        entries.map(|entry| checked(entry, name)).collect()
    };
    let commas = |option: Opt| -> Result<Vec<String>, Failure> {
        let text = options.text(option)?.unwrap_or_default();
        let patterns = text.split(',').filter(|pattern| !pattern.is_empty());
        Ok(patterns.map(str::to_owned).collect())
    };
    let mut databases = blanks(Opt::Databases, "--databases")?;
    if let Some(file) = options.path(Opt::DatabasesFile) {
        databases.extend(lines(&file, "--databases-file")?);
    }
    let tables_listed = match options.path(Opt::TablesFile) {
        Some(file) => lines(&file, "--tables-file")?,
        None => Vec::new(),
    };
    if let Some(name) = tables_listed.iter().find(|name| !name.contains('.')) {
        return Err(Failure(format!(
            "--tables-file: `{name}` is not fully qualified name; write database.table"
        )));
    }
    let filter = TableFilter {
        databases,
        databases_exclude: blanks(Opt::DatabasesExclude, "--databases-exclude")?,
        tables: commas(Opt::Tables)?,
        tables_exclude: commas(Opt::TablesExclude)?,
        tables_listed,
    };
    let given = [
        (Opt::Databases, "databases", !filter.databases.is_empty()),
        (
            Opt::DatabasesFile,
            "databases-file",
            !filter.databases.is_empty(),
        ),
        (Opt::Tables, "tables", !filter.tables.is_empty()),
        (
            Opt::TablesFile,
            "tables-file",
            !filter.tables_listed.is_empty(),
        ),
    ];
    match given
        .iter()
        .find(|(option, _, found)| options.is_given(*option) && !found)
    {
        Some((_, name, _)) => Err(Failure(format!(
            "--{name} names nothing to back up; give a name, or remove the option"
        ))),
        None => Ok(filter.normalised()),
    }
}

/// Returns the names of a file, one a line.
fn lines(file: &Path, option: &str) -> Result<Vec<String>, Failure> {
    let wrong = |what: String| Failure(format!("{option}: {}: {what}", file.display()));
    let length = std::fs::metadata(file)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if length > LARGEST {
        return Err(wrong(format!(
            "it has {}; expected a list of at most {LARGEST}",
            count(length, "byte")
        )));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let names = text.lines().filter(|line| !line.is_empty());
    names.map(|line| checked(line, option)).collect()
}

/// Refuses a name that no database and no table can have.
fn checked(entry: &str, option: &str) -> Result<String, Failure> {
    let (database, table) = entry.split_once('.').unwrap_or((entry, ""));
    if database.is_empty()
        || (table.is_empty() && entry.contains('.'))
        || entry.contains(['/', '\\', '~'])
    {
        return Err(Failure(format!(
            "{option}: name `{entry}` is not valid; write database or database.table"
        )));
    }
    if database.len() > LONGEST || table.len() > LONGEST {
        return Err(Failure(format!("{option}: name `{entry}` is too long")));
    }
    Ok(entry.to_owned())
}
