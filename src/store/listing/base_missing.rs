//! Which backups of a listing can't be restored because a backup that they stand on is gone.

use std::collections::BTreeMap;

use crate::manifest::BackupName;
use crate::store::listing::listed::{Listed, ListedState};

/// Marks those that stand on a backup that is gone, and those that stand on these. One that is damaged is
/// there, and says so itself.
pub(in crate::store) fn mark(listed: &mut [Listed]) {
    let mut there: BTreeMap<BackupName, Option<String>> = BTreeMap::new();
    // By name, so each base comes before what stands on it.
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
