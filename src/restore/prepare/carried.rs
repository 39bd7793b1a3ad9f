//! What only the target knows of the server, if an incremental has no manifest.

use super::member::Member;
use crate::innodb::SpaceId;
use crate::manifest::{Dictionary, Manifest, ReplicaPosition};
use std::collections::BTreeSet;

/// Gives an incremental without a manifest the facts of the target's manifest that its own files
/// don't have: settings of the server, and the tablespaces of which there are no data.
pub(super) fn carry_server(target: &Manifest, next: &mut Member) {
    if !next.foreign {
        return;
    }
    let new = &mut next.manifest;
    new.server.lower_case_table_names = target.server.lower_case_table_names;
    if new.server.settings.is_none() {
        new.server.settings.clone_from(&target.server.settings);
    }
    if new.replica.is_none() {
        // The positions in it are those of the older backup.
        new.replica = target.replica.as_ref().map(|replica| ReplicaPosition {
            gtid_executed: String::new(),
            gtid_executed_is_exact: replica.gtid_executed_is_exact,
            channels: Vec::new(),
        });
    }
    carry_absent(target, new);
}

/// Adds the tablespaces that the target's backup lacks, except for those that the incremental has.
fn carry_absent(target: &Manifest, new: &mut Manifest) {
    let spaces = new.files.iter().filter_map(|file| file.role.space());
    let there: BTreeSet<SpaceId> = spaces.map(|space| space.space_id).collect();
    let listed = new.dictionary.iter().flat_map(|d| &d.absent);
    let known: BTreeSet<SpaceId> = listed.map(|space| space.space_id).collect();
    let absent = target.dictionary.iter().flat_map(|d| &d.absent);
    let absent: Vec<_> = absent
        .filter(|space| !there.contains(&space.space_id) && !known.contains(&space.space_id))
        .cloned()
        .collect();
    if absent.is_empty() {
        return;
    }
    let dictionary = new.dictionary.get_or_insert_with(|| Dictionary {
        tablespaces: there.iter().filter(|id| **id != SpaceId::SYSTEM).count() as u64,
        ..Dictionary::default()
    });
    dictionary.tablespaces += absent.len() as u64;
    dictionary.absent.extend(absent);
}
