//! Compares three lists of tablespaces: the dictionary, the files that the server has open, and the
//! files on disk with their own page 0. This module reads no files: it classifies every difference.
//!
//! | dictionary | open | on disk at its path | result |
//! |---|---|---|---|
//! | yes | yes | its id | taken |
//! | yes | no | its id | taken, [`DifferenceKind::NotOpened`] |
//! | no | yes | its id | taken (it was created between two queries) |
//! | discarded | no | anything | [`DifferenceKind::Discarded`] |
//! | yes | yes or no | nothing, another id, no tablespace | [`DifferenceKind::Missing`] |
//! | no | no | an id | [`DifferenceKind::Unknown`] |
//! | elsewhere | elsewhere | an id | [`DifferenceKind::Copy`] |
//! | no | no | no tablespace | [`DifferenceKind::NoTablespace`] |

use super::{Difference, DifferenceKind, ServerLists};
use crate::innodb::SpaceId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// A file at a path of one of the lists, or found in the data directory.
#[derive(Debug, Clone)]
pub(super) struct DiskFile {
    /// The path in the list.
    pub path: PathBuf,
    /// The path without symbolic links.
    pub real: PathBuf,
    pub content: DiskContent,
    /// Whether it was found in the data directory.
    pub found: bool,
}

/// The contents of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DiskContent {
    Nothing,
    /// A page 0 with this id.
    Tablespace(SpaceId),
    /// A file that isn't a tablespace, with the reason.
    NoTablespace(String),
}

/// A tablespace to back up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    /// The id in its page 0.
    pub space_id: SpaceId,
    pub name: String,
    pub path: PathBuf,
    pub undo: bool,
}

/// The result of the comparison.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub taken: Vec<Taken>,
    pub differences: Vec<Difference>,
}

/// The server's information about one tablespace.
#[derive(Debug, Default)]
struct ServerEntry<'a> {
    name: &'a str,
    undo: bool,
    discarded: bool,
    open: Option<&'a Path>,
    path: Option<&'a Path>,
    /// A second id, if an undo tablespace was truncated between the two queries.
    also: Option<SpaceId>,
}

/// Compares the lists. Every path in `lists` must be in `disk`.
pub(super) fn compare(lists: &ServerLists, disk: &[DiskFile]) -> Comparison {
    let entries = server_entries(lists);
    let by_path: HashMap<&Path, &DiskFile> = disk.iter().map(|f| (f.path.as_path(), f)).collect();
    let mut out = Comparison::default();
    // The real paths of files that belong to an entry of the lists.
    let mut explained: HashSet<&Path> = HashSet::new();
    let by_id: HashMap<SpaceId, &DiskFile> = disk
        .iter()
        .filter(|file| file.found)
        .filter_map(|file| Some((file.id()?, file)))
        .collect();
    for (&id, entry) in &entries {
        let named = || entry.paths().filter_map(|path| by_path.get(path).copied());
        if entry.discarded && entry.open.is_none() {
            explained.extend(named().filter(|f| f.found).map(|f| f.real.as_path()));
            out.note(id, entry, None, DifferenceKind::Discarded);
            continue;
        }
        let ids = [Some(id), entry.also];
        let anywhere = ids.iter().flatten().find_map(|id| by_id.get(id).copied());
        let at_its_path = named().find(|file| file.id().is_some() && ids.contains(&file.id()));
        let file = at_its_path.or_else(|| anywhere.filter(|file| entry.may_be_at(&file.path)));
        let Some(file) = file else {
            let why = missing(named().next(), anywhere);
            out.note(id, entry, None, DifferenceKind::Missing(why));
            continue;
        };
        explained.insert(&file.real);
        if entry.open.is_none() {
            out.note(id, entry, Some(file), DifferenceKind::NotOpened);
        }
        out.taken.push(Taken {
            space_id: file.id().unwrap_or(id),
            name: entry.name.to_owned(),
            path: file.path.clone(),
            undo: entry.undo,
        });
    }
    for file in disk.iter().filter(|f| f.found) {
        if explained.insert(&file.real) {
            out.differences.extend(unexplained(file, &entries));
        }
    }
    out
}

/// Merges the dictionary and the open files by id.
fn server_entries(lists: &ServerLists) -> BTreeMap<SpaceId, ServerEntry<'_>> {
    let mut all: BTreeMap<SpaceId, ServerEntry<'_>> = BTreeMap::new();
    let mut undo: HashMap<&str, SpaceId> = HashMap::new();
    for row in &lists.dictionary {
        if row.undo {
            undo.insert(&row.name, row.space_id);
        }
        all.insert(
            row.space_id,
            ServerEntry {
                name: &row.name,
                undo: row.undo,
                discarded: row.discarded,
                path: row.path.as_deref(),
                ..ServerEntry::default()
            },
        );
    }
    for row in &lists.open {
        let id = match undo.get(row.name.as_str()) {
            Some(listed) if row.undo && !all.contains_key(&row.space_id) => *listed,
            _ => row.space_id,
        };
        let entry = all.entry(id).or_default();
        entry.name = &row.name;
        entry.undo |= row.undo;
        entry.open = Some(&row.path);
        entry.also = (id != row.space_id).then_some(row.space_id);
    }
    all
}

impl<'a> ServerEntry<'a> {
    /// Returns the possible paths of the file: that of an open file is certain, that of the
    /// dictionary may be outdated.
    fn paths(&self) -> impl Iterator<Item = &'a Path> + use<'a> {
        self.open.into_iter().chain(self.path)
    }

    /// Returns whether the file with its id at `path` is its file: the server has no path for it,
    /// or one that differs only in case (`#P#` of partitions from an older server).
    fn may_be_at(&self, path: &Path) -> bool {
        let mut paths = self.paths().peekable();
        let path = path.as_os_str();
        paths.peek().is_none() || paths.any(|named| named.as_os_str().eq_ignore_ascii_case(path))
    }
}

impl DiskFile {
    fn id(&self) -> Option<SpaceId> {
        match self.content {
            DiskContent::Tablespace(id) => Some(id),
            _ => None,
        }
    }
}

impl Comparison {
    fn note(
        &mut self,
        id: SpaceId,
        entry: &ServerEntry<'_>,
        file: Option<&DiskFile>,
        kind: DifferenceKind,
    ) {
        let path = file.map(|f| f.path.as_path());
        let path = path.or_else(|| entry.paths().next());
        self.differences.push(Difference {
            space_id: Some(id),
            name: entry.name.to_owned(),
            path: path.map(Path::to_owned).unwrap_or_default(),
            kind,
        });
    }
}

/// Explains why a file is missing, by the contents of its path and by the path with its id.
fn missing(there: Option<&DiskFile>, elsewhere: Option<&DiskFile>) -> String {
    let mut why = match there.map(|file| &file.content) {
        None | Some(DiskContent::Nothing) => "the file doesn't exist".to_owned(),
        Some(DiskContent::Tablespace(id)) => format!("the file at this path is space {id}"),
        Some(DiskContent::NoTablespace(why)) => {
            format!("the file at this path is not a tablespace: {why}")
        }
    };
    if let Some(file) = elsewhere {
        why += &format!("; a file with its id is {}", file.path.display());
    }
    why
}

/// Returns the difference for a file that belongs to no entry of the lists.
fn unexplained(
    file: &DiskFile,
    entries: &BTreeMap<SpaceId, ServerEntry<'_>>,
) -> Option<Difference> {
    let (space_id, kind) = match &file.content {
        DiskContent::Nothing => return None,
        DiskContent::NoTablespace(why) => (None, DifferenceKind::NoTablespace(why.clone())),
        DiskContent::Tablespace(id) if entries.contains_key(id) => {
            (Some(*id), DifferenceKind::Copy)
        }
        DiskContent::Tablespace(id) => (Some(*id), DifferenceKind::Unknown),
    };
    let known = space_id.and_then(|id| entries.get(&id));
    Some(Difference {
        space_id,
        name: known.map_or_else(String::new, |entry| entry.name.to_owned()),
        path: file.path.clone(),
        kind,
    })
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
