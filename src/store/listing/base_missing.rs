//! Detection of backups that can't be restored because a backup in their chain is missing.

use std::collections::BTreeMap;

use crate::manifest::BackupName;
use crate::store::listing::listed::{Listed, ListedState};

/// Marks the backups whose base is missing, and those that depend on these. A damaged base counts
/// as existing, because it has a state of its own.
pub(in crate::store) fn mark(listed: &mut [Listed]) {
    let mut there: BTreeMap<BackupName, Option<String>> = BTreeMap::new();
    // Sorted by name, so each base comes before the backups that depend on it.
    for backup in listed {
        match &backup.state {
            ListedState::Finished(summary) => {
                let stands = summary.base.as_ref().is_none_or(|base| {
                    let id = there.get(&base.name);
                    id.is_some_and(|id| id.as_ref().is_none_or(|id| *id == base.id))
                });
                if stands {
                    there.insert(backup.name.clone(), Some(summary.id.clone()));
                } else {
                    backup.state = ListedState::BaseMissing(summary.clone());
                }
            }
            ListedState::Damaged { .. } => {
                there.insert(backup.name.clone(), None);
            }
            _ => {}
        }
    }
}
