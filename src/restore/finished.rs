//! The list of the files of a backup that are placed in a finished data directory.
//!
//! The next start of a server acts on many files of its data directory: it reads persisted
//! variables and keys, follows `.isl` links, removes files that an index of logs contains, applies
//! an old redo log. A backup can come from an untrusted source, so only files on this list are
//! placed:
//!
//! | files | placed |
//! |---|---|
//! | tablespaces under the names that a server gives them | always |
//! | tables of other engines, by their extension | always |
//! | the list of warm pages, by its name or its content | always |
//! | `mysqld.my` | its keyring components, in a file that is written anew; with [`trusted`], as it is |
//! | configuration, certificates and keys | with [`trusted`] |
//! | `auto.cnf`, all others | never |

use super::error::listed;
use super::{RestoreOptions, RestorePlan};
use crate::innodb::data_files;
use crate::manifest::{FileRole, Manifest};
use crate::reader::server_names::{extension, is_implicit_undo, is_read, is_schema, is_table};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

/// The list of components that a server loads first.
pub(super) const COMPONENTS: &str = "mysqld.my";
/// The identity of the source server: the restored server creates its own.
pub(super) const IDENTITY: &str = "auto.cnf";
/// The list of warm pages, if `innodb_buffer_pool_filename` isn't set.
pub(super) const WARM_PAGES: &str = "ib_buffer_pool";

/// The class of a file of the server that is neither a tablespace nor a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Data, which are also placed for the recovery.
    Data,
    /// [`COMPONENTS`].
    Components,
    /// A server acts on it when it starts.
    Configuration,
    /// A list of warm pages with another name, or an unknown file.
    Unknown,
    /// Never placed.
    Other,
}

/// Returns the class of a plain file by its path.
pub(super) fn class(path: &str) -> Class {
    match path.split_once('/') {
        None if path == WARM_PAGES || is_table(path) => Class::Data,
        None if path == COMPONENTS => Class::Components,
        None if is_configuration(path) => Class::Configuration,
        None if is_acted_on(path) => Class::Other,
        None => Class::Unknown,
        Some((schema, table)) if is_schema(schema) && !table.contains('/') && is_table(table) => {
            Class::Data
        }
        Some(_) => Class::Other,
    }
}

/// Returns whether it has the name of settings, certificates or keys of a server.
fn is_configuration(name: &str) -> bool {
    let component = name.starts_with("component_") && extension(name) == Some("cnf");
    name == "mysqld-auto.cnf" || component || extension(name) == Some("pem")
}

/// Returns whether a server acts on a file of this name, or no list of warm pages has this name.
fn is_acted_on(name: &str) -> bool {
    const OTHER: [&str; 8] = ["key", "info", "log", "sock", "lock", "pid", "so", "state"];
    is_read(name)
        || name.starts_with("tablespaces.open.")
        || extension(name).is_some_and(|extension| OTHER.contains(&extension))
}

/// Returns whether a file of an extracted backup is passed to `xtrabackup --prepare`, and stays in
/// the finished directory.
pub(super) fn is_for_prepare(path: &str, newest: &Manifest) -> bool {
    let (schema, name) = path.rsplit_once('/').unwrap_or(("", path));
    if schema.contains('/') || !is_schema(schema) {
        return false;
    }
    if is_metadata(path) || class(path) == Class::Data {
        return true;
    }
    // Files that `--prepare` needs for a tablespace: `t.ibd.delta`, `t.ibd.meta`, `7.del`, `7.ren`,
    // `t.ibd.new`.
    let mut file = name;
    for suffix in [".meta", ".delta", ".new", ".del", ".ren", ".crpt"] {
        file = file.strip_suffix(suffix).unwrap_or(file);
    }
    let number = file != name && !file.is_empty() && file.bytes().all(|b| b.is_ascii_digit());
    number
        || matches!(extension(file), Some("ibd" | "ibu"))
        || (schema.is_empty() && (is_implicit_undo(file) || is_system(file, newest)))
        || (schema.is_empty() && is_log(name))
}

/// Returns whether a file only describes the backup: the files of xtrabackup, and the options for
/// its `--prepare`.
pub(super) fn is_metadata(path: &str) -> bool {
    let word =
        |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    path == super::option_file::NAME
        || path == "lsnap_manifest.json"
        || path.strip_prefix("xtrabackup_").is_some_and(word)
}

fn is_system(name: &str, newest: &Manifest) -> bool {
    let mut files = data_files(&newest.server.data_file_path);
    files.any(|(file, _)| file == name) && !is_read(name)
}

/// Returns whether it is a file like `binlog.000001`, or an index, which is rewritten.
fn is_log(name: &str) -> bool {
    match extension(name) {
        Some("index") => true,
        Some(number) => number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit()),
        None => false,
    }
}

/// Returns whether the configuration in the backup is trusted: a key proves who made the backup, or
/// the caller accepts it. (With `accept_unauthenticated`, the key doesn't prove anything.)
pub(super) const fn trusted(options: &RestoreOptions) -> bool {
    options.accept_config || (options.key.is_some() && !options.accept_unauthenticated)
}

/// Converts the stored list of components: the result has only the keyring components. Returns
/// `None` if it is not such a list, or contains another component.
pub(super) fn components(text: &[u8]) -> Option<String> {
    const SCHEME: &str = "file://";
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let listed = value.get("components")?.as_str()?;
    let keyring = |component: &str| {
        let name = component.trim().strip_prefix(SCHEME)?;
        let kind = name.strip_prefix("component_keyring_")?;
        let word = !kind.is_empty()
            && kind
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        word.then(|| format!("{SCHEME}{name}"))
    };
    let named: Option<Vec<String>> = listed.split(',').map(keyring).collect();
    Some(serde_json::json!({ "components": named?.join(",") }).to_string())
}

/// Returns whether a file is a list of warm pages: lines with a space id and a page number.
pub(super) fn is_warm_pages(path: &Path) -> std::io::Result<bool> {
    /// Longest line in bytes: two numbers of 32 bits.
    const LINE: usize = 24;
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let mut line = Vec::with_capacity(LINE);
    loop {
        line.clear();
        file.by_ref()
            .take(LINE as u64)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(true);
        }
        let text = std::str::from_utf8(&line).unwrap_or_default();
        let numbers = text.trim_end_matches('\n').split_once(',');
        if !numbers.is_some_and(|(space, page)| {
            space.parse::<u32>().is_ok() && page.parse::<u32>().is_ok()
        }) {
            return Ok(false);
        }
    }
}

/// Returns the plain files of a plan that are not placed because of their names.
pub(super) fn not_placed(plan: &RestorePlan, options: &RestoreOptions) -> Vec<String> {
    let Some(newest) = plan.chain.first() else {
        return Vec::new();
    };
    let plain = plan.plain.iter().filter(|file| {
        let entry = newest.files.get(file.entry);
        entry.is_some_and(|entry| entry.role == FileRole::Plain)
    });
    let names = plain.map(|file| file.path.as_str());
    names
        .filter(|name| is_omitted(name, options))
        .map(str::to_owned)
        .collect()
}

/// Returns whether a file is not placed because of its path, and is worth a warning.
pub(super) fn is_omitted(path: &str, options: &RestoreOptions) -> bool {
    match class(path) {
        Class::Configuration => !trusted(options),
        Class::Other => path != IDENTITY,
        Class::Data | Class::Components | Class::Unknown => false,
    }
}

/// Returns warnings for files that were not placed; they name the directory that is restored from,
/// if there is one.
pub(super) fn warnings(names: &[String], plan: &RestorePlan) -> Vec<String> {
    let is_config = |name: &String| matches!(class(name), Class::Configuration | Class::Components);
    let (config, other): (Vec<String>, Vec<String>) = names.iter().cloned().partition(is_config);
    let place = match plan.directories.first() {
        Some(directory) => format!("found in {}", directory.display()),
        None => "extract the backup to get them".to_owned(),
    };
    let mut warnings = Vec::new();
    if !config.is_empty() {
        warnings.push(format!(
            "not placed in the restored directory: {} ({place}). A server acts on such files when it starts, and no key \
             proved who made the backup: check them, then copy them, or set RestoreOptions::accept_config",
            listed(&config)
        ));
    }
    if !other.is_empty() {
        warnings.push(format!(
            "not placed in the restored directory, because they are not files of tables: {} ({place})",
            listed(&other)
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::innodb::SpaceId;
    use crate::innodb::{PageSize, SpaceFlags};
    use crate::manifest::SpaceFile;
    use crate::reader::server_names::is_tablespace;

    #[test]
    fn only_the_data_of_tables_are_placed_by_default() {
        for data in [
            "ib_buffer_pool",
            "db/m.MYD",
            "db/l.CSM",
            "db/db.opt",
            "db/m_388.sdi",
            "m.sdi",
        ] {
            assert_eq!(class(data), Class::Data, "{data}");
        }
        for config in [
            "mysqld-auto.cnf",
            "component_keyring_file.cnf",
            "server-key.pem",
            "ca.pem",
        ] {
            assert_eq!(class(config), Class::Configuration, "{config}");
        }
        for other in [
            "my.cnf",
            ".my.cnf",
            ".mylogin.cnf",
            "auto.cnf",
            "binlog.index",
            "host-relay-bin.index",
            "master.info",
            "ib_logfile0",
            "ibtmp1",
            "#ib_16384_0.dblwr",
            "tablespaces.open.1",
            "undo_1_trunc.log",
            "mysqld.sock",
            "db/t.isl",
            "db/t.cfg",
            "db/mysqld.my",
            "db/x.rocksdb",
            "plugin/x.so",
            ".rocksdb/CURRENT",
            "#clone/#new_files",
            "#clone/x.MYD",
            "a/b/c.MYD",
            "db/t.ibd",
            "grastate.dat.cnf",
            "x.so",
        ] {
            assert_eq!(class(other), Class::Other, "{other}");
        }
        assert_eq!(class("mysqld.my"), Class::Components);
        assert_eq!(class("warm"), Class::Unknown);
    }

    fn space(name: &str, id: u32) -> SpaceFile {
        SpaceFile {
            name: name.to_owned(),
            space_id: SpaceId(id),
            node: 0,
            flags: SpaceFlags::default(),
            page_size: PageSize::DEFAULT,
            bytes: 1 << 20,
            undo: false,
            encrypted: false,
            external: None,
            tablespace_name: None,
            floor: None,
            allocated: None,
        }
    }

    /// A file with the role of a tablespace is written before its pages are checked.
    #[test]
    fn tablespaces_have_the_names_of_tablespaces() {
        for (name, id) in [
            ("ibdata1", 0),
            ("ibdata.2", 0),
            ("system.dbf", 0),
            ("system.log", 0),
            ("mysql.ibd", 7),
            ("db/t#p#p0.ibd", 8),
            ("u.ibu", 9),
            ("undo_001", 9),
            ("a/b/ts.ibd", 9),
        ] {
            assert!(is_tablespace(&space(name, id)), "{name}");
        }
        for (name, id) in [
            ("my.cnf", 0),
            (".my.cnf", 0),
            ("d/ibdata1", 0),
            ("mysqld.my", 0),
            ("ib_logfile0", 0),
            ("ca.pem", 0),
            ("mysqld-auto.cnf", 8),
            ("db/t.isl", 8),
            ("db/t", 8),
            (".ibd", 8),
            ("d/.ibd", 8),
            ("undo_1_trunc.log", 9),
            ("ibtmp1", 8),
            ("#ib_16384_0.dblwr", 8),
            ("db/undo_001", 9),
            ("#clone/x.ibd", 8),
            ("a/.x/x.ibd", 8),
        ] {
            assert!(!is_tablespace(&space(name, id)), "{name}");
        }
    }

    #[test]
    fn only_keyring_components_are_accepted_and_rewritten() {
        let made = |text: &str| components(text.as_bytes());
        let keyring = "{\"components\":\"file://component_keyring_file\"}";
        for text in [
            keyring,
            "{\n \"read_local_manifest\": true, \"components\": \"file://component_keyring_file\", \"x\": 1}",
            // Another parser may use the first of the two.
            "{\"components\": \"file://evil\", \"components\": \"file://component_keyring_file\"}",
        ] {
            assert_eq!(made(text).as_deref(), Some(keyring), "{text}");
        }
        for text in [
            "",
            "x",
            "{}",
            "{\"components\": 1}",
            "{\"components\": \"file://evil\"}",
            "{\"components\": \"file://component_keyring_file,file://evil\"}",
            "{\"components\": \"file://../component_keyring_file\"}",
            "{\"components\": \"file://component_keyring_/../../evil\"}",
            "{\"components\": \"http://component_keyring_file\"}",
        ] {
            assert_eq!(made(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_of_warm_pages_has_two_numbers_in_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("warm");
        for (text, is) in [
            ("", true),
            ("0,7\n4294967295,4294967295\n", true),
            ("0,7", true),
            ("0,7\n[mysqld]\n", false),
            ("0\n", false),
            ("\n", false),
            ("0,00000000000000000000000000000007\n", false),
            ("[mysqld]\nlog-error=/x\n", false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(is_warm_pages(&path).unwrap(), is, "{text:?}");
        }
    }
}
