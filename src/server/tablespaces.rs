//! The server's lists of its tablespaces: the files that it has open, and its dictionary.
//!
//! Neither list alone is sufficient. A file that the server hasn't opened has no id in
//! `INFORMATION_SCHEMA.FILES` (seen on MySQL 9.7.4 after a restart with
//! `innodb_validate_tablespace_paths=OFF`, without a file, without its disk, without the keyring).
//! The dictionary has all of them, but doesn't record which are open. `datadir` compares both with
//! the disk.
//!
//! `INNODB_TABLES` is deliberately not read: its query opens every table, and on MySQL 9.7.4 it
//! terminates the server if one of the files has 0 bytes.

use super::connect::Row;
use super::{Server, ServerError};
use crate::counted;
use std::collections::HashMap;

/// One row of `INFORMATION_SCHEMA.FILES`: a file that the server has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablespaceRow {
    /// The tablespace's id; 0 for each file of the system tablespace.
    pub space_id: u32,
    /// The tablespace's name in the server's notation, such as `db/t`, `db/t#p#p0`,
    /// `innodb_undo_001`.
    pub name: String,
    /// The path in the server's notation: relative ones (`./db/t.ibd`) are relative to the datadir.
    /// Names of schemas and tables are in the server's filename encoding (`@0023` for `#`).
    pub path: String,
    /// Whether it is an undo tablespace.
    pub undo: bool,
}

/// A tablespace of the dictionary, open or not. The system tablespace and the temporary ones aren't
/// listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionaryRow {
    /// The tablespace's id.
    pub space_id: u32,
    /// Its name: `db/t`, `db/t#p#p0`, `innodb_undo_001`, without filename encoding.
    pub name: String,
    /// Its file in the dictionary, relative to the datadir (an undo tablespace's to the undo directory) or
    /// absolute; `None` for `mysql`.
    pub path: Option<String>,
    /// Whether it is an undo tablespace.
    pub undo: bool,
    /// Whether `STATE` is `discarded` (`ALTER TABLE ... DISCARD TABLESPACE`).
    pub discarded: bool,
}

/// The id of `innodb_temporary`.
const TEMPORARY: u32 = 0xFFFF_FFFD;
/// The id of `mysql`, the dictionary's own tablespace.
const DICTIONARY: u32 = 0xFFFF_FFFE;
/// Maximum number of reads of a list whose length differs from the count: undo tablespaces may be
/// created and dropped at any time.
const TRIES: u32 = 3;

impl Server {
    /// Returns every InnoDB file that the server has open, except the temporary ones, sorted by id
    /// and path; needs `PROCESS`.
    ///
    /// # Errors
    /// A failed query, a row that can't be parsed, or [`ServerError::CutList`].
    pub fn tablespaces(&mut self) -> Result<Vec<TablespaceRow>, ServerError> {
        let rows = self.complete_list(
            "listing the tablespaces",
            "FILE_ID, TABLESPACE_NAME, FILE_NAME, FILE_TYPE",
            "INFORMATION_SCHEMA.FILES WHERE ENGINE = 'InnoDB' AND FILE_TYPE <> 'TEMPORARY' \
             AND FILE_ID IS NOT NULL",
            "FILE_ID, FILE_NAME",
        )?;
        rows.iter()
            .map(|row| {
                Ok(TablespaceRow {
                    space_id: row.number(0, "INFORMATION_SCHEMA.FILES.FILE_ID")?,
                    name: row.get(1).unwrap_or_default().to_string(),
                    path: row.text(2, "INFORMATION_SCHEMA.FILES.FILE_NAME")?,
                    undo: row.get(3) == Some("UNDO LOG"),
                })
            })
            .collect()
    }

    /// Returns every tablespace of the dictionary, except the system tablespace and the temporary
    /// one, sorted by id; needs `PROCESS`. The query doesn't open tables.
    ///
    /// # Errors
    /// The same as [`Self::tablespaces`]; [`ServerError::Unexpected`] for an incomplete list.
    pub fn dictionary(&mut self) -> Result<Vec<DictionaryRow>, ServerError> {
        let paths = self.complete_list(
            "listing the files of the dictionary",
            "SPACE, PATH",
            "INFORMATION_SCHEMA.INNODB_DATAFILES",
            "SPACE, PATH",
        )?;
        let rows = self.complete_list(
            "listing the tablespaces of the dictionary",
            "SPACE, NAME, SPACE_TYPE, STATE",
            "INFORMATION_SCHEMA.INNODB_TABLESPACES",
            "SPACE",
        )?;
        let rows = rows.iter().map(space).collect::<Result<Vec<_>, _>>()?;
        let paths = paths.iter().map(file).collect::<Result<Vec<_>, _>>()?;
        check_required(&rows)?;
        Ok(joined(rows, paths))
    }

    /// Returns all rows of `from`. The session's row limit doesn't apply to a statement with its
    /// own `LIMIT`, and the rows are counted: a truncated list would make a backup that lacks
    /// tables.
    pub(super) fn complete_list(
        &mut self,
        doing: &'static str,
        columns: &str,
        from: &'static str,
        order: &str,
    ) -> Result<Vec<Row>, ServerError> {
        let list = format!(
            "SELECT {columns} FROM {from} ORDER BY {order} LIMIT {}",
            u64::MAX
        );
        let count = format!("SELECT COUNT(*) FROM {from}");
        let mut tries = 0;
        loop {
            let rows = self.rows(doing, &list)?;
            let counted: u64 = self.row(doing, &count)?.number(0, &count)?;
            tries += 1;
            match complete(from, rows.len(), counted) {
                Err(_) if tries < TRIES => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(rows),
            }
        }
    }
}

fn complete(list: &'static str, rows: usize, counted: u64) -> Result<(), ServerError> {
    if rows as u64 == counted {
        return Ok(());
    }
    Err(ServerError::CutList {
        list,
        rows: rows as u64,
        counted,
    })
}

fn space(row: &Row) -> Result<DictionaryRow, ServerError> {
    let state = row.get(3).unwrap_or_default();
    Ok(DictionaryRow {
        space_id: row.number(0, "INNODB_TABLESPACES.SPACE")?,
        name: row.text(1, "INNODB_TABLESPACES.NAME")?,
        path: None,
        undo: row.get(2) == Some("Undo"),
        discarded: state.eq_ignore_ascii_case("discarded"),
    })
}

fn file(row: &Row) -> Result<(u32, String), ServerError> {
    let path = row.text(1, "INNODB_DATAFILES.PATH")?;
    Ok((row.number(0, "INNODB_DATAFILES.SPACE")?, path))
}

/// Checks that the list has the tablespaces that every server has: that of the dictionary, and an
/// undo tablespace.
fn check_required(rows: &[DictionaryRow]) -> Result<(), ServerError> {
    let whole = [
        ("mysql", rows.iter().any(|row| row.space_id == DICTIONARY)),
        ("an undo tablespace", rows.iter().any(|row| row.undo)),
    ];
    match whole.iter().find(|(_, there)| !there) {
        None => Ok(()),
        Some((name, _)) => Err(ServerError::unexpected(
            "INFORMATION_SCHEMA.INNODB_TABLESPACES",
            format!("{} without {name}", counted::count(rows.len(), "row")),
            "every tablespace of the dictionary",
        )),
    }
}

/// Joins the tablespaces with their paths. A path without a tablespace becomes a tablespace too.
fn joined(mut rows: Vec<DictionaryRow>, paths: Vec<(u32, String)>) -> Vec<DictionaryRow> {
    const SYSTEM: u32 = 0;
    let mut paths: HashMap<u32, String> = paths.into_iter().collect();
    rows.retain(|row| row.space_id != SYSTEM && row.space_id != TEMPORARY);
    for row in &mut rows {
        row.path = paths.remove(&row.space_id);
    }
    paths.retain(|id, _| *id != SYSTEM && *id != TEMPORARY);
    rows.extend(paths.into_iter().map(|(space_id, path)| DictionaryRow {
        space_id,
        name: path.clone(),
        undo: false,
        discarded: false,
        path: Some(path),
    }));
    rows.sort_by_key(|row| row.space_id);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(space_id: u32, name: &str) -> DictionaryRow {
        DictionaryRow {
            space_id,
            name: name.to_owned(),
            path: None,
            undo: name.contains("undo"),
            discarded: false,
        }
    }

    #[test]
    fn a_list_whose_length_differs_from_the_count_is_refused() {
        complete("T", 0, 0).unwrap();
        complete("T", 30, 30).unwrap();
        for (rows, counted) in [(30, 57), (31, 30)] {
            let error = complete("T", rows, counted).unwrap_err();
            assert!(matches!(error, ServerError::CutList { .. }), "{error}");
        }
    }

    #[test]
    fn a_list_without_the_tablespaces_of_every_server_is_refused() {
        let all = [
            row(DICTIONARY, "mysql"),
            row(0xFFFF_FFEF, "innodb_undo_001"),
        ];
        check_required(&all).unwrap();
        for one in &all {
            check_required(std::slice::from_ref(one)).unwrap_err();
        }
        check_required(&[]).unwrap_err();
    }

    #[test]
    fn tablespaces_are_joined_with_paths_and_unmatched_paths_are_kept() {
        let rows = vec![
            row(TEMPORARY, "innodb_temporary"),
            row(7, "db/t"),
            row(DICTIONARY, "mysql"),
        ];
        let paths = vec![
            (0, "ibdata1".into()),
            (7, "./db/t.ibd".into()),
            (9, "./db/x.ibd".into()),
        ];
        let joined = joined(rows, paths);
        let seen: Vec<_> = joined
            .iter()
            .map(|r| (r.space_id, r.path.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [
                (7, Some("./db/t.ibd")),
                (9, Some("./db/x.ibd")),
                (DICTIONARY, None)
            ]
        );
    }
}
