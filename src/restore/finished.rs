//! The list of the files of a backup that a finished data directory gets.
//!
//! The next start of a server acts on much of what lies in its data directory: it reads persisted variables and
//! keys, follows `.isl` links, removes files that an index of logs names, applies an old redo log. A backup may
//! come from somebody else, so nothing is placed because no rule forbids it: the list names what is placed.
//!
//! | files | placed |
//! |---|---|
//! | tablespaces under the names that a server gives them | always |
//! | tables of other engines, by their extension | always |
//! | the list of warm pages, by its name or its content | always |
//! | `mysqld.my` | its keyring components, in a file that is written anew; with [`trusted`], as it is |
//! | configuration, certificates and keys | with [`trusted`] |
//! | `auto.cnf`, everything else | never |

use super::error::listed;
use super::{RestoreOptions, RestorePlan};
use crate::innodb::data_files;
use crate::manifest::{FileRole, Manifest};
use crate::reader::server_names::{extension, is_implicit_undo, is_read, is_schema, is_table};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

/// The manifest of the components that a server loads first.
pub(super) const COMPONENTS: &str = "mysqld.my";
/// The identity of the source: the restored server makes its own.
pub(super) const IDENTITY: &str = "auto.cnf";
/// The list of warm pages, where `innodb_buffer_pool_filename` isn't set.
const WARM_PAGES: &str = "ib_buffer_pool";

/// How a file of the server, that is no tablespace and no log, is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Data, which the recovery sees too.
    Data,
    /// [`COMPONENTS`].
    Components,
    /// A server acts on it when it starts.
    Configuration,
    /// A list of warm pages with a name of its own, or something that no rule names.
    Unknown,
    /// Never placed.
    Other,
}

/// Classifies a plain file by its path.
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

/// Settings, certificates and keys that a real server may have.
fn is_configuration(name: &str) -> bool {
    let component = name.starts_with("component_") && extension(name) == Some("cnf");
    name == "mysqld-auto.cnf" || component || extension(name) == Some("pem")
}

/// These names, and others that no list of warm pages has.
fn is_acted_on(name: &str) -> bool {
    const OTHER: [&str; 8] = ["key", "info", "log", "sock", "lock", "pid", "so", "state"];
    is_read(name)
        || name.starts_with("tablespaces.open.")
        || extension(name).is_some_and(|extension| OTHER.contains(&extension))
}

/// Whether `xtrabackup --prepare` is given a file of an extracted backup, and leaves it in the finished directory.
pub(super) fn is_for_prepare(path: &str, newest: &Manifest) -> bool {
    let (schema, name) = path.rsplit_once('/').unwrap_or(("", path));
    if schema.contains('/') || !is_schema(schema) {
        return false;
    }
    if is_metadata(path) || class(path) == Class::Data {
        return true;
    }
    // What `--prepare` is told of a tablespace: `t.ibd.delta`, `t.ibd.meta`, `7.del`, `7.ren`, `t.ibd.new`.
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

/// A file that only describes the backup: those of xtrabackup and the options for its `--prepare`.
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

/// `binlog.000001`, or an index, which is rewritten.
fn is_log(name: &str) -> bool {
    match extension(name) {
        Some("index") => true,
        Some(number) => number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit()),
        None => false,
    }
}

/// Whether whoever restores vouches for the configuration of the backup: by a key that proves who made it, or by
/// an option. (With `accept_unauthenticated`, the key proves nothing.)
pub(super) const fn trusted(options: &RestoreOptions) -> bool {
    options.accept_config || (options.key.is_some() && !options.accept_unauthenticated)
}

/// What the stored manifest of components becomes: one with the keyring components that it names; `None` where
/// it is no such manifest, or names another component.
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

/// Whether a file is a list of warm pages: lines of the number of a tablespace and that of a page.
pub(super) fn is_warm_pages(path: &Path) -> std::io::Result<bool> {
    /// Longest line, in bytes: two numbers of 32 bits.
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

/// The plain files of a plan that are known by their names not to be placed.
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
        .filter(|name| is_left(name, options))
        .map(str::to_owned)
        .collect()
}

/// Whether a file is known by its path not to be placed, and somebody may miss it.
pub(super) fn is_left(path: &str, options: &RestoreOptions) -> bool {
    match class(path) {
        Class::Configuration => !trusted(options),
        Class::Other => path != IDENTITY,
        Class::Data | Class::Components | Class::Unknown => false,
    }
}

/// Warnings for files that were not placed; `directories` are those that are restored from.
pub(super) fn told(names: &[String], plan: &RestorePlan) -> Vec<String> {
    let is_config = |name: &String| matches!(class(name), Class::Configuration | Class::Components);
    let (config, other): (Vec<String>, Vec<String>) = names.iter().cloned().partition(is_config);
    let place = match plan.directories.first() {
        Some(directory) => format!("found in {}", directory.display()),
        None => "extracted by `lsnap cloud get -C DIR`".to_owned(),
    };
    let mut warnings = Vec::new();
    if !config.is_empty() {
        warnings.push(format!(
            "not placed in the restored directory: {} ({place}). A server acts on such files when it starts, and no key \
             proved who made the backup: look at them, then copy them, or add --accept-config",
            listed(&config)
        ));
    }
    if !other.is_empty() {
        warnings.push(format!(
            "not placed in the restored directory, because they are no files of tables: {} ({place})",
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
    fn only_the_data_of_tables_is_placed_without_a_word_from_the_person() {
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

    /// A file of the role of a tablespace is written before anything looks at its pages.
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
    fn only_keyring_components_are_taken_and_written_anew() {
        let made = |text: &str| components(text.as_bytes());
        let keyring = "{\"components\":\"file://component_keyring_file\"}";
        for text in [
            keyring,
            "{\n \"read_local_manifest\": true, \"components\": \"file://component_keyring_file\", \"x\": 1}",
            // Another parser may take the first of two.
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
    fn a_list_of_warm_pages_holds_two_numbers_a_line() {
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
