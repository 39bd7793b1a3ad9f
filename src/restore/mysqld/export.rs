//! The files with which `IMPORT TABLESPACE` of another server takes tables out of a recovered directory.
//!
//! `FLUSH TABLES ... FOR EXPORT` writes a `.cfg` file beside each tablespace, and a `.cfp` file with the key of an encrypted
//! one; `UNLOCK TABLES` removes them. So they are copied before, and put back when the server has ended.

use super::{Paths, Recovery, ask};
use crate::restore::RestoreError;
use crate::restore::error::io;
use mysql::Conn;
use mysql::prelude::Queryable;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Tables in one statement: each is locked, and stays open until it is unlocked.
const AT_ONCE: usize = 100;

/// The result of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ExportedTables {
    /// Number of tables.
    pub(crate) tables: usize,
    /// The tables that could not be exported, each with the reason.
    pub(crate) refused: Vec<String>,
}

/// Files that are put beside the tablespaces when the server has ended.
pub(super) struct Exported {
    result: ExportedTables,
    /// The directory with the copies.
    from: PathBuf,
    /// The files, relative to it.
    files: BTreeSet<PathBuf>,
}

impl Exported {
    /// Puts the files in their places.
    pub(super) fn place(self, root: &Path) -> Result<ExportedTables, RestoreError> {
        for name in &self.files {
            let (from, to) = (self.from.join(name), root.join(name));
            std::fs::copy(&from, &to).map_err(io("copy to", &to))?;
        }
        Ok(self.result)
    }
}

impl Recovery<'_> {
    /// Writes the files of all tables of InnoDB that have tablespaces of their own.
    pub(super) fn export(&self, paths: &Paths) -> Result<Exported, RestoreError> {
        self.progress.note("exporting the tables");
        let failed =
            |error| self.failed(paths, format!("its tables could not be exported: {error}"));
        let mut exported = Exported {
            result: ExportedTables::default(),
            from: self.place.work.join("export"),
            files: BTreeSet::new(),
        };
        // A large table is flushed for long.
        let mut connection = ask::connect(&paths.socket, false).map_err(failed)?;
        connection
            .query_drop("SET SESSION lock_wait_timeout = 31536000")
            .map_err(failed)?;
        let tables = tables(&mut connection, &paths.root).map_err(failed)?;
        for batch in tables.chunks(AT_ONCE) {
            if self.flush(&mut connection, batch, paths, &mut exported)? {
                continue;
            }
            for table in batch {
                self.flush(
                    &mut connection,
                    std::slice::from_ref(table),
                    paths,
                    &mut exported,
                )?;
            }
        }
        Ok(exported)
    }

    /// Exports tables. Returns false if a statement with several tables failed.
    fn flush(
        &self,
        connection: &mut Conn,
        tables: &[String],
        paths: &Paths,
        exported: &mut Exported,
    ) -> Result<bool, RestoreError> {
        self.options.cancel.check()?;
        let failed =
            |error| self.failed(paths, format!("its tables could not be exported: {error}"));
        let sql = format!("FLUSH TABLES {} FOR EXPORT", tables.join(", "));
        match connection.query_drop(sql) {
            Ok(()) => {
                exported.result.tables += tables.len();
                copy(&paths.root, exported)?;
            }
            Err(mysql::Error::MySqlError(error)) if tables.len() == 1 => {
                let line = format!("{}: {}", tables.concat(), error.message);
                exported.result.refused.push(line);
            }
            Err(mysql::Error::MySqlError(_)) => {
                connection.query_drop("UNLOCK TABLES").map_err(failed)?;
                return Ok(false);
            }
            Err(error) => return Err(failed(error)),
        }
        connection.query_drop("UNLOCK TABLES").map_err(failed)?;
        Ok(true)
    }
}

/// Returns the names, in quotes, of the tables of InnoDB that have tablespaces of their own, with a file.
fn tables(connection: &mut Conn, root: &Path) -> mysql::Result<Vec<String>> {
    let spaces: Vec<(String, String)> = connection.query(
        "SELECT t.NAME, d.PATH FROM information_schema.INNODB_TABLESPACES t JOIN information_schema.INNODB_DATAFILES d \
         ON d.SPACE = t.SPACE WHERE t.SPACE_TYPE = 'Single' AND COALESCE(t.STATE, '') <> 'discarded'",
    )?;
    let present: BTreeSet<String> = spaces
        .into_iter()
        .filter(|(_, path)| root.join(path).exists())
        .map(
            |(name, _)| match name.find("#p#").or_else(|| name.find("#P#")) {
                Some(at) => name[..at].to_owned(),
                None => name,
            },
        )
        .collect();
    let all: Vec<(String, String)> = connection.query(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
         AND ENGINE = 'InnoDB' AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') \
         ORDER BY 1, 2",
    )?;
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let has_file = |(schema, table): &(String, String)| {
        let name = format!("{schema}/{table}");
        // The name of a partitioned table is cut at the same place, if it has such a sign itself.
        let cut = name.find("#p#").or_else(|| name.find("#P#"));
        present.contains(&name[..cut.unwrap_or(name.len())])
    };
    let tables = all.iter().filter(|table| has_file(table));
    Ok(tables
        .map(|(schema, table)| format!("{}.{}", quoted(schema), quoted(table)))
        .collect())
}

/// Copies the files of the tables that are locked now.
fn copy(root: &Path, exported: &mut Exported) -> Result<(), RestoreError> {
    for entry in std::fs::read_dir(root).map_err(io("list", root))? {
        let entry = entry.map_err(io("list", root))?;
        let schema = entry.path();
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with(['.', '#']);
        if hidden || !entry.file_type().map_err(io("look at", &schema))?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&schema).map_err(io("list", &schema))? {
            let file = file.map_err(io("list", &schema))?;
            let path = file.path();
            if !matches!(
                path.extension().and_then(|e| e.to_str()),
                Some("cfg" | "cfp")
            ) {
                continue;
            }
            let relative = Path::new(&name).join(file.file_name());
            let to = exported.from.join(&relative);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(io("create the directory", parent))?;
            }
            std::fs::copy(&path, &to).map_err(io("copy to", &to))?;
            exported.files.insert(relative);
        }
    }
    Ok(())
}
