//! The tablespace files of a target, found by the space id in their first pages.

use super::error::PrepareError;
use super::files::io;
use crate::innodb::{SpaceId, data_files, page};
use crate::manifest::{Manifest, SpaceFile};
use crate::reader::ReadError;
use crate::restore::RestoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of the first page that are read.
const HEAD: u64 = 64;

/// Deepest directory below the target that can have a tablespace.
const DEEPEST: usize = 8;

/// A tablespace, and the file within it.
pub(super) type Key = (SpaceId, u32);

/// The tablespace files of a directory.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The path of each.
    pub(super) files: BTreeMap<Key, String>,
    /// Files with the name of a tablespace whose first page is not written.
    pub(super) blank: BTreeSet<String>,
}

/// Lists the tablespace files below `root`. `known`: the backup whose files they are, which has the
/// ids of files whose first page is in the redo log.
///
/// # Errors
/// [`PrepareError::State`] if a file of `known` is missing, is another tablespace, or a tablespace
/// has two files.
pub(super) fn scan(root: &Path, known: &Manifest) -> Result<Found, PrepareError> {
    let by_name: BTreeMap<&str, &SpaceFile> = spaces(known)
        .map(|space| (space.name.as_str(), space))
        .collect();
    let mut found = Found::default();
    for name in names(root, known)? {
        let expected = by_name.get(name.as_str()).copied();
        let system = system_node(&known.server.data_file_path, &name);
        let key = match (system, head_of(&root.join(&name))?, expected) {
            (Some(node), _, _) => Some((SpaceId::SYSTEM, node)),
            (None, Some(id), None) => Some((id, 0)),
            (None, Some(id), Some(space)) if id == space.space_id => Some((id, 0)),
            (None, Some(id), Some(space)) => {
                return Err(PrepareError::State {
                    path: root.join(&name),
                    why: format!(
                        "its first page is of tablespace {id}, expected {}; extract the backup again",
                        space.space_id
                    ),
                });
            }
            (None, None, Some(space)) => Some((space.space_id, space.node)),
            (None, None, None) => None,
        };
        let Some(key) = key else {
            found.blank.insert(name);
            continue;
        };
        if let Some(other) = found.files.insert(key, name.clone()) {
            return Err(PrepareError::State {
                path: root.join(&name),
                why: format!(
                    "{other} is of the same tablespace {}; remove the file that is not of the backup",
                    key.0
                ),
            });
        }
    }
    for space in spaces(known) {
        if !found.files.contains_key(&(space.space_id, space.node)) {
            return Err(PrepareError::State {
                path: root.join(&space.name),
                why: format!(
                    "the file of tablespace {} is missing; extract the backup again",
                    space.space_id
                ),
            });
        }
    }
    Ok(found)
}

/// Lists the names of the tablespace files below `root`, whatever their content.
pub(super) fn names(root: &Path, known: &Manifest) -> Result<Vec<String>, PrepareError> {
    let mut names = Vec::new();
    list(root, "", 0, &known.server.data_file_path, &mut names)?;
    Ok(names)
}

/// Returns the tablespace files of a manifest.
pub(super) fn spaces(manifest: &Manifest) -> impl Iterator<Item = &SpaceFile> {
    manifest.files.iter().filter_map(|file| file.role.space())
}

/// Returns the file of the system tablespace with this name.
pub(super) fn system_node(data_file_path: &str, name: &str) -> Option<u32> {
    let node = data_files(data_file_path).position(|(file, _)| file == name)?;
    u32::try_from(node).ok()
}

fn list(
    root: &Path,
    below: &str,
    depth: usize,
    data_file_path: &str,
    names: &mut Vec<String>,
) -> Result<(), PrepareError> {
    let at = root.join(below);
    for entry in std::fs::read_dir(&at).map_err(io("list", &at))? {
        let entry = entry.map_err(io("list", &at))?;
        let kind = entry.file_type().map_err(io("look at", &entry.path()))?;
        // The names of a server's files are ASCII.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with(['#', '.']) {
            continue;
        }
        let path = format!("{below}{name}");
        let is_space = name.ends_with(".ibd")
            || name.ends_with(".ibu")
            || (below.is_empty()
                && (crate::reader::server_names::is_implicit_undo(&name)
                    || system_node(data_file_path, &name).is_some()));
        if kind.is_dir() {
            if depth < DEEPEST {
                list(root, &format!("{path}/"), depth + 1, data_file_path, names)?;
            }
        } else if kind.is_file() {
            if is_space {
                names.push(path);
            }
        } else if is_space || (kind.is_symlink() && entry.path().is_dir()) {
            return Err(PrepareError::State {
                path: entry.path(),
                why: "it is neither a file nor a directory; replace it by its content".to_owned(),
            });
        }
    }
    Ok(())
}

/// Returns the space id in the first page; `None` if the page is all zeros or cut off.
fn head_of(path: &Path) -> Result<Option<SpaceId>, RestoreError> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEAD).read_to_end(&mut head))
        .map_err(io("read", path))?;
    let is_there = head.len() as u64 == HEAD && !page::is_zero(&head);
    Ok(is_there.then(|| page::space_id(&head)))
}

/// Returns the error for an incremental that contradicts the target.
pub(super) fn damaged(manifest: &Manifest, path: &str, what: String) -> PrepareError {
    ReadError::damaged(&manifest.name, path, what).into()
}
