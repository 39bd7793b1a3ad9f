//! Compares one listing of a backup with its manifest: existence, length, and foreign objects.

use super::report::{MemberReport, Problem, ProblemKind};
use crate::counted::count;
use crate::manifest::{Manifest, is_document, object_name, packed, split_object_name};
use crate::store::{Repository, ShortNames, StoreError};
use std::collections::HashMap;

/// Lists the backup. Memory: some bytes for each object of the manifest, which is in memory anyway.
pub(super) fn check(
    repo: &Repository,
    manifest: &Manifest,
    report: &mut MemberReport,
) -> Result<(), StoreError> {
    let mut expected: Expected<'_> = packed::stored_objects(&manifest.files)
        .into_iter()
        .map(|(path, lengths)| {
            let seen = vec![false; lengths.len()];
            (path, (lengths, seen))
        })
        .collect();
    let name = manifest.name.as_str();
    let mut summary = false;
    let short = ShortNames::of(manifest.files.iter().map(|f| f.path.as_stored()));
    repo.bucket().each(name, |object, bytes| {
        report.objects += 1;
        report.bytes += bytes;
        let key = || format!("{name}/{object}");
        let foreign = || {
            let found = format!("an object of {bytes}", bytes = count(bytes, "byte"));
            Problem::new(ProblemKind::Foreign, key(), found, "nothing")
        };
        let Some((path, index)) = split_object_name(object) else {
            report.add(foreign());
            return true;
        };
        let path = short.path(path);
        if is_document(path) && index == 0 {
            summary |= path == "lsnap_summary.json";
            return true;
        }
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let known = expected.get_mut(path).and_then(|(lengths, seen)| {
            *seen.get_mut(at)? = true;
            lengths.get(at).copied()
        });
        match known {
            None => report.add(foreign()),
            Some(length) if length != bytes => report.add(Problem::new(
                ProblemKind::Length,
                key(),
                format!("{bytes}", bytes = count(bytes, "byte")),
                format!("{length}", length = count(length, "byte")),
            )),
            Some(_) => {}
        }
        true
    })?;
    if !summary {
        report.add(missing(name, "lsnap_summary.json", 0, "the summary"));
    }
    not_seen(manifest, &expected, report);
    Ok(())
}

/// For each file and index: the length of the object, and whether it was in the listing.
type Expected<'m> = HashMap<&'m str, (Vec<u64>, Vec<bool>)>;

/// Reports the objects of the manifest that were not in the listing.
fn not_seen(manifest: &Manifest, expected: &Expected<'_>, report: &mut MemberReport) {
    for file in &manifest.files {
        let Some((lengths, seen)) = expected.get(file.path.as_stored()) else {
            continue;
        };
        for ((index, length), _) in (0..).zip(lengths).zip(seen).filter(|(_, seen)| !**seen) {
            let length = format!("{length}", length = count(length, "byte"));
            report.add(missing(
                manifest.name.as_str(),
                file.path.as_stored(),
                index,
                &length,
            ));
        }
    }
}

fn missing(backup: &str, path: &str, index: u64, expected: &str) -> Problem {
    Problem::new(
        ProblemKind::Missing,
        format!("{backup}/{}", object_name(path, index)),
        "nothing",
        expected,
    )
}
