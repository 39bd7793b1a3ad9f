//! Settings that a restored server needs, because those of the source differ from the defaults.

use super::data_files;
use crate::innodb::{PageSize, SpaceId};
use crate::manifest::{Manifest, ServerSettings};
use crate::reader::layout::Layout;
use crate::reader::server_names;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// A setting for the restored server's my.cnf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Setting {
    /// The name of the variable.
    pub name: String,
    /// The required value; `None`: it must not be set.
    pub value: Option<String>,
    /// The reason.
    pub why: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "set {} = {value}: {}", self.name, self.why),
            None => write!(f, "do not set {}: {}", self.name, self.why),
        }
    }
}

/// Returns the settings for a restored directory with these files.
pub(super) fn needed(newest: &Manifest, layout: &Layout) -> Vec<Setting> {
    let server = &newest.server;
    let mut settings = Vec::new();
    let mut add = |name: &str, value: Option<String>, why: String| {
        settings.push(Setting {
            name: name.to_owned(),
            value,
            why,
        });
    };
    if server.lower_case_table_names != 0 {
        let value = Some(server.lower_case_table_names.to_string());
        add(
            "lower_case_table_names",
            value,
            "the source server ran with it, and a server does not start with another value"
                .to_owned(),
        );
    }
    if server.page_size != PageSize::DEFAULT {
        let value = Some(server.page_size.bytes().to_string());
        add(
            "innodb_page_size",
            value,
            "the data have pages of that size".to_owned(),
        );
    }
    if let Ok(files) = data_files::base_names(&server.data_file_path)
        && files != data_files::DEFAULT
    {
        add(
            "innodb_data_file_path",
            Some(files),
            "these are the files of the system tablespace".to_owned(),
        );
    }
    let moved = |name: &str, holds: &dyn Fn(&crate::reader::FilePlan) -> bool| {
        let files = layout.files.iter().filter(|file| holds(file));
        let from: BTreeSet<&str> = files.filter_map(|file| file.external.as_deref()).collect();
        let from = from.into_iter().collect::<Vec<_>>().join(" and ");
        (!from.is_empty()).then(|| {
            (
                name.to_owned(),
                format!("the files that lay in {from} are in the restored directory"),
            )
        })
    };
    let system = moved("innodb_data_home_dir", &|file| {
        file.space_id == SpaceId::SYSTEM
    });
    // Other undo tablespaces are at the path of CREATE UNDO TABLESPACE.
    let undo = moved("innodb_undo_directory", &|file| {
        file.undo && server_names::is_implicit_undo(&file.path)
    });
    for (name, why) in [system, undo].into_iter().flatten() {
        add(&name, None, why);
    }
    if newest.replica.is_some() {
        add(
            "skip_replica_start",
            Some("ON".to_owned()),
            "the source was a replica, and its tables would make this server replicate as soon as it starts; remove it \
             when the replication of this server is set up"
                .to_owned(),
        );
    }
    if let Some(of) = &server.settings {
        of_replication(of, &mut add);
    }
    settings
}

/// Adds the settings on which the binary log and the redo log of the restored server depend.
fn of_replication(of: &ServerSettings, add: &mut impl FnMut(&str, Option<String>, String)) {
    // Always, because the default is not the same in all versions (9.7.4: ON).
    let why = "the source ran with it, and its replicas need the same value";
    add("gtid_mode", Some(of.gtid_mode.clone()), why.to_owned());
    if of.gtid_mode != "OFF" {
        let why = format!("gtid_mode={} requires it", of.gtid_mode);
        add("enforce_gtid_consistency", Some("ON".to_owned()), why);
    }
    let in_use = |directory: &str, what: &str| {
        format!(
            "the source has its {what} in {directory}; a server that finds files of another server there uses them as \
             its own. Move them away, or name another directory"
        )
    };
    if let Some(directory) = &of.binary_log_directory {
        add("log_bin", None, in_use(directory, "binary log"));
    }
    if let Some(directory) = &of.redo_directory {
        add(
            "innodb_log_group_home_dir",
            None,
            in_use(directory, "redo log"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::BackupName;
    use crate::reader::FilePlan;

    fn file(path: &str, id: u32, external: Option<&str>) -> FilePlan {
        FilePlan {
            path: path.to_owned(),
            space_id: SpaceId(id),
            node: 0,
            page_size: PageSize::DEFAULT,
            bytes: 1 << 20,
            undo: id > 100,
            encrypted: false,
            external: external.map(str::to_owned),
            sources: Vec::new(),
        }
    }

    fn settings_of(files: Vec<FilePlan>) -> Vec<String> {
        let server = serde_json::from_value(serde_json::json!({
            "uuid": "", "version": "9.7.4", "flavor": "MySQL", "hostname": "", "page_size": 16384,
            "redo_format": 6, "redo_log_uuid": 0, "redo_creator": "MySQL 9.7.4",
            "data_file_path": data_files::DEFAULT, "lower_case_table_names": 0
        }))
        .unwrap();
        let layout = Layout {
            files,
            ..Layout::default()
        };
        let newest = Manifest {
            server,
            ..Manifest::blank(BackupName::unnamed())
        };
        let settings = needed(&newest, &layout);
        settings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_directory_of_undo_tablespaces_is_that_of_the_implicit_ones() {
        let system = || file("ibdata1", 0, None);
        let explicit = || file("more.ibu", 200, Some("/elsewhere"));
        assert_eq!(
            settings_of(vec![system(), explicit(), file("undo_001", 201, None)]),
            [""; 0]
        );
        let lines = settings_of(vec![
            system(),
            explicit(),
            file("undo_001", 201, Some("/undo")),
            file("undo_002", 202, Some("/undo")),
        ]);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("innodb_undo_directory") && lines[0].contains("lay in /undo are")
        );
    }
}
