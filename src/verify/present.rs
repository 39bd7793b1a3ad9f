//! One listing of a backup against its manifest: existence, length, and what does not belong there.

use super::report::{MemberReport, Problem, ProblemKind};
use crate::store::{
    FileEntry, Manifest, Repository, StoreError, is_document, object_name, split_object_name,
};
use std::collections::HashMap;

/// Lists the backup; memory: one bit or so for each object of the manifest, which is held anyway.
pub(super) fn check(
    repo: &Repository,
    manifest: &Manifest,
    report: &mut MemberReport,
) -> Result<(), StoreError> {
    let mut expected: HashMap<&str, (&FileEntry, Vec<bool>)> = manifest
        .files
        .iter()
        .map(|f| (f.path.as_str(), (f, vec![false; f.objects.len()])))
        .collect();
    let name = manifest.name.as_str();
    let mut summary = false;
    repo.bucket().each(name, |object, bytes| {
        report.objects += 1;
        report.bytes += bytes;
        let key = || format!("{name}/{object}");
        let foreign = || {
            let found = format!("an object of {bytes} bytes");
            Problem::new(ProblemKind::Foreign, key(), found, "nothing")
        };
        let Some((path, index)) = split_object_name(object) else {
            report.add(foreign());
            return true;
        };
        if is_document(path) && index == 0 {
            summary |= path == "lsnap_summary.json";
            return true;
        }
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let known = expected.get_mut(path).and_then(|(file, seen)| {
            *seen.get_mut(at)? = true;
            file.objects.get(at)
        });
        match known {
            None => report.add(foreign()),
            Some(entry) if entry.bytes != bytes => report.add(Problem::new(
                ProblemKind::Length,
                key(),
                format!("{bytes} bytes"),
                format!("{} bytes", entry.bytes),
            )),
            Some(_) => {}
        }
        true
    })?;
    if !summary {
        report.add(missing(name, "lsnap_summary.json", 0, "the summary"));
    }
    for file in &manifest.files {
        let Some((_, seen)) = expected.get(file.path.as_str()) else {
            continue;
        };
        for (entry, _) in file.objects.iter().zip(seen).filter(|(_, seen)| !**seen) {
            let length = format!("{} bytes", entry.bytes);
            report.add(missing(name, &file.path, entry.index, &length));
        }
    }
    Ok(())
}

fn missing(backup: &str, path: &str, index: u64, expected: &str) -> Problem {
    Problem::new(
        ProblemKind::Missing,
        format!("{backup}/{}", object_name(path, index)),
        "nothing",
        expected,
    )
}
