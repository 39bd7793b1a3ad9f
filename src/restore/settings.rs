//! Settings that a restored server needs, because the source's are not the default ones.

use super::data_files;
use crate::innodb::{PageSize, SpaceId};
use crate::manifest::ServerIdentity;
use crate::reader::layout::Layout;
use serde::Serialize;
use std::fmt;

/// A line of the restored server's my.cnf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The name of the variable.
    pub name: String,
    /// The value that it must have; `None`: it must not be set.
    pub value: Option<String>,
    /// Why.
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

/// The settings for a restored directory with these files.
pub(super) fn needed(server: &ServerIdentity, layout: &Layout) -> Vec<Setting> {
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
        let mut files = layout.files.iter().filter(|file| holds(file));
        let from = files.find_map(|file| file.external.as_ref())?;
        Some((
            name.to_owned(),
            format!("the files that lay in {from} are in the restored directory"),
        ))
    };
    let system = moved("innodb_data_home_dir", &|file| {
        file.space_id == SpaceId::SYSTEM
    });
    let undo = moved("innodb_undo_directory", &|file| file.undo);
    for (name, why) in [system, undo].into_iter().flatten() {
        add(&name, None, why);
    }
    settings
}
