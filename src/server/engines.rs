//! The storage engines of the server's tables, and how a backup handles each.
//!
//! | engine | rows | in a backup |
//! |---|---|---|
//! | InnoDB | pages and redo | copied |
//! | MyISAM, CSV, ARCHIVE, MRG_MYISAM | separate files in the schema's directory | copied under the table lock |
//! | MEMORY | in memory, lost at each restart of the server | the definition |
//! | BLACKHOLE, EXAMPLE | none | the definition |
//! | FEDERATED | on another server | the definition |
//! | PERFORMANCE_SCHEMA | counters of the running server | the definition |
//! | any other, such as ROCKSDB, TokuDB, ndbcluster | in files or on hosts that lsnap doesn't support | refused |
//!
//! A table without a reported engine is treated like one of the last kind.

use super::{Server, ServerError};

/// Engines whose files are copied under [`Server::lock_tables`]: they have no redo.
pub(super) const COPIED: [&str; 4] = ["MyISAM", "CSV", "ARCHIVE", "MRG_MYISAM"];
/// Engines whose tables consist of their definition only.
const WITHOUT_ROWS: [&str; 5] = [
    "MEMORY",
    "BLACKHOLE",
    "EXAMPLE",
    "FEDERATED",
    "PERFORMANCE_SCHEMA",
];
const INNODB: &str = "InnoDB";
/// The query of [`Server::tables_of_other_engines`]; a test compares it with the lists above.
const OTHERS: &str = "INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
     AND (ENGINE IS NULL OR ENGINE NOT IN ('InnoDB', 'MyISAM', 'CSV', 'ARCHIVE', 'MRG_MYISAM', \
     'MEMORY', 'BLACKHOLE', 'EXAMPLE', 'FEDERATED', 'PERFORMANCE_SCHEMA'))";

/// The query of [`Server::unknown_engines`].
const ACTIVE: &str = "INFORMATION_SCHEMA.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')";

/// A table and its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRow {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Its engine; `None` if the server reports none.
    pub engine: Option<String>,
}

impl EngineRow {
    /// Returns whether a backup contains all rows of the table.
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        is_known(self.engine.as_deref())
    }
}

impl Server {
    /// Returns the engines that the server can use, and whose files a backup doesn't contain.
    ///
    /// # Errors
    /// A failed query, or [`ServerError::CutList`].
    pub(super) fn unknown_engines(&mut self) -> Result<Vec<String>, ServerError> {
        let rows = self.complete_list("listing the storage engines", "ENGINE", ACTIVE, "ENGINE")?;
        let names = rows
            .iter()
            .map(|row| row.text(0, "INFORMATION_SCHEMA.ENGINES.ENGINE"));
        names
            .filter(|name| !matches!(name, Ok(name) if is_known(Some(name))))
            .collect()
    }

    /// Returns the tables whose rows are missing from a backup, sorted by name. Without a table privilege on `*.*`,
    /// the list may be incomplete ([`Server::check_privileges`]).
    ///
    /// # Errors
    /// A failed query, or [`ServerError::CutList`].
    pub fn tables_of_other_engines(&mut self) -> Result<Vec<EngineRow>, ServerError> {
        let rows = self.complete_list(
            "listing tables of engines that can't be backed up",
            "TABLE_SCHEMA, TABLE_NAME, ENGINE",
            OTHERS,
            "TABLE_SCHEMA, TABLE_NAME",
        )?;
        rows.iter()
            .map(|row| {
                Ok(EngineRow {
                    schema: row.text(0, "INFORMATION_SCHEMA.TABLES.TABLE_SCHEMA")?,
                    table: row.text(1, "INFORMATION_SCHEMA.TABLES.TABLE_NAME")?,
                    engine: row.get(2).map(str::to_owned),
                })
            })
            // The server ignores case only with its default collation; this filter does with any.
            .filter(|row| {
                row.as_ref()
                    .map_or(true, |row| !is_known(row.engine.as_deref()))
            })
            .collect()
    }
}

/// Returns whether a backup contains all rows of a table with this engine.
fn is_known(engine: Option<&str>) -> bool {
    let known = COPIED.iter().chain(&WITHOUT_ROWS).chain([&INNODB]);
    engine.is_some_and(|engine| {
        known
            .into_iter()
            .any(|name| name.eq_ignore_ascii_case(engine))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_with_rows_outside_of_a_backup_are_not_known() {
        for engine in [
            "ROCKSDB",
            "TokuDB",
            "ndbcluster",
            "NDBCLUSTER",
            "Aria",
            "S3",
            "SPIDER",
            "",
        ] {
            assert!(!is_known(Some(engine)), "{engine}");
        }
        assert!(!is_known(None));
        for engine in [
            "InnoDB",
            "INNODB",
            "MyISAM",
            "CSV",
            "ARCHIVE",
            "MRG_MYISAM",
            "MEMORY",
            "FEDERATED",
        ] {
            assert!(is_known(Some(engine)), "{engine}");
        }
    }

    #[test]
    fn the_query_leaves_out_the_known_engines_and_no_other() {
        let listed = OTHERS.split_once("NOT IN (").unwrap().1;
        let mut listed: Vec<_> = listed.split('\'').skip(1).step_by(2).collect();
        let mut known: Vec<_> = [INNODB]
            .into_iter()
            .chain(COPIED)
            .chain(WITHOUT_ROWS)
            .collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }
}
