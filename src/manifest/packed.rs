//! Packs: objects that several small files of a backup share, so that 100,000 tables don't take as
//! many round trips.
//!
//! ```text
//! <name>/db/t1.ibd.delta.00000000000000000000:
//!   chunks of db/t1.ibd.delta, its end chunk | chunks of db/t1.ibd.meta, its end chunk | ...
//! ```
//! A pack contains all chunks of its files, file after file, and has the name of the first object
//! of its first file. `xbcloud get NAME` lists the names and concatenates the objects
//! (`docs/format/manifest.md#keys-and-objects`), and an xbstream may contain its files in any
//! order: the whole backup remains a valid stream for all programs. Only lsnap can find a single
//! file of a pack, by the manifest.

use crate::counted::count;
use crate::manifest::{
    BackupName, FileEntry, Finding, Layout, ObjectEntry, object_name, split_object_name,
};
use std::collections::HashMap;

/// Largest object that goes into a pack, in bytes.
pub(crate) const SMALL: usize = 128 << 10;

/// A pack is written when it has this many bytes; it has at most [`SMALL`] bytes more.
pub(crate) const PACK_BYTES: usize = 4 << 20;

/// The format of a manifest without packs. Fields may be added without a new number; a change with
/// which an older version would restore wrongly needs one.
pub const MANIFEST_FORMAT: u32 = 1;

/// The format of a manifest with packs ([`ObjectEntry::pack`]), and of its summary.
pub const PACKED_FORMAT: u32 = 2;

/// The choice whether small files share objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PackChoice {
    /// When there are more than 1,000 tablespace files.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never: every file can be fetched by its name with other programs.
    Off,
}

impl PackChoice {
    /// Number of tablespace files above which packs reduce the time of a backup.
    const MANY: usize = 1000;

    /// Returns whether a backup with this many tablespace files uses packs.
    pub(crate) const fn packs(self, tablespaces: usize) -> bool {
        match self {
            Self::Auto => tablespaces > Self::MANY,
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// Returns whether a small file of this name may share an object: only the files of tables, because
/// there can be many of them. Files that readers look up by name have an object of that name.
pub(crate) fn may_be(name: &str) -> bool {
    let base = name
        .strip_suffix(".delta")
        .or_else(|| name.strip_suffix(".meta"))
        .unwrap_or(name);
    base.ends_with(".ibd") && base.contains('/')
}

/// Returns the text by which messages name object `index` of a file: an object that exists in the
/// store.
pub(crate) fn named(backup: &BackupName, file: &FileEntry, index: u64) -> String {
    let object = usize::try_from(index)
        .ok()
        .and_then(|at| file.objects.get(at));
    match object.and_then(|object| object.pack.as_ref()) {
        Some(place) => place.named(&format!("{backup}/{}", place.object), file.path.as_stored()),
        None => format!("{backup}/{}", object_name(file.path.as_stored(), index)),
    }
}

/// Returns the objects that count as objects of the file: a pack counts once, for its first file.
pub(crate) fn counted(file: &FileEntry) -> impl Iterator<Item = &ObjectEntry> {
    let first = |object: &&ObjectEntry| object.pack.as_ref().is_none_or(|place| place.from == 0);
    file.objects.iter().filter(first)
}

/// Returns the lengths of the backup's objects in the store, by path and index. A pack counts once,
/// under its first file. The files must have passed [`check`].
pub(crate) fn stored_objects(files: &[FileEntry]) -> HashMap<&str, Vec<u64>> {
    let mut stored: HashMap<&str, Vec<u64>> = HashMap::with_capacity(files.len());
    for file in files {
        for object in &file.objects {
            match &object.pack {
                None => stored
                    .entry(file.path.as_stored())
                    .or_default()
                    .push(object.bytes),
                Some(place) => {
                    let path = split_object_name(&place.object).map_or("", |(path, _)| path);
                    let sizes = stored.entry(path).or_default();
                    match sizes.first_mut() {
                        Some(sum) => *sum = sum.saturating_add(object.bytes),
                        None => sizes.push(object.bytes),
                    }
                }
            }
        }
    }
    stored
}

/// Returns whether any of the files is in a pack.
pub(crate) fn any(files: &[FileEntry]) -> bool {
    let mut objects = files.iter().flat_map(|file| &file.objects);
    objects.any(|object| object.pack.is_some())
}

/// Returns the format of a manifest with these files. With it, a version that doesn't support packs
/// reports the format instead of missing objects.
pub(crate) fn format_of(files: &[FileEntry]) -> u32 {
    if any(files) {
        PACKED_FORMAT
    } else {
        MANIFEST_FORMAT
    }
}

/// Checks that each pack has the name of its first file, and that its files follow each other
/// without gaps and overlaps.
pub(crate) fn check(files: &[FileEntry], layout: Layout) -> Result<(), Finding> {
    let mut packs: HashMap<&str, Vec<(u64, u64, &str)>> = HashMap::new();
    for file in files {
        for object in &file.objects {
            let Some(place) = &object.pack else {
                continue;
            };
            if file.objects.len() != 1 || layout != Layout::Objects {
                return Err(Finding::new(
                    format!(
                        "file {} is in pack {}, but has {} (layout {layout:?})",
                        file.path,
                        place.object,
                        count(file.objects.len(), "object")
                    ),
                    "one object in a repository",
                ));
            }
            let member = (place.from, object.bytes, file.path.as_stored());
            packs.entry(&place.object).or_default().push(member);
        }
    }
    packs
        .into_iter()
        .try_for_each(|(object, members)| check_one(object, members))
}

fn check_one(object: &str, mut members: Vec<(u64, u64, &str)>) -> Result<(), Finding> {
    members.sort_unstable();
    let first = members.first().map_or("", |(_, _, path)| path);
    if object != object_name(first, 0) {
        return Err(Finding::new(
            format!("pack {object} begins with file {first}"),
            "the file that it is named after",
        ));
    }
    let mut end = 0u64;
    for (from, bytes, path) in members {
        if from != end {
            return Err(Finding::new(
                format!("pack {object}: file {path} begins at byte {from}"),
                format!("{end}: packs have no gaps and no overlaps"),
            ));
        }
        end = end.checked_add(bytes).ok_or_else(|| {
            format!(
                "pack {object}: file {path} has {bytes}",
                bytes = count(bytes, "byte")
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::manifest::packed::*;
    use crate::manifest::{FileRole, PackPlace, StoredPath};

    fn file(path: &str, pack: &str, from: u64, bytes: u64) -> FileEntry {
        FileEntry {
            path: StoredPath::new(path),
            role: FileRole::Plain,
            bytes: 1,
            wrapping: None,
            objects: vec![ObjectEntry {
                index: 0,
                offset: 0,
                at: None,
                bytes,
                digest: None,
                pack: Some(PackPlace {
                    object: object_name(pack, 0),
                    from,
                }),
            }],
        }
    }

    #[test]
    fn packs_have_the_name_of_their_first_file_and_no_gaps_or_overlaps() {
        let good = || {
            vec![
                file("b", "a", 10, 5),
                file("a", "a", 0, 10),
                file("c", "a", 15, 1),
            ]
        };
        check(&good(), Layout::Objects).unwrap();
        assert_eq!(stored_objects(&good()), HashMap::from([("a", vec![16])]));
        assert_eq!(format_of(&good()), PACKED_FORMAT);
        type Spoil = fn(&mut Vec<FileEntry>);
        let cases: [(Spoil, &str); 6] = [
            (|f| f[0] = file("b", "a", 11, 5), "begins at byte 11"),
            (|f| f[0] = file("b", "a", 9, 5), "begins at byte 9"),
            (|f| f[0] = file("b", "a", 0, 0), "named after"),
            (|f| drop(f.remove(1)), "named after"),
            (|f| f[2].objects[0].bytes = u64::MAX, "18446744073709551615"),
            (
                |f| {
                    let o = f[2].objects[0].clone();
                    f[2].objects.push(o);
                },
                "has 2 objects",
            ),
        ];
        for (spoil, expected) in cases {
            let mut files = good();
            spoil(&mut files);
            let why = check(&files, Layout::Objects).unwrap_err();
            let why = why.to_string();
            assert!(why.contains(expected), "{why}, expected {expected}");
        }
        check(&good(), Layout::Stream).unwrap_err();
    }
}
