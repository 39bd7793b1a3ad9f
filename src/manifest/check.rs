//! The rules that a manifest must satisfy.

use super::{
    BackupKind, BackupName, BaseRef, FileEntry, FileRole, Finding, Layout, LsnRange, Manifest,
    ObjectEntry, PACKED_FORMAT, check_path, packed,
};
use crate::counted::count;
use crate::innodb::Lsn;
use std::collections::HashSet;

/// The longest file that a manifest may contain, in bytes: 2^32 pages of 64 KiB.
const LONGEST_FILE: u64 = 1 << 48;

impl Manifest {
    /// Checks that the manifest doesn't contradict itself.
    ///
    /// # Errors
    /// The contradiction: what was found and what was expected.
    pub fn check(&self) -> Result<(), Finding> {
        check_kind(self.kind, self.base.as_ref(), &self.name, &self.lsn)?;
        if self.id.is_empty() || self.server.uuid.is_empty() {
            return Err("id and server uuid must not be empty".into());
        }
        let mut paths = HashSet::with_capacity(self.files.len());
        for file in &self.files {
            if !paths.insert(file.path.as_stored()) {
                return Err(format!("file {} is listed twice", file.path).into());
            }
            file.check(self.layout)?;
            file.check_floor(self.lsn.scan_floor)?;
        }
        if packed::any(&self.files) && self.format < PACKED_FORMAT {
            return Err(Finding::new(
                format!("it has format {} and files that share objects", self.format),
                format!("format {PACKED_FORMAT}"),
            ));
        }
        if let Some(dictionary) = &self.dictionary {
            dictionary.check(&self.files)?;
        }
        packed::check(&self.files, self.layout)
    }
}

impl FileEntry {
    fn check(&self, layout: Layout) -> Result<(), Finding> {
        check_path(self.path.as_stored()).map_err(|e| e.to_string())?;
        if let Some(space) = self.role.space() {
            check_path(&space.name).map_err(|e| format!("restored path of {}: {e}", self.path))?;
        }
        check_objects_of(self.path.as_stored(), &self.objects, layout)?;
        self.check_lengths()?;
        self.check_last()
    }

    fn check_last(&self) -> Result<(), Finding> {
        match self.objects.last() {
            Some(last) if last.offset > self.bytes => Err(format!(
                "file {} has {}, but object {} begins at {}",
                self.path,
                count(self.bytes, "byte"),
                last.index,
                last.offset
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// Checks that a delta's floor is not above the scan floor of the backup: such a delta would
    /// omit pages.
    pub(crate) fn check_floor(&self, scan_floor: Lsn) -> Result<(), Finding> {
        let Some(floor) = self.role.space().and_then(|space| space.floor) else {
            return Ok(());
        };
        if !matches!(self.role, FileRole::Delta(_)) {
            return Err(Finding::new(
                format!("file {} is a whole file with the floor {floor}", self.path),
                "none",
            ));
        }
        if floor > scan_floor {
            return Err(Finding::new(
                format!("file {} is a delta with the floor {floor}", self.path),
                format!("at most {scan_floor}, that of the backup"),
            ));
        }
        Ok(())
    }

    /// Checks the lengths: no file is longer than a file can be, or longer than its objects can
    /// hold.
    pub(crate) fn check_lengths(&self) -> Result<(), Finding> {
        let restored = self.role.space().map_or(0, |space| space.bytes);
        let claimed = self.bytes.max(restored);
        if claimed > LONGEST_FILE {
            return Err(Finding::new(
                format!(
                    "file {} has {claimed}",
                    self.path,
                    claimed = count(claimed, "byte")
                ),
                format!("at most {LONGEST_FILE}"),
            ));
        }
        // Files of these roles have no holes: if they are not wrapped, their objects hold every
        // byte.
        let solid = matches!(
            self.role,
            FileRole::Delta(_) | FileRole::DeltaMeta | FileRole::Redo
        );
        let stored = self
            .objects
            .iter()
            .fold(0, |sum: u64, o| sum.saturating_add(o.bytes));
        if solid && self.wrapping.is_none() && stored < self.bytes {
            return Err(format!(
                "file {} has {}, but its objects only {stored}",
                self.path,
                count(self.bytes, "byte")
            )
            .into());
        }
        Ok(())
    }
}

/// Checks that indices are dense from 0, offsets start at 0 and don't fall, no object is empty, and
/// every object has a digest.
pub(crate) fn check_objects(path: &str, objects: &[ObjectEntry]) -> Result<(), Finding> {
    check_objects_of(path, objects, Layout::Objects)
}

/// Like [`check_objects`]; in [`Layout::Stream`], a range may be empty (the end of a file).
fn check_objects_of(path: &str, objects: &[ObjectEntry], layout: Layout) -> Result<(), Finding> {
    let within = |finding: Finding| finding.within(format_args!("file {path}"));
    check_order(objects, None).map_err(within)?;
    for object in objects {
        if (object.bytes == 0 && layout == Layout::Objects) || object.digest.is_none() {
            let found = format!(
                "object {} has {} and digest `{}`",
                object.index,
                count(object.bytes, "byte"),
                object.digest_text()
            );
            return Err(within(Finding::new(
                found,
                "some bytes and blake3:<64 hex digits>",
            )));
        }
    }
    Ok(())
}

/// Checks that a file has at least one object, that indices are dense from 0, and that offsets
/// start at 0 and don't fall. In a file of `length` bytes, the offsets must rise until the end of
/// the file, and none may be beyond the end.
///
/// # Errors
/// The found and the expected value.
pub(crate) fn check_order(objects: &[ObjectEntry], length: Option<u64>) -> Result<(), Finding> {
    let mut previous: Option<u64> = None;
    for (expected, object) in (0u64..).zip(objects) {
        if object.index != expected {
            let found = format!(
                "object {expected} is missing: the manifest goes on with index {}",
                object.index
            );
            return Err(Finding::new(found, expected));
        }
        let offset = object.offset;
        let fits = match (previous, length) {
            (None, _) => offset == 0,
            (Some(before), None) => offset >= before,
            (Some(before), Some(length)) => offset > before || offset == length,
        };
        let within = length.is_none_or(|length| offset <= length);
        if !fits || !within {
            let found = format!("object {expected} begins at {offset}");
            let expected = match (previous, length) {
                (None, _) => "exactly 0".to_owned(),
                (Some(before), None) => format!("at least {before}"),
                (Some(before), Some(length)) => {
                    format!("more than {before}, in a file of {}", count(length, "byte"))
                }
            };
            return Err(Finding::new(found, expected));
        }
        previous = Some(offset);
    }
    match previous {
        Some(_) => Ok(()),
        None => Err(Finding::new(
            "it has no objects",
            "at least the one that ends it",
        )),
    }
}

pub(crate) fn check_kind(
    kind: BackupKind,
    base: Option<&BaseRef>,
    name: &BackupName,
    lsn: &LsnRange,
) -> Result<(), Finding> {
    match (kind, base) {
        (BackupKind::Full, None) => {
            if name.is_incremental() || lsn.from_lsn != Lsn(0) || lsn.scan_floor != Lsn(0) {
                return Err(format!(
                    "a full backup is outside of .incr directories and starts at LSN 0; found {name}, \
                     from_lsn {}, scan_floor {}",
                    lsn.from_lsn, lsn.scan_floor
                ).into());
            }
        }
        (BackupKind::Incremental, Some(base)) => {
            if !name.is_incremental()
                || lsn.from_lsn != base.to_lsn
                || lsn.scan_floor > lsn.from_lsn
            {
                return Err(format!(
                    "an incremental is in a .incr directory, starts at its base's to_lsn {} and scans \
                     from there or below; found {name}, from_lsn {}, scan_floor {}",
                    base.to_lsn, lsn.from_lsn, lsn.scan_floor
                ).into());
            }
        }
        (kind, base) => {
            return Err(format!(
                "kind {kind:?} with {} base",
                if base.is_some() { "a" } else { "no" }
            )
            .into());
        }
    }
    if lsn.from_lsn > lsn.to_lsn || lsn.start_checkpoint > lsn.to_lsn || lsn.to_lsn > lsn.last_lsn {
        return Err(format!(
            "expected from_lsn <= to_lsn <= last_lsn and start_checkpoint <= to_lsn; found from_lsn {}, \
             start_checkpoint {}, to_lsn {}, last_lsn {}",
            lsn.from_lsn, lsn.start_checkpoint, lsn.to_lsn, lsn.last_lsn
        ).into());
    }
    Ok(())
}
