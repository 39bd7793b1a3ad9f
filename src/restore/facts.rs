//! Checks of the values in a manifest that a recovering server uses without checking them: with
//! wrong ones it ends, or uses other files than those that were restored.

use super::error::RestoreError;
use super::{data_files, gtid_set};
use crate::innodb::SpaceId;
use crate::manifest::{Finding, MANIFEST, Manifest};
use crate::reader::ReadError;
use std::collections::BTreeMap;

/// The file of the data dictionary.
const DICTIONARY: &str = "mysql.ibd";
/// The largest value of `lower_case_table_names`.
const MOST_LOWER_CASE: u8 = 2;

/// Checks the newest member of a chain.
///
/// # Errors
/// [`ReadError::Damaged`].
pub(super) fn check(newest: &Manifest) -> Result<(), RestoreError> {
    let fault = system_files(newest)
        .and_then(|()| dictionary(newest))
        .and_then(|()| lower_case(newest))
        .and_then(|()| gtids(newest))
        .and_then(|()| gtid_mode(newest));
    fault.map_err(|what| RestoreError::Read(ReadError::damaged(&newest.name, MANIFEST, what)))
}

/// Checks that the files of the system tablespace are those of the setting, in the same order.
fn system_files(newest: &Manifest) -> Result<(), Finding> {
    let setting = &newest.server.data_file_path;
    let names = data_files::names(setting)?;
    let spaces = newest.files.iter().filter_map(|file| file.role.space());
    let files: BTreeMap<u32, &str> = spaces
        .filter(|space| space.space_id == SpaceId::SYSTEM)
        .map(|space| (space.node, space.name.as_str()))
        .collect();
    let expected = (0u32..).zip(names.iter().map(String::as_str));
    // A restore from directories reads the files later.
    if files.is_empty() || expected.eq(files.iter().map(|(node, name)| (*node, *name))) {
        return Ok(());
    }
    let files: Vec<&str> = files.into_values().collect();
    Err(Finding::new(
        format!("the files {files:?} of the system tablespace found"),
        format!("{names:?}, as in its innodb_data_file_path {setting:?}"),
    ))
}

/// Checks the setting that is printed for my.cnf.
fn gtid_mode(newest: &Manifest) -> Result<(), Finding> {
    let settings = newest.server.settings.as_ref();
    match settings.map(|settings| settings.gtid_mode.as_str()) {
        None | Some("ON" | "OFF" | "ON_PERMISSIVE" | "OFF_PERMISSIVE") => Ok(()),
        Some(found) => Err(Finding::new(
            format!("gtid_mode {found:?} found"),
            "ON, OFF, ON_PERMISSIVE or OFF_PERMISSIVE",
        )),
    }
}

fn dictionary(newest: &Manifest) -> Result<(), Finding> {
    let mut spaces = newest.files.iter().filter_map(|file| file.role.space());
    let wrong = spaces
        .find(|space| space.space_id == SpaceId::DICTIONARY && space.name != DICTIONARY)
        .map(|space| &space.name);
    wrong.map_or(Ok(()), |name| {
        Err(Finding::new(
            format!("the file {name:?} of the data dictionary found"),
            format!("{DICTIONARY:?}"),
        ))
    })
}

fn lower_case(newest: &Manifest) -> Result<(), Finding> {
    let found = newest.server.lower_case_table_names;
    if found <= MOST_LOWER_CASE {
        return Ok(());
    }
    Err(Finding::new(
        format!("lower_case_table_names {found} found"),
        "0, 1 or 2",
    ))
}

fn gtids(newest: &Manifest) -> Result<(), Finding> {
    let set = newest.binlog.as_ref().map(|log| log.gtid_executed.as_str());
    match set.and_then(gtid_set::fault) {
        None => Ok(()),
        Some(part) => Err(Finding::new(
            format!("gtid_executed has {part:?}"),
            "UUID:number or UUID:number-number",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::FileRole;
    use crate::reader::fixture::{World, system};

    /// Returns the error for a backup whose manifest was changed.
    fn checked(change: impl FnOnce(&mut Manifest)) -> Result<(), String> {
        let mut world = World::new();
        world.backup(&system());
        let manifest = &mut world.chain[0];
        change(manifest);
        check(manifest).map_err(|error| error.to_string())
    }

    fn rename(manifest: &mut Manifest, from: &str, to: &str) {
        for file in &mut manifest.files {
            if let FileRole::Tablespace(space) = &mut file.role
                && space.name == from
            {
                space.name = to.to_owned();
            }
        }
    }

    #[test]
    fn only_values_of_a_real_backup_are_accepted() {
        let refused = |change: fn(&mut Manifest), words: &str| {
            let error = checked(change).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        checked(|_| {}).unwrap();
        checked(|m| m.server.data_file_path = "/fast/ibdata1:5M".to_owned()).unwrap();
        checked(|m| m.server.lower_case_table_names = 2).unwrap();
        checked(|m| m.files.clear()).unwrap();
        refused(|m| rename(m, "ibdata1", "ibdata1x"), "ibdata1x");
        refused(|m| rename(m, "mysql.ibd", "mysql.ibdx"), "mysql.ibdx");
        refused(
            |m| m.server.data_file_path = "ibdata1:5M;ibdata2:5M".to_owned(),
            "ibdata2",
        );
        refused(|m| m.server.lower_case_table_names = 3, "0, 1 or 2");
        refused(
            |m| m.binlog.as_mut().unwrap().gtid_executed = "../x".to_owned(),
            "../x",
        );
    }
}
