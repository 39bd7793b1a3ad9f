//! Merges an incremental into the target's files.

use super::PrepareOptions;
use super::error::PrepareError;
use super::files::{Files, io};
use super::journal::{Journal, Move, Phase, aside};
use super::member::Member;
use super::scan::{self, Found, Key, damaged};
use crate::counted::count;
use crate::innodb::{Lsn, SpaceId};
use crate::manifest::{FileRole, LinkField, Manifest, SpaceFile, link_faults};
use crate::progress::{Phase as Shown, Progress};
use crate::reader::counters::Counters;
use crate::reader::fetch::Fetcher;
use crate::reader::paths::PathSet;
use crate::reader::source::Source;
use crate::reader::{FilePlan, SourceKind, SourcePlan};
use crate::restore::applier::{ApplierKind, ApplierPlan};
use crate::restore::error::listed;
use crate::restore::merge::{self, Output};
use crate::restore::plan::{MergeMethod, RestorePlan};
use crate::restore::syncing;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pages of a new tablespace file (`FIL_IBD_FILE_INITIAL_SIZE` of InnoDB).
const INITIAL_PAGES: u64 = 7;

/// Longest run of pages that is checked at once, in bytes.
const WORK_MEMORY: u64 = 256 << 20;

/// Checks that an incremental continues the target, beyond the LSNs in `xtrabackup_checkpoints`.
///
/// # Errors
/// [`PrepareError::Foreign`], [`PrepareError::Older`], [`PrepareError::NoOverlap`].
pub(super) fn check_link(
    target: &Member,
    next: &Member,
    log_start: Lsn,
) -> Result<(), PrepareError> {
    let (old, new) = (&target.manifest, &next.manifest);
    let known = |fault: &crate::manifest::LinkFault| {
        let is_known = !fault.member.is_empty() && !fault.base.is_empty();
        is_known
            && match fault.field {
                LinkField::ServerUuid
                | LinkField::RedoLogUuid
                | LinkField::RedoFormat
                | LinkField::PageSize => true,
                // The target of a foreign backup has no id that lsnap recorded.
                LinkField::BaseId => !target.foreign,
                LinkField::Filter => new.dictionary.is_some() && old.dictionary.is_some(),
                _ => false,
            }
    };
    if let Some(fault) = link_faults(old, new).into_iter().find(known) {
        return Err(PrepareError::Foreign {
            incremental: next.directory.clone(),
            what: match fault.field {
                LinkField::BaseId => "base",
                field => field.name(),
            },
            found: fault.member,
            target: target.directory.clone(),
            expected: fault.base,
        });
    }
    if new.lsn.scan_floor > log_start {
        return Err(PrepareError::NoOverlap {
            incremental: next.directory.clone(),
            from: new.lsn.scan_floor,
            target: target.directory.clone(),
            start: log_start,
        });
    }
    Ok(())
}

/// The changes that an incremental requires.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The changes of names.
    pub(super) moves: Vec<Move>,
    /// The tablespaces of which nothing in the target is used.
    pub(super) fresh: BTreeSet<Key>,
    /// Files that are left as they are.
    pub(super) warnings: Vec<String>,
}

/// The files of the target's backup.
pub(super) struct Described<'a> {
    keys: BTreeSet<Key>,
    pub(super) names: BTreeSet<&'a str>,
}

impl<'a> Described<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let keys = scan::spaces(manifest).map(|space| (space.space_id, space.node));
        let names = manifest.files.iter().map(|file| match file.role.space() {
            Some(space) => space.name.as_str(),
            None => file.plain_path(),
        });
        Self {
            keys: keys.collect(),
            names: names.collect(),
        }
    }

    fn has(&self, key: &Key, name: &str) -> bool {
        self.keys.contains(key) || self.names.contains(name)
    }
}

/// The work of merging one incremental.
pub(super) struct Merging<'a> {
    pub(super) options: &'a PrepareOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) files: &'a Files<'a>,
    /// The incremental.
    pub(super) next: &'a Member,
}

impl Merging<'_> {
    /// Returns the changes of names that the incremental requires. Only files of the target's backup
    /// are renamed or dropped.
    ///
    /// # Errors
    /// The target lacks a tablespace that its backup had, the incremental only has a part of one
    /// that the target doesn't have, or another file is in the place of one.
    pub(super) fn changes(&self, target: &Member) -> Result<Changes, PrepareError> {
        let found = scan::scan(self.files.root, &target.manifest)?;
        let new = &self.next.manifest;
        let mut paths = PathSet::default();
        let mut kept = BTreeMap::<Key, &SpaceFile>::new();
        let whole = whole(new);
        for space in scan::spaces(new) {
            paths.add(new.name.as_str(), &space.name)?;
            let key = (space.space_id, space.node);
            if kept.insert(key, space).is_some() {
                return Err(damaged(
                    new,
                    &space.name,
                    format!("tablespace {} has two files in it", space.space_id),
                ));
            }
            if !whole.contains(&key) {
                self.check_base(target, &found, space)?;
            }
        }
        for (key, what) in [
            ((SpaceId::SYSTEM, 0), "the system tablespace (ibdata1)"),
            ((SpaceId::DICTIONARY, 0), "the data dictionary (mysql.ibd)"),
        ] {
            if !kept.contains_key(&key) {
                return Err(damaged(new, what, "it is missing".to_owned()));
            }
        }
        let described = Described::of(&target.manifest);
        let mut changes = Changes {
            fresh: kept
                .keys()
                .filter(|key| whole.contains(key) || !found.files.contains_key(key))
                .copied()
                .collect(),
            ..Changes::default()
        };
        self.check_places(&described)?;
        let mut strangers = self.strangers(&described)?;
        let wanted: BTreeSet<&str> = kept.values().map(|space| space.name.as_str()).collect();
        for (key, from) in &found.files {
            if key.0 != SpaceId::SYSTEM && !described.has(key, from) {
                self.check_stranger(from, kept.get(key).copied(), &wanted)?;
                strangers.push(from.clone());
                continue;
            }
            let to = match kept.get(key) {
                // Another tablespace had this id before.
                Some(space) if !whole.contains(key) => Some(space.name.clone()),
                Some(_) => None,
                None if key.0 == SpaceId::SYSTEM => {
                    return Err(damaged(
                        new,
                        from,
                        "the target has this file of the system tablespace, the incremental doesn't"
                            .to_owned(),
                    ));
                }
                None => None,
            };
            if to.as_deref() != Some(from) {
                changes.moves.push(Move {
                    from: from.clone(),
                    to,
                });
            }
        }
        // Files without a first page are known by their name only.
        let adopted = kept
            .iter()
            .filter(|(key, _)| !whole.contains(key) && !found.files.contains_key(key));
        let names: BTreeSet<&str> = adopted.map(|(_, space)| space.name.as_str()).collect();
        for name in &found.blank {
            if names.contains(name.as_str()) {
                continue;
            }
            if described.names.contains(name.as_str()) {
                changes.moves.push(Move {
                    from: name.clone(),
                    to: None,
                });
            } else {
                self.check_stranger(name, None, &wanted)?;
                strangers.push(name.clone());
            }
        }
        if !strangers.is_empty() {
            changes.warnings.push(format!(
                "files that the backup doesn't have were left as they are: {}",
                listed(&strangers)
            ));
        }
        Ok(changes)
    }

    /// Refuses a file that is not of the target's backup, but in the way of one of the incremental.
    fn check_stranger(
        &self,
        name: &str,
        same: Option<&SpaceFile>,
        wanted: &BTreeSet<&str>,
    ) -> Result<(), PrepareError> {
        let of = match same {
            Some(space) => format!(
                "it is of tablespace {}, which the incremental has as {}",
                space.space_id, space.name
            ),
            None if wanted.contains(name) => "the incremental has a file of this name".to_owned(),
            None => return Ok(()),
        };
        Err(self.in_the_way(name, &of))
    }

    /// Returns the error for a file that is not of the target's backup.
    pub(super) fn in_the_way(&self, name: &str, but: &str) -> PrepareError {
        PrepareError::State {
            path: self.files.path(name),
            why: format!(
                "the backup in the target doesn't have this file, but {but}; move it away"
            ),
        }
    }

    /// Checks that the pages which a delta doesn't have are in the target.
    fn check_base(
        &self,
        target: &Member,
        found: &Found,
        space: &SpaceFile,
    ) -> Result<(), PrepareError> {
        let new = &self.next.manifest;
        let key = (space.space_id, space.node);
        let Some(path) = found.files.get(&key) else {
            // An incremental on a base whose manifest was there has the floor 0 for new ones.
            let is_part = new.base.is_some() && space.floor.is_some_and(|floor| floor.0 > 0);
            if is_part && !found.blank.contains(&space.name) {
                return Err(PrepareError::State {
                    path: self.files.path(&space.name),
                    why: format!(
                        "the target has no file of tablespace {}, and {} only has its pages from LSN {} on",
                        space.space_id,
                        self.next.directory.display(),
                        space.floor.unwrap_or(Lsn(0))
                    ),
                });
            }
            return Ok(());
        };
        let old = scan::spaces(&target.manifest).find(|old| (old.space_id, old.node) == key);
        match old {
            Some(old) if old.page_size != space.page_size => Err(damaged(
                new,
                &space.name,
                format!(
                    "its page size is {}, that of {path} in the target {}",
                    space.page_size, old.page_size
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Does the phases up to [`Phase::Merged`]; the state is not written yet.
    pub(super) fn run(&self, journal: &mut Journal) -> Result<(), PrepareError> {
        if journal.phase < Phase::Aside {
            for (number, change) in journal.moves.iter().enumerate() {
                let aside = aside(number);
                if !self.files.has(&aside) {
                    self.files.rename(&change.from, &aside)?;
                }
            }
            self.files.sync_directories()?;
            journal.advance(Phase::Aside, self.files)?;
        }
        if journal.phase < Phase::Named {
            for (number, change) in journal.moves.iter().enumerate() {
                let aside = aside(number);
                if !self.files.has(&aside) {
                    continue;
                }
                match &change.to {
                    Some(to) => {
                        self.files.make_parents(to)?;
                        self.files.rename(&aside, to)?;
                    }
                    None => self.files.remove(&aside)?,
                }
            }
            self.files.sync_directories()?;
            journal.advance(Phase::Named, self.files)?;
        }
        self.pages()?;
        self.other_files()?;
        self.empty_directories(journal)?;
        Ok(self.files.sync_directories()?)
    }

    /// Writes the pages.
    fn pages(&self) -> Result<(), PrepareError> {
        let mut plans = Vec::new();
        for (index, entry) in self.next.manifest.files.iter().enumerate() {
            if let Some(space) = entry.role.space() {
                self.files.make_parents(&space.name)?;
                plans.push(self.file_plan(index, &entry.role, space)?);
            }
        }
        let plan = self.plan(plans);
        let counters = Counters::new(1);
        let fetcher = self.fetcher(&plan, &counters, Shown::Merge);
        let before = || self.files.budget.spend();
        let created = |path: &Path| self.files.give(path);
        let output = Output::InPlace {
            before: &before,
            created: &created,
        };
        self.pool()?.install(|| {
            syncing::with_syncing(|syncing| {
                let workers = self.options.threads.max(1);
                merge::merge(&fetcher, &plan, self.files.root, workers, syncing, output)
            })
        })?;
        Ok(())
    }

    fn file_plan(
        &self,
        entry: usize,
        role: &FileRole,
        space: &SpaceFile,
    ) -> Result<FilePlan, PrepareError> {
        let stored = self.next.manifest.files.get(entry);
        let stored_bytes = stored.map_or(0, |stored| stored.bytes);
        let path = self.files.path(&space.name);
        let mut bytes = space.bytes;
        if self.next.foreign {
            // The length was not recorded: the file is not cut.
            let page = space.page_size.bytes() as u64;
            let now = match std::fs::metadata(&path) {
                Ok(found) => found.len() / page * page,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
                Err(error) => return Err(io("look at", &path)(error).into()),
            };
            bytes = bytes.max(now);
            if space.undo {
                // The server opens them before it reads the redo log, and refuses a shorter one.
                bytes = bytes.max(INITIAL_PAGES * page);
            }
        }
        Ok(FilePlan {
            path: space.name.clone(),
            space_id: space.space_id,
            node: space.node,
            page_size: space.page_size,
            bytes,
            undo: space.undo,
            encrypted: space.encrypted,
            external: space.external.clone(),
            sources: vec![SourcePlan {
                member: 0,
                backup: self.next.manifest.name.to_string(),
                path: stored.map_or_else(String::new, |stored| stored.path.to_string()),
                kind: match role {
                    FileRole::Tablespace(_) => SourceKind::Image,
                    _ => SourceKind::Delta,
                },
                bytes,
                stored_bytes,
                entry,
            }],
        })
    }

    pub(super) fn pool(&self) -> Result<rayon::ThreadPool, PrepareError> {
        let threads = self.options.threads.max(1);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("prepare-{number}"))
            .build()
            .map_err(|error| PrepareError::State {
                path: self.files.root.to_path_buf(),
                why: format!("cannot start {}: {error}", count(threads, "thread")),
            })
    }

    pub(super) fn plan(&self, files: Vec<FilePlan>) -> RestorePlan {
        bare_plan(
            self.next.manifest.clone(),
            vec![self.next.directory.clone()],
            files,
            self.files.root,
        )
    }

    pub(super) fn fetcher<'f>(
        &'f self,
        plan: &'f RestorePlan,
        counters: &'f Counters,
        phase: Shown,
    ) -> Fetcher<'f> {
        fetcher(plan, counters, phase, self.progress, self.options)
    }
}

/// Returns the files of which an incremental has all pages: nothing of the target's file with the
/// same id is needed.
fn whole(manifest: &Manifest) -> BTreeSet<Key> {
    let files = manifest.files.iter().filter_map(|entry| {
        let space = entry.role.space()?;
        let is_image = matches!(entry.role, FileRole::Tablespace(_));
        (is_image || space.floor == Some(Lsn(0))).then_some((space.space_id, space.node))
    });
    files.collect()
}

pub(super) fn fetcher<'f>(
    plan: &'f RestorePlan,
    counters: &'f Counters,
    phase: Shown,
    progress: &'f dyn Progress,
    options: &'f PrepareOptions,
) -> Fetcher<'f> {
    Fetcher {
        source: Source::Directories(&plan.directories),
        progress,
        phase,
        counters,
        key: None,
        limit: WORK_MEMORY,
        cancel: &options.cancel,
    }
}

/// Creates a plan for parts of a restore, of one member.
pub(super) fn bare_plan(
    member: Manifest,
    directories: Vec<PathBuf>,
    files: Vec<FilePlan>,
    target: &Path,
) -> RestorePlan {
    let redo = member
        .files
        .iter()
        .position(|file| file.role == FileRole::Redo);
    let redo_bytes = redo
        .and_then(|redo| member.files.get(redo))
        .map_or(0, |f| f.bytes);
    RestorePlan {
        target: member.name.to_string(),
        datadir: target.to_path_buf(),
        members: Vec::new(),
        way: MergeMethod::Merge,
        applier: ApplierPlan {
            kind: ApplierKind::Server,
            program: PathBuf::new(),
            version: String::new(),
            reason: String::new(),
        },
        files,
        plain: Vec::new(),
        settings: Vec::new(),
        redo_bytes,
        fetch_bytes: 0,
        write_bytes: 0,
        warnings: Vec::new(),
        not_placed: Vec::new(),
        directories,
        streams: Arc::default(),
        chain: Arc::new(vec![member]),
        redo: redo.unwrap_or(usize::MAX),
    }
}
