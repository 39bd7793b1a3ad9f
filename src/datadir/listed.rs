//! The tablespaces of the server's lists, each with its file.

use super::compare::{self, DiskContent, DiskFile, Taken};
use super::file::{self, Head};
use super::found::{Found, concurrently, kind_of, resolve};
use super::walk::Seen;
use super::{
    DatadirError, DictionarySpace, Difference, DifferenceKind, LeftOut, ServerLists, ServerPaths,
    ServerTablespace, Tablespace, TablespaceKind, place,
};
use crate::innodb::SpaceId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The id of `innodb_temporary`.
const GLOBAL_TEMPORARY: u32 = 0xFFFF_FFFD;

const UNKNOWN: &str = "the server has no tablespace with the id of this file (orphan)";
const COPY: &str = "the server has the tablespace of this id in another file (orphan)";
const NO_TABLESPACE: &str = "no tablespace is in this file (orphan)";
const DISCARDED: &str = "the tablespace of this file is discarded";

/// The tablespaces to back up, and the differences between the lists and the disk.
pub(super) struct ByLists {
    pub spaces: Vec<Tablespace>,
    pub differences: Vec<Difference>,
}

/// Returns every tablespace of the lists that has its file. Files that belong to none are recorded
/// as left out.
pub(super) fn by_lists(
    paths: &ServerPaths,
    lists: &ServerLists,
    seen: &mut Seen,
) -> Result<ByLists, DatadirError> {
    let lists = resolved(paths, lists);
    let (disk, mut heads) = read_files(&lists, seen)?;
    let compare::Comparison { taken, differences } = compare::compare(&lists, &disk);
    let rules = DifferenceRules::of(&lists, &disk);
    for difference in &differences {
        rules.refuse(difference)?;
        let reason = rules.left_out(difference);
        seen.left_out.extend(reason.map(|reason| LeftOut {
            path: place::shown(&paths.datadir, &difference.path),
            reason,
        }));
    }
    let mut spaces = Vec::with_capacity(taken.len());
    for Taken {
        name, path, undo, ..
    } in taken
    {
        if let Some(head) = heads.remove(&path) {
            let kind = kind_of(&head, undo);
            spaces.push(Found::new(path, &head, kind, Some(name)).into_tablespace(paths)?);
        }
    }
    let is_dictionary = |space: &Tablespace| space.kind == TablespaceKind::Dictionary;
    if !spaces.iter().any(is_dictionary) {
        return Err(DatadirError::MissingTablespace {
            name: "mysql".to_owned(),
            space_id: SpaceId::DICTIONARY,
            path: paths.datadir.join("mysql.ibd"),
        });
    }
    Ok(ByLists {
        spaces,
        differences,
    })
}

/// Returns the lists without the system tablespace and the temporary ones, with absolute paths.
fn resolved(paths: &ServerPaths, lists: &ServerLists) -> ServerLists {
    let open = lists.open.iter().filter(|row| {
        let temporary = row.path.extension().is_some_and(|e| e == "ibt");
        is_ordinary(row.space_id) && !temporary
    });
    let dictionary = lists.dictionary.iter();
    ServerLists {
        dictionary: dictionary
            .filter(|row| is_ordinary(row.space_id))
            .map(|row| DictionarySpace {
                path: row.path.as_deref().map(|p| absolute(paths, p, row.undo)),
                ..row.clone()
            })
            .collect(),
        open: open
            .map(|row| ServerTablespace {
                path: absolute(paths, &row.path, row.undo),
                ..row.clone()
            })
            .collect(),
    }
}

fn is_ordinary(id: SpaceId) -> bool {
    id != SpaceId::SYSTEM && id.0 != GLOBAL_TEMPORARY
}

/// Returns the absolute path of a row. An undo tablespace that was created with a bare file name is
/// in the undo directory, but the server lists it relative to the data directory (seen on MySQL
/// 9.7).
fn absolute(paths: &ServerPaths, path: &Path, undo: bool) -> PathBuf {
    let source = resolve(&paths.datadir, path);
    if undo && !source.exists() {
        let in_undo_dir = resolve(&paths.datadir.join(&paths.undo_dir), path);
        if in_undo_dir.exists() {
            return in_undo_dir;
        }
    }
    source
}

/// The sources of a path.
#[derive(Debug, Clone, Copy, Default)]
struct Named {
    listed: bool,
    found: bool,
}

/// Reads every file that is in a list or was found by the scan; returns them, with the header of
/// each tablespace.
fn read_files(
    lists: &ServerLists,
    seen: &Seen,
) -> Result<(Vec<DiskFile>, HashMap<PathBuf, Head>), DatadirError> {
    let mut named: BTreeMap<&Path, Named> = BTreeMap::new();
    for candidate in &seen.candidates {
        named.entry(&candidate.source).or_default().found = true;
    }
    let open = lists.open.iter().map(|row| row.path.as_path());
    let dictionary = lists
        .dictionary
        .iter()
        .filter_map(|row| row.path.as_deref());
    for path in open.chain(dictionary) {
        named.entry(path).or_default().listed = true;
    }
    let named: Vec<(&Path, Named)> = named.into_iter().collect();
    let mut disk = Vec::with_capacity(named.len());
    let mut heads = HashMap::with_capacity(named.len());
    for read in concurrently(&named, |(path, named)| read_file(path, *named)) {
        let (file, head) = read?;
        if let Some(head) = head {
            heads.insert(file.path.clone(), head);
        }
        disk.push(file);
    }
    Ok((disk, heads))
}

fn read_file(path: &Path, named: Named) -> Result<(DiskFile, Option<Head>), DatadirError> {
    let (content, head) = match file::head(path) {
        Ok(head) => (DiskContent::Tablespace(head.header.space_id), Some(head)),
        Err(DatadirError::NotATablespace { source, .. }) => {
            (DiskContent::NoTablespace(source.to_string()), None)
        }
        Err(DatadirError::Io { source, .. }) if is_gone(source.kind()) => {
            (DiskContent::Nothing, None)
        }
        // A file that isn't in a list need not be MySQL's.
        Err(error @ DatadirError::Io { .. }) if !named.listed => {
            (DiskContent::NoTablespace(error.to_string()), None)
        }
        Err(error) => return Err(error),
    };
    let file = DiskFile {
        path: path.to_owned(),
        real: place::real(path),
        content,
        found: named.found,
    };
    Ok((file, head))
}

const fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The facts that determine the consequence of a difference.
struct DifferenceRules<'a> {
    content: HashMap<&'a Path, &'a DiskContent>,
    open: HashSet<SpaceId>,
    undo: HashSet<&'a str>,
}

impl<'a> DifferenceRules<'a> {
    fn of(lists: &'a ServerLists, disk: &'a [DiskFile]) -> Self {
        let undo = lists.dictionary.iter().filter(|row| row.undo);
        let open = lists.open.iter().filter(|row| row.undo);
        let names = open.map(|row| &row.name).chain(undo.map(|row| &row.name));
        Self {
            content: disk
                .iter()
                .map(|f| (f.path.as_path(), &f.content))
                .collect(),
            open: lists.open.iter().map(|row| row.space_id).collect(),
            undo: names.map(String::as_str).collect(),
        }
    }

    /// Refuses differences with which no backup is possible: a server can't start without its
    /// dictionary and its undo tablespaces, and an open file that contains another tablespace was
    /// replaced while the server had it open.
    fn refuse(&self, difference: &Difference) -> Result<(), DatadirError> {
        let (DifferenceKind::Missing(_), Some(id)) = (&difference.kind, difference.space_id) else {
            return Ok(());
        };
        let (path, name) = (&difference.path, &difference.name);
        if let (true, Some(DiskContent::Tablespace(found))) =
            (self.open.contains(&id), self.content.get(path.as_path()))
        {
            return Err(DatadirError::Replaced {
                path: path.clone(),
                name: name.clone(),
                found: *found,
                expected: id,
            });
        }
        if id == SpaceId::DICTIONARY || self.undo.contains(name.as_str()) {
            return Err(DatadirError::MissingTablespace {
                name: name.clone(),
                space_id: id,
                path: path.clone(),
            });
        }
        Ok(())
    }

    /// Returns why the file of a difference is left out; `None` if there is no file, or it isn't
    /// left out.
    fn left_out(&self, difference: &Difference) -> Option<&'static str> {
        match difference.kind {
            DifferenceKind::Unknown => Some(UNKNOWN),
            DifferenceKind::Copy => Some(COPY),
            DifferenceKind::NoTablespace(_) => Some(NO_TABLESPACE),
            DifferenceKind::Discarded => {
                let there = self.content.get(difference.path.as_path());
                there
                    .filter(|h| ***h != DiskContent::Nothing)
                    .map(|_| DISCARDED)
            }
            DifferenceKind::NotOpened | DifferenceKind::Missing(_) | DifferenceKind::Filtered => {
                None
            }
        }
    }
}
