//! The survey of a data directory: combines the files on disk with the server's lists.

use super::classify::Level;
use super::file;
use super::found::{Found, concurrently, kind_of, resolve};
use super::walk::{self, Candidate, Seen};
use super::{
    DatadirError, ServerPaths, ServerTablespace, Spaces, Survey, Tablespace, TablespaceKind,
    listed, place, system,
};
use crate::innodb::{PageSize, SpaceFlags, SpaceId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Surveys a data directory and classifies all of its files.
///
/// `known` is the source of the list of tablespaces. If the server's lists and the disk differ,
/// [`Survey::differences`] has the differences.
///
/// # Errors
/// All variants of [`DatadirError`] except the errors of page reads.
pub fn survey(paths: &ServerPaths, known: Spaces<'_>) -> Result<Survey, DatadirError> {
    let mut seen = walk::scan(paths)?;
    let open = match known {
        Spaces::OfServer(lists) => &lists.open[..],
        Spaces::OnDisk => &[],
    };
    let mut spaces = system_tablespace(paths, open)?;
    let system: HashSet<PathBuf> = spaces.iter().map(|s| place::real(&s.source)).collect();
    let is_system = |path: &str| system.contains(&place::real(&paths.datadir.join(path)));
    seen.left_out.retain(|l| !is_system(&l.path));
    seen.candidates
        .retain(|c| !system.contains(&place::real(&c.source)));
    let mut differences = Vec::new();
    match known {
        Spaces::OnDisk => spaces.extend(by_place(paths, &seen)?),
        Spaces::OfServer(lists) => {
            let found = listed::by_lists(paths, lists, &mut seen)?;
            spaces.extend(found.spaces);
            differences = found.differences;
        }
    }
    assign_unique_names(&mut spaces);
    refuse_duplicates(&spaces, &seen)?;
    spaces.sort_by(|a, b| {
        let key = |t: &Tablespace| (t.kind != TablespaceKind::System, t.node, t.name.clone());
        key(a).cmp(&key(b))
    });
    seen.plain.sort_by(|a, b| a.name.cmp(&b.name));
    seen.left_out.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Survey {
        tablespaces: spaces,
        plain: seen.plain,
        schemas: seen.schemas,
        left_out: seen.left_out,
        differences,
    })
}

/// Returns the files of the system tablespace, from the setting. Only the first one has a
/// tablespace header.
fn system_tablespace(
    paths: &ServerPaths,
    known: &[ServerTablespace],
) -> Result<Vec<Tablespace>, DatadirError> {
    let configured = system::parse_data_file_path(&paths.data_file_path)?;
    let mut files: Vec<Tablespace> = Vec::with_capacity(configured.len());
    let mut first_page = 0u64;
    for (node, entry) in configured.iter().enumerate() {
        let source = system_source(entry, paths, known);
        let length = match std::fs::metadata(&source) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(DatadirError::MissingTablespace {
                    name: "innodb_system".to_owned(),
                    space_id: SpaceId::SYSTEM,
                    path: source,
                });
            }
            Err(e) => return Err(DatadirError::io("look at", source)(e)),
        };
        let whole = system::whole_mib(length);
        let grows = node + 1 == configured.len();
        if whole < entry.bytes || (whole > entry.bytes && !grows) {
            return Err(DatadirError::SystemFileSize {
                path: source,
                found: whole,
                expected: entry.bytes,
            });
        }
        let flags = match files.first() {
            Some(first) => first.flags,
            None => system_flags(&source, paths.page_size)?,
        };
        let found = Found {
            source,
            space_id: SpaceId::SYSTEM,
            flags,
            length,
            kind: TablespaceKind::System,
            name: Some("innodb_system".to_owned()),
        };
        let mut file = found.into_tablespace(paths)?;
        file.node = u32::try_from(node).unwrap_or(u32::MAX);
        file.first_page = u32::try_from(first_page).unwrap_or(u32::MAX);
        first_page += whole / paths.page_size.bytes() as u64;
        files.push(file);
    }
    Ok(files)
}

/// Returns the path by the setting; if that doesn't exist, the path with the same file name in the
/// server's list.
fn system_source(
    entry: &system::SystemFile,
    paths: &ServerPaths,
    known: &[ServerTablespace],
) -> PathBuf {
    let source = entry.path(paths);
    if source.exists() {
        return source;
    }
    known
        .iter()
        .filter(|row| row.space_id == SpaceId::SYSTEM)
        .map(|row| resolve(&paths.datadir, &row.path))
        .find(|path| path.file_name() == source.file_name() && path.exists())
        .unwrap_or(source)
}

fn system_flags(source: &Path, page_size: PageSize) -> Result<SpaceFlags, DatadirError> {
    let head = file::head(source)?;
    let found = head.page_size(source)?;
    if head.header.space_id != SpaceId::SYSTEM {
        return Err(DatadirError::Replaced {
            path: source.to_owned(),
            name: "innodb_system".to_owned(),
            found: head.header.space_id,
            expected: SpaceId::SYSTEM,
        });
    }
    if found != page_size {
        return Err(DatadirError::PageSize {
            path: source.to_owned(),
            found,
            expected: page_size,
            hint: "innodb_page_size differs: is this the data directory of that server?",
        });
    }
    Ok(head.header.flags)
}

/// Returns every tablespace file at its usual path, for a survey without lists.
fn by_place(paths: &ServerPaths, seen: &Seen) -> Result<Vec<Tablespace>, DatadirError> {
    let taken = concurrently(&seen.candidates, |candidate| take(paths, candidate));
    let spaces = taken.into_iter().filter_map(Result::transpose);
    spaces.collect()
}

/// Returns the tablespace by its path and its header; `None` if the file was removed in the
/// meantime.
fn take(paths: &ServerPaths, candidate: &Candidate) -> Result<Option<Tablespace>, DatadirError> {
    let source = candidate.source.clone();
    let head = match file::head(&source) {
        Err(DatadirError::Io { source: e, .. }) if e.kind() == ErrorKind::NotFound => {
            return Ok(None);
        }
        other => other?,
    };
    let mut kind = kind_of(&head, candidate.undo);
    if candidate.level == Level::Root && kind == TablespaceKind::FilePerTable {
        kind = TablespaceKind::General;
    }
    Found::new(source, &head, kind, None)
        .into_tablespace(paths)
        .map(Some)
}

/// Gives some external tablespaces a name that contains their id, which is unique and constant over
/// backups: those whose base name occurs more than once, and those that begin with a dot
/// ([`is_hidden`]). Recovery writes the path at which it finds them into the dictionary.
fn assign_unique_names(spaces: &mut [Tablespace]) {
    let mut users: HashMap<String, u32> = HashMap::new();
    for space in spaces.iter() {
        *users.entry(space.name.clone()).or_default() += 1;
    }
    for space in spaces.iter_mut() {
        let movable = matches!(space.kind, TablespaceKind::General | TablespaceKind::Undo);
        if !movable || space.external.is_none() {
            continue;
        }
        if is_hidden(space) {
            space.name = format!("{}{}", space.space_id, space.name);
        } else if users.get(&space.name) > Some(&1) {
            space.name = match space.name.rsplit_once('.') {
                Some((stem, extension)) => format!("{stem}.{}.{extension}", space.space_id),
                None => format!("{}.{}", space.name, space.space_id),
            };
        }
    }
}

/// Returns whether the file's name in the backup begins with a dot. Crash recovery scans
/// directories for tablespaces and ignores such files, so it fails if the redo log changes one
/// (seen on MySQL 9.7.4). A file in the data directory must keep its name: recovery doesn't change
/// it in the dictionary.
pub(crate) fn is_hidden(space: &Tablespace) -> bool {
    let undo_or_general = matches!(space.kind, TablespaceKind::General | TablespaceKind::Undo);
    undo_or_general && space.name.starts_with('.')
}

fn refuse_duplicates(spaces: &[Tablespace], seen: &Seen) -> Result<(), DatadirError> {
    let mut names: BTreeMap<&str, &Path> = BTreeMap::new();
    let plain = seen
        .plain
        .iter()
        .map(|p| (p.name.as_str(), p.source.as_path()));
    let tablespaces = spaces.iter().map(|t| (t.name.as_str(), t.source.as_path()));
    for (name, source) in tablespaces.chain(plain) {
        if let Some(first) = names.insert(name, source) {
            return Err(DatadirError::SameName {
                name: name.to_owned(),
                first: first.to_owned(),
                second: source.to_owned(),
            });
        }
    }
    let mut ids: HashMap<(SpaceId, u32), &Path> = HashMap::new();
    for space in spaces {
        if let Some(first) = ids.insert((space.space_id, space.node), &space.source) {
            return Err(DatadirError::SameSpace {
                space_id: space.space_id,
                first: first.to_owned(),
                second: space.source.clone(),
            });
        }
    }
    Ok(())
}
