//! Detection of backups that can't be restored because a backup in their chain is missing.

use std::collections::BTreeMap;

use crate::manifest::BackupName;
use crate::store::listing::listed::{Listed, ListedState};

/// Marks the backups whose base is missing, and those that depend on these. A damaged base counts
/// as existing, because it has a state of its own.
pub(in crate::store) fn mark(listed: &mut [Listed]) {
    let mut there: BTreeMap<BackupName, Option<String>> = BTreeMap::new();
    for backup in listed.iter() {
        match &backup.state {
            ListedState::Finished(summary) => {
                there.insert(backup.name.clone(), Some(summary.id.clone()));
            }
            ListedState::Damaged { .. } => {
                there.insert(backup.name.clone(), None);
            }
            _ => {}
        }
    }
    // Usually each base comes before the backups that depend on it, and the second pass finds nothing. The members of a
    // chain may have names of several hosts, or of clocks that differ, and be in any order.
    let mut changed = true;
    while changed {
        changed = false;
        for backup in listed.iter_mut() {
            let ListedState::Finished(summary) = &backup.state else {
                continue;
            };
            let stands = summary.base.as_ref().is_none_or(|base| {
                let id = there.get(&base.name);
                id.is_some_and(|id| id.as_ref().is_none_or(|id| *id == base.id))
            });
            if !stands {
                there.remove(&backup.name);
                backup.state = ListedState::BaseMissing(summary.clone());
                changed = true;
            }
        }
    }
}
