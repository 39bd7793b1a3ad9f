//! Tables of storage engines that a physical backup can't contain: they are refused, or recorded
//! with a warning.

use super::error::BackupError;
use super::session::Session;
use crate::manifest::EngineTable;
use crate::server::{EngineRow, Server};

impl Session<'_> {
    /// Returns the tables whose rows will be missing from the backup.
    pub(super) fn tables_elsewhere(
        &self,
        server: &mut Server,
    ) -> Result<Vec<EngineTable>, BackupError> {
        let tables = server.tables_of_other_engines()?;
        judged(tables, self.options.allow_missing_tables)
    }
}

fn judged(tables: Vec<EngineRow>, allowed: bool) -> Result<Vec<EngineTable>, BackupError> {
    let tables: Vec<EngineTable> = tables.into_iter().map(recorded).collect();
    if tables.is_empty() || allowed {
        return Ok(tables);
    }
    Err(BackupError::OtherEngines {
        tables: tables.iter().map(ToString::to_string).collect(),
    })
}

fn recorded(row: EngineRow) -> EngineTable {
    EngineTable {
        schema: row.schema,
        name: row.table,
        engine: row.engine,
    }
}

/// Returns a warning for each table.
pub(super) fn warnings(tables: &[EngineTable]) -> impl Iterator<Item = String> {
    tables
        .iter()
        .map(|table| format!("the backup lacks the rows of a table: {table}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_unknown_engines_are_refused_by_name_or_recorded() {
        let row = |table: &str, engine: Option<&str>| EngineRow {
            schema: "shop".to_owned(),
            table: table.to_owned(),
            engine: engine.map(str::to_owned),
        };
        let rows = || vec![row("rocks", Some("ROCKSDB")), row("odd", None)];
        let text = judged(rows(), false).unwrap_err().to_string();
        for word in [
            "2 tables of storage engines",
            "shop.rocks (engine ROCKSDB)",
            "shop.odd (engine unknown)",
            "BackupOptions::allow_missing_tables",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let text = judged(vec![row("t", Some("TokuDB"))], false).unwrap_err();
        assert!(text.to_string().starts_with("1 table of"), "{text}");
        let recorded = judged(rows(), true).unwrap();
        assert_eq!(recorded.len(), 2);
        assert_eq!(warnings(&recorded).count(), 2);
        assert!(judged(Vec::new(), false).unwrap().is_empty());
    }
}
