//! The configuration of the source's keyring, which a backup doesn't hold: it is a way to the keys.

use super::error::{RestoreError, io};
use super::plain;
use crate::store::Manifest;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Whether a file of a data directory configures a keyring component.
fn is_config(name: &str) -> bool {
    name.starts_with("component_keyring_") && Path::new(name).extension() == Some("cnf".as_ref())
}

/// What is missing in the restored directory unless the caller gives it.
pub(super) fn warnings(newest: &Manifest, given: &[PathBuf]) -> Vec<String> {
    let given = |name: &str| {
        given
            .iter()
            .any(|path| path.file_name() == Some(name.as_ref()))
    };
    let left_out = newest.left_out.iter().map(|left| left.path.as_str());
    left_out
        .filter(|name| is_config(name) && !given(name))
        .map(|name| {
            format!(
                "{name} is not in the backup, as it is a way to the keys: give it with --keyring-config, or the server \
                 that applies the redo log and the restored server can't open encrypted tablespaces"
            )
        })
        .collect()
}

/// Checks that all files can be read and are configurations.
///
/// # Errors
/// [`RestoreError::Target`] for one that is none, [`RestoreError::Io`].
pub(super) fn check(given: &[PathBuf]) -> Result<(), RestoreError> {
    for path in given {
        name(path)?;
        std::fs::File::open(path).map_err(io("read", path))?;
    }
    Ok(())
}

fn name(path: &Path) -> Result<&str, RestoreError> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.filter(|name| is_config(name))
        .ok_or_else(|| RestoreError::Target {
            path: path.to_path_buf(),
            why: "its name is not that of a keyring's configuration: expected component_keyring_<kind>.cnf"
                .to_owned(),
        })
}

/// Puts the files into the restored directory, where a server reads them. One that an old backup brought is
/// replaced: the caller says which one counts.
///
/// # Errors
/// As [`check`].
pub(super) fn place(root: &Path, given: &[PathBuf]) -> Result<(), RestoreError> {
    for path in given {
        let to = root.join(name(path)?);
        let text = std::fs::read(path).map_err(io("read", path))?;
        match std::fs::remove_file(&to) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io("replace", &to)(error));
            }
            _ => {}
        }
        let mut file = plain::create(&to)?;
        file.write_all(&text)
            .and_then(|()| file.sync_all())
            .map_err(io("write", &to))?;
    }
    Ok(())
}
