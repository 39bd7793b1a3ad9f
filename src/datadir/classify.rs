//! Classifies files and directories of a data directory by name.

/// Extensions of files that are copied unchanged (`docs/format/checkpoints.md#plain-files`):
/// MyISAM, Aria, MERGE, ARCHIVE, CSV, `db.opt`, and the dictionary information of tables of other
/// engines than InnoDB.
pub(super) const PLAIN: [&str; 11] = [
    "MYD", "MYI", "MAD", "MAI", "MRG", "ARM", "ARZ", "CSM", "CSV", "opt", "sdi",
];

/// The reason for the configuration of a keyring component. Configurations of Vault, KMS, KMIP and
/// encrypted files contain tokens and passwords, with which the data of a backup can be decrypted.
pub const KEYRING_CONFIG: &str = "configuration of the keyring, a way to the keys: keep it apart from backups; a restored server needs it";
/// The reason for a key file.
pub const KEYS: &str =
    "may hold encryption keys: keep them apart from backups; a restored server needs them";

/// The reason for a file without a rule.
pub(super) const UNKNOWN: &str = "not a file of a known storage engine";

/// The level of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Directly in the data directory.
    Root,
    /// In a schema's directory.
    Schema,
}

/// The class of a file, by its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileClass {
    /// A tablespace, if the server's lists contain it: `.ibd`
    Tablespace,
    /// An undo tablespace, if the server's lists contain it: `undo_001`, `.ibu`
    Undo,
    /// A file that is copied unchanged.
    Plain,
    /// A file that is not backed up, for this reason.
    LeftOut(&'static str),
}

/// Classifies a file by its name.
pub(super) fn file(name: &str, level: Level) -> FileClass {
    if name.starts_with("#sql") {
        return FileClass::LeftOut("temporary table, or the rest of an unfinished ALTER TABLE");
    }
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("ibd") => return FileClass::Tablespace,
        Some("ibu") if level == Level::Root => return FileClass::Undo,
        // In a schema it is a table with that name.
        _ if level == Level::Root && name.contains("keyring") => {
            return FileClass::LeftOut(keyring_reason(name));
        }
        Some(extension) if PLAIN.contains(&extension) => return FileClass::Plain,
        _ => {}
    }
    match level {
        Level::Root => root_file(name),
        Level::Schema => FileClass::LeftOut(UNKNOWN),
    }
}

fn root_file(name: &str) -> FileClass {
    if is_implicit_undo(name) {
        return FileClass::Undo;
    }
    if name == "mysqld.my" {
        return FileClass::Plain;
    }
    FileClass::LeftOut(root_reason(name))
}

fn keyring_reason(name: &str) -> &'static str {
    if is_keyring_config(name) {
        KEYRING_CONFIG
    } else {
        KEYS
    }
}

/// Returns whether a file of the data directory configures a keyring component.
#[must_use]
pub fn is_keyring_config(name: &str) -> bool {
    name.starts_with("component_keyring_")
        && std::path::Path::new(name).extension() == Some("cnf".as_ref())
}

/// Returns the reason why a file directly in the data directory isn't backed up. Unknown files are
/// not copied: they might contain keys, and a restored server doesn't need them.
fn root_reason(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
    match name {
        "auto.cnf" => "the server's identity: a restored server gets a new one",
        "mysqld-auto.cnf" => "persisted settings of this server (SET PERSIST), not data",
        "ib_buffer_pool" => "copied separately",
        "ibtmp1" => "temporary tablespace: created at each start",
        "mysql_upgrade_history" => "a note on upgrades, not needed by a restored server",
        _ if name.starts_with("#ib_") && extension == "dblwr" => {
            "doublewrite file: pages are verified when they are copied"
        }
        _ if name.starts_with("ib_logfile") => "redo log of an old server: not needed",
        _ if is_undo_truncation(name) => "exists only while an undo tablespace is truncated",
        _ if extension == "pem" => "private key or certificate: belongs to this server",
        _ if extension == "pid" => "process id file",
        _ if extension == "sock" || name.ends_with(".sock.lock") => "socket",
        _ if extension == "err" || extension == "log" => "log file",
        _ if is_numbered_log(name) => "binary or relay log",
        _ if extension == "index" => "index of binary or relay logs",
        _ if extension == "ibt" => "temporary tablespace: created at each start",
        _ => UNKNOWN,
    }
}

/// Returns the reason why a directory isn't a schema; `None` if it is one. A schema's name is
/// encoded on disk, so it can't start with any of these characters.
pub(super) fn directory(name: &str) -> Option<&'static str> {
    match name {
        "#innodb_redo" => Some("redo log: copied by following it"),
        "#innodb_temp" => Some("temporary tablespaces: created at each start"),
        "#ib_archive" => Some("page tracking and redo archive: useful only for this server"),
        "#meb" => Some("page tracking results: useful only for this server"),
        "#file_purge" => Some("files that the server is removing"),
        _ if name.starts_with("#clone") => Some("state of a clone operation"),
        _ if name.starts_with('#') => Some("internal directory of the server"),
        _ if name.starts_with('.') => Some("hidden directory: not a schema"),
        "lost+found" => Some("directory of the file system"),
        _ => None,
    }
}

/// Returns whether the file is an undo tablespace created by the server itself: `undo_001`, ...
/// `undo_127`.
pub(super) fn is_implicit_undo(name: &str) -> bool {
    name.strip_prefix("undo_")
        .is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns whether the file is `undo_<number>_trunc.log`, which exists while an undo tablespace is
/// being truncated.
fn is_undo_truncation(name: &str) -> bool {
    name.strip_prefix("undo_")
        .and_then(|n| n.strip_suffix("_trunc.log"))
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns whether the name ends with a log number, as in `binlog.000001`.
fn is_numbered_log(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, n)| n.len() >= 6 && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_classified_by_name() {
        use FileClass::{Plain, Tablespace, Undo};
        for (name, level, expected) in [
            ("t.ibd", Level::Schema, Tablespace),
            ("sp#p#p@0020@00230#sp#p1sp0.ibd", Level::Schema, Tablespace),
            ("mysql.ibd", Level::Root, Tablespace),
            ("undo_001", Level::Root, Undo),
            ("u.ibu", Level::Root, Undo),
            ("m.MYD", Level::Schema, Plain),
            ("m_388.sdi", Level::Schema, Plain),
            ("db.opt", Level::Schema, Plain),
            ("mysqld.my", Level::Root, Plain),
            ("keyring.MYD", Level::Schema, Plain),
            ("keyring.ibd", Level::Root, Tablespace),
        ] {
            assert_eq!(file(name, level), expected, "{name}");
        }
    }

    #[test]
    fn everything_else_is_left_out_for_a_reason() {
        for (name, word) in [
            ("auto.cnf", "identity"),
            ("mysqld-auto.cnf", "persisted"),
            ("ib_buffer_pool", "copied separately"),
            ("ibtmp1", "temporary"),
            ("#ib_16384_0.dblwr", "doublewrite"),
            ("ca-key.pem", "private key"),
            ("component_keyring_file", "keys"),
            ("keyring", "keys"),
            ("keyring.opt", "keys"),
            ("component_keyring_file.cnf", "a way to the keys"),
            ("component_keyring_kmip.cnf", "a way to the keys"),
            ("server-key.pem", "private key"),
            ("private_key.pem", "private key"),
            ("host.pid", "process"),
            ("mysql.sock", "socket"),
            ("host.err", "log file"),
            ("binlog.000001", "binary"),
            ("host-relay-bin-group_replication_applier.000002", "relay"),
            ("binlog.index", "index"),
            ("undo_0001", "known storage engine"),
            ("undo_1_trunc.log", "truncated"),
            ("undo_x_trunc.log", "log file"),
            ("#sql-ib1068-12.ibd", "ALTER"),
            ("#sql1a_8.MYD", "temporary"),
            ("t.myd", "known storage engine"),
        ] {
            match file(name, Level::Root) {
                FileClass::LeftOut(reason) => assert!(reason.contains(word), "{name}: {reason}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(matches!(
            file("x.cfg", Level::Schema),
            FileClass::LeftOut(_)
        ));
        assert!(matches!(
            file("mysqld.my", Level::Schema),
            FileClass::LeftOut(_)
        ));
    }

    #[test]
    fn directories_are_schemas_unless_reserved() {
        for name in [
            "#innodb_redo",
            "#innodb_temp",
            "#ib_archive",
            "#x",
            ".rocksdb",
            "lost+found",
        ] {
            assert!(directory(name).is_some(), "{name}");
        }
        for name in [
            "mysql",
            "sys",
            "odd@0020name",
            "@65e5@672c",
            "performance_schema",
        ] {
            assert!(directory(name).is_none(), "{name}");
        }
    }
}
