//! Names of the objects that a damaged backup lacks.

use crate::counted::count;
use crate::manifest::{BackupName, object_name};
use crate::store::objects::repository::Repository;
use std::collections::BTreeMap;

/// Number of objects that a message names.
const NAMED: usize = 3;

impl Repository {
    /// Names the objects in the manifest that don't exist or have another length; `None` if there are none, or if that
    /// can't be found out. It fetches the manifest and lists the backup's objects, so it is only for a backup whose
    /// counts are wrong.
    pub(super) fn lost(&self, name: &BackupName) -> Option<String> {
        let manifest = self.manifest(name).ok()?;
        // the length is unknown for an object that files share
        let mut expected: BTreeMap<String, Option<u64>> = BTreeMap::new();
        for file in &manifest.files {
            for object in &file.objects {
                match &object.pack {
                    Some(pack) => expected.insert(pack.object.clone(), None),
                    None => expected.insert(
                        object_name(file.path.as_stored(), object.index),
                        Some(object.bytes),
                    ),
                };
            }
        }
        let mut wrong = Vec::new();
        let listed = self.each_object(name.as_str(), |key, bytes| {
            if let Some(Some(length)) = expected.remove(key)
                && length != bytes
            {
                wrong.push(format!(
                    "{key} has {}, expected {length}",
                    count(bytes, "byte")
                ));
            }
            true
        });
        listed.ok()?;
        let missing = expected.into_keys().map(|key| format!("{key} is missing"));
        let all: Vec<String> = missing.chain(wrong).collect();
        let (first, rest) = all.split_at(all.len().min(NAMED));
        match (first, rest.len()) {
            ([], _) => None,
            (first, 0) => Some(first.join(", ")),
            (first, others) => Some(format!("{} and {others} more", first.join(", "))),
        }
    }
}
