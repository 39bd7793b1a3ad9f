//! Key files of the server in its data directory that can't be recognised by name.
//!
//! A keyring file can have any path, also one in the data directory that looks like a table's file
//! of another engine. The path is known from the server, and from the configurations of keyring
//! components in the data directory.

use crate::datadir::{LeftOut, Survey, is_keyring_config};
use crate::server::Keyring;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Maximum length of a configuration that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Removes key files from the survey.
pub(super) fn leave_out(survey: &mut Survey, datadir: &Path, keyring: &Keyring) {
    let named = keyring.component.iter().flatten();
    let named = named.map(|(_, value)| value.clone());
    let configured = survey
        .left_out
        .iter()
        .filter(|left| is_keyring_config(&left.path))
        .flat_map(|left| strings_in(&datadir.join(&left.path)));
    let keys: HashSet<PathBuf> = named
        .chain(configured)
        .filter_map(|path| datadir.join(path).canonicalize().ok())
        .filter(|path| path.is_file())
        .collect();
    if keys.is_empty() {
        return;
    }
    let left_out = &mut survey.left_out;
    survey.plain.retain(|file| {
        let is_one = (file.source.canonicalize()).is_ok_and(|path| keys.contains(&path));
        if is_one {
            left_out.push(LeftOut::keys(file.name.clone()));
        }
        !is_one
    });
}

/// Returns all strings of a JSON file: each component has its own name for the path.
fn strings_in(path: &Path) -> Vec<String> {
    let short = std::fs::metadata(path).is_ok_and(|found| found.len() <= LONGEST);
    let text = if short {
        std::fs::read(path)
    } else {
        Ok(Vec::new())
    };
    let value = text
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let mut found = Vec::new();
    collect(&value.unwrap_or_default(), &mut found);
    found
}

fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(all) => all.iter().for_each(|value| collect(value, found)),
        serde_json::Value::Object(all) => all.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadir::PlainFile;
    use std::fs;

    #[test]
    fn key_files_are_found_by_the_server_and_by_configurations() {
        let dir = tempfile::tempdir().unwrap();
        let datadir = dir.path();
        fs::create_dir(datadir.join("db")).unwrap();
        for name in [
            "db/secret.sdi",
            "db/other.MYD",
            "status.opt",
            "db/table.MYD",
        ] {
            fs::write(datadir.join(name), name).unwrap();
        }
        let config = serde_json::json!({"path": "db/secret.sdi", "more": [{"x": datadir.join("db/other.MYD")}]});
        fs::write(datadir.join("component_keyring_x.cnf"), config.to_string()).unwrap();
        let plain = |name: &str| PlainFile {
            source: datadir.join(name),
            name: name.to_owned(),
            bytes: 1,
        };
        let mut survey = Survey {
            plain: [
                "db/secret.sdi",
                "db/other.MYD",
                "status.opt",
                "db/table.MYD",
            ]
            .map(plain)
            .into(),
            left_out: vec![LeftOut {
                path: "component_keyring_x.cnf".to_owned(),
                reason: "as it is left out",
            }],
            ..Survey::default()
        };
        let keyring = Keyring {
            component: Some(vec![
                (
                    "Component_name".to_owned(),
                    "component_keyring_file".to_owned(),
                ),
                ("Data_file".to_owned(), "status.opt".to_owned()),
            ]),
            ..Keyring::default()
        };
        leave_out(&mut survey, datadir, &keyring);
        let names: Vec<_> = survey.plain.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["db/table.MYD"]);
        let left: Vec<_> = survey.left_out[1..]
            .iter()
            .map(|left| left.path.as_str())
            .collect();
        assert_eq!(left, ["db/secret.sdi", "db/other.MYD", "status.opt"]);
        assert!(LeftOut::opens_keys(survey.left_out[1].reason));
    }
}
