//! The check that every table of a recovered server has its files.
//!
//! A server starts without the files of tables that are not opened, and logs at most a warning. So
//! the dictionary of the recovered server is compared with the restored directory: each tablespace
//! by the space id in the first page of a file; each table of another engine is opened. A missing
//! file fails the restore.

use super::error::{RestoreError, io};
use crate::innodb::{SpaceId, page};
use mysql::Conn;
use mysql::prelude::Queryable;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of the first page that are read.
const HEAD: usize = 64;

/// Tablespaces that may be absent: the backup recorded them as discarded or missing.
pub(super) type Absent = BTreeSet<SpaceId>;

/// Engines whose tables are files in a schema's directory.
const ENGINES: [&str; 4] = ["MyISAM", "CSV", "ARCHIVE", "MRG_MYISAM"];

/// Error codes of a server that can't find a file of a table.
///
/// | code | name |
/// |---|---|
/// | 13 | `EE_STAT` |
/// | 29 | `EE_FILENOTFOUND` |
/// | 1016 | `ER_CANT_OPEN_FILE` |
/// | 1017 | `ER_FILE_NOT_FOUND` |
const NO_FILE: [u16; 4] = [13, 29, 1016, 1017];

/// Directories of a data directory that don't contain tables.
const NOT_SCHEMAS: [&str; 2] = ["#innodb_redo", "#innodb_temp"];

/// The reason why the tables of a server could not be compared.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection to the server failed.
    Server(mysql::Error),
    /// The directory could not be read.
    Directory(RestoreError),
}

/// Returns the tables of the dictionary that have no file below `root`. `may_lack` returns whether the files of a table of
/// another engine may be missing, by its schema and its name.
pub(super) fn missing(
    connection: &mut Conn,
    root: &Path,
    absent: &Absent,
    may_lack: &dyn Fn(&str, &str) -> bool,
) -> Result<Vec<String>, Fault> {
    let on_disk = spaces_below(root).map_err(Fault::Directory)?;
    let mut missing = spaces(connection, root, &on_disk, absent).map_err(Fault::Server)?;
    missing.extend(others(connection, may_lack).map_err(Fault::Server)?);
    Ok(missing)
}

/// Returns the tablespaces of the dictionary without a file.
fn spaces(
    connection: &mut Conn,
    root: &Path,
    on_disk: &BTreeSet<SpaceId>,
    absent: &Absent,
) -> mysql::Result<Vec<String>> {
    let paths: BTreeMap<u32, String> = connection
        .query_map(
            "SELECT SPACE, PATH FROM information_schema.INNODB_DATAFILES",
            |row: (u32, String)| row,
        )?
        .into_iter()
        .collect();
    let all: Vec<(u32, String, String, String)> = connection.query(
        "SELECT SPACE, NAME, COALESCE(STATE, ''), SPACE_TYPE FROM information_schema.INNODB_TABLESPACES \
         WHERE SPACE_TYPE <> 'System' ORDER BY NAME",
    )?;
    let mut missing = Vec::new();
    for (number, name, state, kind) in all {
        let space = SpaceId(number);
        let path = paths.get(&number).map_or("", String::as_str);
        if state == "discarded" || absent.contains(&space) {
            continue;
        }
        if !on_disk.contains(&space) {
            missing.push(format!("{name} (tablespace {number}, file {path})"));
        } else if outside(path, root) {
            missing.push(format!(
                "{name} (tablespace {number}: the server uses {path}, which is outside of the restored directory)"
            ));
        // Undo tablespaces are found by their directory.
        } else if kind != "Undo" && elsewhere(path, space, root) {
            missing.push(format!(
                "{name} (tablespace {number}: the server looks for it at {path}, but its file is elsewhere)"
            ));
        }
    }
    Ok(missing)
}

/// Returns whether the dictionary has an absolute path that is not below `root`.
fn outside(path: &str, root: &Path) -> bool {
    let path = Path::new(path);
    let real = || std::fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
    path.is_absolute() && !path.starts_with(root) && !path.starts_with(real())
}

/// Returns whether the dictionary has a relative path that is not the tablespace's. The server that
/// recovered it found the file nevertheless, but the next one looks at that path.
fn elsewhere(path: &str, space: SpaceId, root: &Path) -> bool {
    let path = Path::new(path);
    let given = path.is_relative() && !path.as_os_str().is_empty();
    given && !matches!(space_of(&root.join(path)), Ok(Some(found)) if found == space)
}

/// Returns the tables of other engines that the server can't open because a file is missing. The
/// server itself converts the names of tables into names of files.
fn others(
    connection: &mut Conn,
    may_lack: &dyn Fn(&str, &str) -> bool,
) -> mysql::Result<Vec<String>> {
    let engines: Vec<String> = ENGINES.iter().map(|e| format!("'{e}'")).collect();
    let sql = format!(
        "SELECT ENGINE, TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
         AND ENGINE IN ({}) ORDER BY 2, 3",
        engines.join(", ")
    );
    let all: Vec<(String, String, String)> = connection.query(sql)?;
    let mut missing = Vec::new();
    for (engine, schema, table) in all {
        if may_lack(&schema, &table) {
            continue;
        }
        let quote = |name: &str| name.replace('`', "``");
        let sql = format!(
            "SELECT 1 FROM `{}`.`{}` LIMIT 0",
            quote(&schema),
            quote(&table)
        );
        match connection.query_drop(sql) {
            Err(mysql::Error::MySqlError(error)) if NO_FILE.contains(&error.code) => {
                missing.push(format!("{schema}.{table} ({engine}: {})", error.message));
            }
            // A table that the source server could not read either (a MERGE table whose tables
            // differ).
            Ok(()) | Err(mysql::Error::MySqlError(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// Returns the tablespaces that have a file in the directory or in a schema of it.
pub(super) fn spaces_below(root: &Path) -> Result<BTreeSet<SpaceId>, RestoreError> {
    let mut found = BTreeSet::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).map_err(io("list", &directory))? {
            let entry = entry.map_err(io("list", &directory))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let kind = entry.file_type().map_err(io("look at", &path))?;
            if kind.is_dir() {
                if directory == root && !NOT_SCHEMAS.contains(&&*name) {
                    directories.push(path);
                }
                continue;
            }
            let may_be =
                name.ends_with(".ibd") || name.ends_with(".ibu") || name.starts_with("undo_");
            if kind.is_file() && may_be {
                found.extend(space_of(&path).map_err(io("open", &path))?);
            }
        }
    }
    Ok(found)
}

/// Returns the space id in the first page of a file; `None` if the file is too short.
fn space_of(path: &Path) -> std::io::Result<Option<SpaceId>> {
    let mut head = [0; HEAD];
    let file = File::open(path)?;
    let read = file.read_exact_at(&mut head, 0);
    Ok(read.is_ok().then(|| page::space_id(&head)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_elsewhere_are_outside() {
        let root = Path::new("/r/data");
        for inside in ["./d/t.ibd", "d/t.ibd", "/r/data/d/t.ibd", ""] {
            assert!(!outside(inside, root), "{inside}");
        }
        for other in ["/r/d/t.ibd", "/r/data2/t.ibd"] {
            assert!(outside(other, root), "{other}");
        }
    }

    #[test]
    fn tablespaces_are_identified_by_their_first_page() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, id: u32| {
            let mut page = [0u8; HEAD];
            page[34..38].copy_from_slice(&id.to_be_bytes());
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, page).unwrap();
        };
        put("g.ibd", 7);
        put("db/t#p#p0.ibd", 8);
        put("undo_001", 4_294_967_279);
        put("#innodb_temp/x.ibd", 9);
        put("db/t.MYD", 10);
        std::fs::write(dir.path().join("db/short.ibd"), "x").unwrap();
        let found: Vec<u32> = spaces_below(dir.path())
            .unwrap()
            .iter()
            .map(|s| s.0)
            .collect();
        assert_eq!(found, [7, 8, 4_294_967_279]);
        for (path, id, is) in [
            ("./g.ibd", 7, false),
            ("db/t#p#p0.ibd", 8, false),
            ("", 7, false),
            (".g.ibd", 7, true),
            ("./g.ibd", 8, true),
        ] {
            assert_eq!(elsewhere(path, SpaceId(id), dir.path()), is, "{path}");
        }
    }
}
