//! Tables of storage engines that a physical backup can't contain: they are refused, or recorded
//! with a warning.

use super::error::BackupError;
use super::partial::Filter;
use super::sdi;
use super::session::Session;
use crate::datadir::Survey;
use crate::manifest::EngineTable;
use crate::server::{EngineRow, ListedTables, Server};

impl Session<'_> {
    /// Returns the tables whose rows will be missing from the backup.
    ///
    /// The server's list may be incomplete, so the `.sdi` files of the survey count too. An unknown engine that the
    /// server uses may not have such files: then the privileges must suffice for the list. They are checked again
    /// because an engine may have been installed before the instance was locked.
    pub(super) fn tables_elsewhere(
        &self,
        server: &mut Server,
        survey: &Survey,
    ) -> Result<Vec<EngineTable>, BackupError> {
        let listed = server.check_privileges()?;
        let mut tables = described(survey, listed)?;
        tables.extend(server.tables_of_other_engines()?);
        if let Some(filter) = Filter::of(self.options)? {
            tables.retain(|row| filter.keeps(&row.schema, &row.table));
        }
        judged(tables, self.options.allow_missing_tables)
    }
}

/// Returns the tables whose rows will be missing, by the `.sdi` files.
///
/// # Errors
/// [`BackupError::UnreadableSdi`] if such a file can't be read and the server's list may be incomplete.
fn described(survey: &Survey, listed: ListedTables) -> Result<Vec<EngineRow>, BackupError> {
    let mut tables = Vec::new();
    for file in survey.plain.iter().filter(|file| sdi::is_one(file)) {
        match sdi::table(file) {
            Ok(table) => tables.push(table),
            Err(_) if listed == ListedTables::All => {}
            Err(why) => {
                return Err(BackupError::UnreadableSdi {
                    path: file.source.clone(),
                    why,
                });
            }
        }
    }
    tables.retain(|table| !table.is_backed_up());
    Ok(tables)
}

fn judged(tables: Vec<EngineRow>, allowed: bool) -> Result<Vec<EngineTable>, BackupError> {
    let mut tables: Vec<EngineTable> = tables.into_iter().map(recorded).collect();
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    tables.dedup_by(|a, b| (&a.schema, &a.name) == (&b.schema, &b.name));
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
    use crate::datadir::PlainFile;

    #[test]
    fn tables_are_found_by_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let source = dir.path().join(name);
            std::fs::write(&source, text).unwrap();
            PlainFile {
                source,
                name: format!("shop/{name}"),
                bytes: text.len() as u64,
            }
        };
        let text = |name: &str, engine: &str| {
            format!(
                r#"{{"dd_object":{{"name":"{name}","schema_ref":"shop","engine":"{engine}"}}}}"#
            )
        };
        let mut survey = Survey {
            plain: vec![
                file("m.MYD", "{"),
                file("m_1.sdi", &text("m", "MyISAM")),
                file("r_2.sdi", &text("r", "ROCKSDB")),
            ],
            ..Survey::default()
        };
        let found = described(&survey, ListedTables::Some).unwrap();
        let names: Vec<&str> = found.iter().map(|row| row.table.as_str()).collect();
        assert_eq!(names, ["r"]);
        survey.plain.push(file("odd_3.sdi", "{"));
        assert_eq!(described(&survey, ListedTables::All).unwrap().len(), 1);
        let error = described(&survey, ListedTables::Some).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("odd_3.sdi") && text.contains("SHOW VIEW ON *.*"),
            "{text}"
        );
    }

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
        // By the server and by a file.
        let recorded = judged([rows(), rows()].concat(), true).unwrap();
        assert_eq!(recorded.len(), 2);
        assert_eq!(warnings(&recorded).count(), 2);
        assert!(judged(Vec::new(), false).unwrap().is_empty());
    }
}
