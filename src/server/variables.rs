//! The server's variables that a backup needs: directories, sizes, and the contents of
//! `backup-my.cnf` (`docs/format/checkpoints.md#backup-mycnf`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Server, ServerError};
use crate::innodb::PageSize;

/// The state of the server's keyring.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keyring {
    /// Rows of `performance_schema.keyring_component_status` (key, value); `None` if the account
    /// can't read it, empty if no component is loaded.
    pub component: Option<Vec<(String, String)>>,
    /// Active keyring plugins, which are the older mechanism.
    pub plugins: Vec<String>,
}

/// The variables with their types. Directories are in the server's notation: relative ones are
/// relative to `datadir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables {
    /// `datadir`, absolute.
    pub datadir: PathBuf,
    /// `innodb_data_home_dir`; empty means the datadir.
    pub innodb_data_home_dir: String,
    /// `innodb_data_file_path`, such as `ibdata1:12M:autoextend`.
    pub innodb_data_file_path: String,
    /// `innodb_undo_directory`.
    pub innodb_undo_directory: String,
    /// `innodb_log_group_home_dir`: the directory that contains `#innodb_redo`.
    pub innodb_log_group_home_dir: String,
    /// `innodb_doublewrite_dir`; `None` means the data home.
    pub innodb_doublewrite_dir: Option<String>,
    /// `innodb_temp_tablespaces_dir`.
    pub innodb_temp_tablespaces_dir: String,
    /// `innodb_directories`: more directories with tablespaces; may be empty.
    pub innodb_directories: String,
    /// `innodb_page_size`.
    pub page_size: PageSize,
    /// `innodb_redo_log_capacity` in bytes.
    pub redo_log_capacity: u64,
    /// `innodb_log_file_size` in bytes; `None` if the server no longer has this variable.
    pub log_file_size: Option<u64>,
    /// `innodb_checksum_algorithm`.
    pub checksum_algorithm: String,
    /// `innodb_log_checksums`.
    pub log_checksums: bool,
    /// `innodb_redo_log_encrypt`.
    pub redo_log_encrypt: bool,
    /// `innodb_undo_log_encrypt`.
    pub undo_log_encrypt: bool,
    /// `innodb_undo_tablespaces`; `None` if the server no longer has this variable.
    pub undo_tablespaces: Option<u32>,
    /// `innodb_buffer_pool_filename`.
    pub buffer_pool_filename: String,
    /// `server_id`.
    pub server_id: u32,
    /// `server_uuid`.
    pub server_uuid: String,
    /// `lower_case_table_names`: fixed when a datadir is created, so a restored server must have
    /// the same value.
    pub lower_case_table_names: u8,
    /// `log_bin`.
    pub log_bin: bool,
    /// `log_bin_index`: the path of the binary log's index.
    pub log_bin_index: Option<PathBuf>,
    /// `log_replica_updates`.
    pub log_replica_updates: bool,
    /// `report_host`, if it is set.
    pub report_host: Option<String>,
    /// `report_port`.
    pub report_port: Option<u16>,
    /// `plugin_dir`.
    pub plugin_dir: PathBuf,
    /// The keyring.
    pub keyring: Keyring,
}

/// The names of all variables that are read.
const NAMES: [&str; 26] = [
    "datadir",
    "innodb_data_home_dir",
    "innodb_data_file_path",
    "innodb_undo_directory",
    "innodb_log_group_home_dir",
    "innodb_doublewrite_dir",
    "innodb_temp_tablespaces_dir",
    "innodb_directories",
    "innodb_page_size",
    "innodb_redo_log_capacity",
    "innodb_log_file_size",
    "innodb_checksum_algorithm",
    "innodb_log_checksums",
    "innodb_redo_log_encrypt",
    "innodb_undo_log_encrypt",
    "innodb_undo_tablespaces",
    "innodb_buffer_pool_filename",
    "server_id",
    "server_uuid",
    "lower_case_table_names",
    "log_bin",
    "log_bin_index",
    "log_replica_updates",
    "report_host",
    "report_port",
    "plugin_dir",
];

impl Server {
    /// Reads the variables; only [`Keyring::component`] needs a privilege.
    ///
    /// # Errors
    /// A failed query; a variable that is missing or invalid.
    pub fn variables(&mut self) -> Result<Variables, ServerError> {
        let names = NAMES.map(|n| format!("'{n}'")).join(", ");
        let rows = self.rows(
            "reading the server's variables",
            &format!(
                "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_variables \
                 WHERE VARIABLE_NAME IN ({names})"
            ),
        )?;
        let found = rows.iter().filter_map(|r| {
            Some((
                r.get(0)?.to_string(),
                r.get(1).unwrap_or_default().to_string(),
            ))
        });
        let keyring = self.keyring()?;
        typed(&Found(found.collect()), keyring)
    }

    fn keyring(&mut self) -> Result<Keyring, ServerError> {
        let doing = "reading the state of the keyring";
        let component = match self.rows(
            doing,
            "SELECT STATUS_KEY, STATUS_VALUE FROM performance_schema.keyring_component_status",
        ) {
            Ok(rows) => Some(
                rows.iter()
                    .map(|r| {
                        (
                            r.get(0).unwrap_or_default().to_string(),
                            r.get(1).unwrap_or_default().to_string(),
                        )
                    })
                    .collect(),
            ),
            Err(ServerError::MissingPrivilege { .. }) => None,
            Err(e) => return Err(e),
        };
        let plugins = self.rows(
            doing,
            "SELECT PLUGIN_NAME FROM INFORMATION_SCHEMA.PLUGINS WHERE PLUGIN_NAME LIKE 'keyring%' \
             AND PLUGIN_STATUS = 'ACTIVE' AND PLUGIN_TYPE = 'KEYRING'",
        )?;
        Ok(Keyring {
            component,
            plugins: plugins
                .iter()
                .filter_map(|r| r.get(0).map(str::to_string))
                .collect(),
        })
    }
}

/// Names and values from the server.
struct Found(HashMap<String, String>);

impl Found {
    fn text(&self, name: &str) -> Result<String, ServerError> {
        self.0.get(name).cloned().ok_or_else(|| {
            ServerError::unexpected(format!("variable {name}"), "nothing", "a value")
        })
    }

    fn optional(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|v| !v.is_empty()).cloned()
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, ServerError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| {
            ServerError::unexpected(format!("variable {name}"), format!("'{text}'"), "a number")
        })
    }

    fn optional_number<T: FromStr>(&self, name: &str) -> Result<Option<T>, ServerError> {
        self.optional(name).map(|_| self.number(name)).transpose()
    }

    fn on(&self, name: &str) -> Result<bool, ServerError> {
        let text = self.text(name)?;
        match text.to_ascii_uppercase().as_str() {
            "ON" | "1" => Ok(true),
            "OFF" | "0" => Ok(false),
            _ => Err(ServerError::unexpected(
                format!("variable {name}"),
                format!("'{text}'"),
                "ON or OFF",
            )),
        }
    }
}

fn typed(found: &Found, keyring: Keyring) -> Result<Variables, ServerError> {
    let page_bytes: u32 = found.number("innodb_page_size")?;
    let datadir = found.text("datadir")?;
    if !datadir.starts_with('/') {
        return Err(ServerError::unexpected(
            "variable datadir",
            format!("'{datadir}'"),
            "an absolute path",
        ));
    }
    Ok(Variables {
        datadir: datadir.into(),
        innodb_data_home_dir: found.text("innodb_data_home_dir")?,
        innodb_data_file_path: found.text("innodb_data_file_path")?,
        innodb_undo_directory: found.text("innodb_undo_directory")?,
        innodb_log_group_home_dir: found.text("innodb_log_group_home_dir")?,
        innodb_doublewrite_dir: found.optional("innodb_doublewrite_dir"),
        innodb_temp_tablespaces_dir: found.text("innodb_temp_tablespaces_dir")?,
        innodb_directories: found.optional("innodb_directories").unwrap_or_default(),
        page_size: PageSize::new(page_bytes).map_err(|e| {
            ServerError::unexpected(
                "variable innodb_page_size",
                page_bytes.to_string(),
                e.to_string(),
            )
        })?,
        redo_log_capacity: found.number("innodb_redo_log_capacity")?,
        log_file_size: found.optional_number("innodb_log_file_size")?,
        checksum_algorithm: found.text("innodb_checksum_algorithm")?,
        log_checksums: found.on("innodb_log_checksums")?,
        redo_log_encrypt: found.on("innodb_redo_log_encrypt")?,
        undo_log_encrypt: found.on("innodb_undo_log_encrypt")?,
        undo_tablespaces: found.optional_number("innodb_undo_tablespaces")?,
        buffer_pool_filename: found.text("innodb_buffer_pool_filename")?,
        server_id: found.number("server_id")?,
        server_uuid: found.text("server_uuid")?,
        lower_case_table_names: found.number("lower_case_table_names")?,
        log_bin: found.on("log_bin")?,
        log_bin_index: found.optional("log_bin_index").map(PathBuf::from),
        log_replica_updates: found.on("log_replica_updates")?,
        report_host: found.optional("report_host"),
        report_port: found.optional_number("report_port")?,
        plugin_dir: found.text("plugin_dir")?.into(),
        keyring,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> HashMap<String, String> {
        let text = "datadir=/d/ innodb_data_home_dir= innodb_data_file_path=ibdata1:12M:autoextend \
            innodb_undo_directory=./ innodb_log_group_home_dir=./ innodb_doublewrite_dir= \
            innodb_temp_tablespaces_dir=./#innodb_temp/ innodb_directories= innodb_page_size=16384 \
            innodb_redo_log_capacity=104857600 innodb_checksum_algorithm=crc32 innodb_log_checksums=ON \
            innodb_redo_log_encrypt=OFF innodb_undo_log_encrypt=ON innodb_buffer_pool_filename=ib_buffer_pool \
            server_id=1 server_uuid=u lower_case_table_names=0 log_bin=OFF log_bin_index= log_replica_updates=ON \
            plugin_dir=/p/";
        let pairs = text.split_whitespace().filter_map(|p| p.split_once('='));
        pairs.map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn removed_variables_may_be_missing() {
        let v = typed(&Found(found()), Keyring::default()).unwrap();
        assert_eq!(
            (
                v.log_file_size,
                v.undo_tablespaces,
                v.innodb_doublewrite_dir
            ),
            (None, None, None)
        );
        assert_eq!(
            (
                v.log_checksums,
                v.redo_log_encrypt,
                v.undo_log_encrypt,
                v.log_bin
            ),
            (true, false, true, false)
        );
        assert_eq!(
            (v.page_size.bytes(), v.redo_log_capacity, v.server_id),
            (16384, 104_857_600, 1)
        );
    }

    #[test]
    fn an_invalid_value_is_reported_with_its_variable() {
        for (name, value) in [
            ("innodb_page_size", "5"),
            ("innodb_page_size", "x"),
            ("log_bin", "MAYBE"),
            ("server_id", "-1"),
            ("datadir", "relative"),
        ] {
            let mut map = found();
            map.insert(name.into(), value.into());
            let error = typed(&Found(map), Keyring::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        let mut map = found();
        map.remove("innodb_data_file_path");
        let error = typed(&Found(map), Keyring::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("innodb_data_file_path"), "{error}");
    }
}
