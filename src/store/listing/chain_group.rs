//! Groups of dependent backups: which must stay as long as one of them stays, and the order in
//! which they may be deleted.
//!
//! The incrementals of lsnap and of the operator are in the `.incr/` directory of their full
//! backup: that is their chain. Incrementals that were made manually with xtrabackup and xbcloud
//! may be anywhere at the top level; they depend on a backup that ends where they begin (`to_lsn` =
//! `from_lsn`). If several backups do, the base is unknown (backups made at one checkpoint of the
//! server have the same `to_lsn`): all these chains are then one group, which is kept or deleted as
//! a whole.

use std::collections::{BTreeMap, HashMap};

use crate::innodb::Lsn;
use crate::manifest::{BackupKind, BackupName};
use crate::store::listing::listed::{Listed, ListedState};

/// Full backups and all backups that depend, or may depend, on them.
#[derive(Debug, Clone)]
pub struct ChainGroup<'a> {
    /// The name of the full backup; of several the first; if it is missing, the name that it had.
    pub name: BackupName,
    /// The full backups, by name: usually one.
    pub fulls: Vec<&'a Listed>,
    /// The other backups, in an order in which each can only depend on earlier ones.
    pub others: Vec<&'a Listed>,
}

/// The type of a backup within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Role {
    Full,
    /// A member of the chain in whose directory it is.
    Member,
    /// An incremental of xtrabackup at the top level.
    Loose,
    /// A backup of xtrabackup of unknown type.
    Unknown,
}

impl Listed {
    pub(in crate::store) fn role(&self) -> Role {
        if self.name.is_incremental() {
            return Role::Member;
        }
        match (&self.state, self.foreign.as_ref().and_then(|f| f.kind)) {
            (
                ListedState::Stream { .. } | ListedState::Foreign { .. },
                Some(BackupKind::Incremental),
            ) => Role::Loose,
            (
                ListedState::Stream { finished: true } | ListedState::Foreign { finished: true },
                None,
            ) if !self.name.as_str().ends_with("-full") => Role::Unknown,
            _ => Role::Full,
        }
    }
}

/// Returns the groups of a listing, by name.
#[must_use]
pub fn chain_groups(listed: &[Listed]) -> Vec<ChainGroup<'_>> {
    let mut groups = Groups::of(listed);
    groups.join_loose(listed);
    let mut members: BTreeMap<usize, Vec<&Listed>> = BTreeMap::new();
    for (at, backup) in listed.iter().enumerate() {
        members.entry(groups.find(at)).or_default().push(backup);
    }
    let mut groups: Vec<_> = members.into_values().map(ChainGroup::new).collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    groups
}

impl<'a> ChainGroup<'a> {
    fn new(members: Vec<&'a Listed>) -> Self {
        let (mut fulls, mut others): (Vec<&Listed>, Vec<&Listed>) = members
            .into_iter()
            .partition(|l| matches!(l.role(), Role::Full | Role::Unknown));
        fulls.sort_by(|a, b| a.name.cmp(&b.name));
        others.sort_by_key(|backup| order(backup));
        let name = match (fulls.first(), others.first()) {
            (Some(full), _) => full.name.clone(),
            (None, Some(other)) => other.name.base(),
            // a group is never empty
            (None, None) => BackupName::unnamed(),
        };
        Self {
            name,
            fulls,
            others,
        }
    }

    /// Returns every member, the full backups first.
    pub fn members(&self) -> impl DoubleEndedIterator<Item = &'a Listed> + '_ {
        self.fulls.iter().chain(&self.others).copied()
    }

    /// Returns the backups that must be deleted before `backup`, the newest first: those that
    /// depend on it, or may.
    #[must_use]
    pub fn needing(&self, backup: &Listed) -> Vec<&'a Listed> {
        let later = |other: &&&Listed| {
            let (a, b) = (order(backup), order(other));
            match (backup.role(), other.role()) {
                (Role::Full | Role::Unknown, Role::Member) => other.name.base() == backup.name,
                (Role::Full | Role::Unknown, _) => true,
                (Role::Member, Role::Member) => {
                    other.name.base() == backup.name.base() && other.name > backup.name
                }
                // backups that begin where this one ends, or later
                _ => {
                    b > a && begin(other).is_none_or(|from| end(backup).is_none_or(|to| from >= to))
                }
            }
        };
        self.others.iter().filter(later).rev().copied().collect()
    }
}

/// Returns the sort key of a backup. Members of a directory sort by name, as the operator restores
/// them. Incrementals at the top level come after them, because they may depend on them, in the
/// order of the redo log: those with the same start by their ends.
fn order(backup: &Listed) -> impl Ord + use<> {
    let loose = backup.role() == Role::Loose;
    let at = if loose { backup.lsns() } else { None };
    let last = if loose { backup.last_lsn() } else { None };
    let time = loose.then(|| backup.made_at());
    (loose, at, last, time, backup.name.clone())
}

fn begin(backup: &Listed) -> Option<Lsn> {
    backup.lsns().map(|(from, _)| from)
}

fn end(backup: &Listed) -> Option<Lsn> {
    backup.lsns().map(|(_, to)| to)
}

/// Disjoint sets of backups, by their indices in a listing.
struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    /// Joins the members of each directory.
    fn of(listed: &[Listed]) -> Self {
        let mut groups = Self {
            parent: (0..listed.len()).collect(),
        };
        let mut roots: HashMap<BackupName, usize> = HashMap::new();
        for (at, backup) in listed.iter().enumerate() {
            let first = *roots.entry(backup.name.base()).or_insert(at);
            groups.join(first, at);
        }
        groups
    }

    fn join_loose(&mut self, listed: &[Listed]) {
        let mut ends: HashMap<Lsn, Vec<usize>> = HashMap::new();
        for (at, backup) in listed.iter().enumerate() {
            if let Some(to) = end(backup) {
                ends.entry(to).or_default().push(at);
            }
        }
        for (at, backup) in listed.iter().enumerate() {
            if backup.role() != Role::Loose {
                continue;
            }
            let bases = begin(backup).and_then(|from| ends.get(&from));
            for base in bases.into_iter().flatten() {
                self.join(*base, at);
            }
        }
    }

    fn find(&mut self, mut at: usize) -> usize {
        while let Some(&up) = self.parent.get(at)
            && up != at
        {
            let top = self.parent.get(up).copied().unwrap_or(up);
            if let Some(slot) = self.parent.get_mut(at) {
                *slot = top;
            }
            at = top;
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        if let Some(slot) = self.parent.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }
}
