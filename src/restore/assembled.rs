//! The sums and the warnings of a plan, computed from a checked chain and its layout.

use super::applier::ApplierPlan;
use super::plan::{MemberPlan, MergeMethod, RestorePlan};
use super::settings::Setting;
use super::version::Release;
use super::{RestoreOptions, held, settings};
use crate::counted::count;
use crate::innodb::redo;
use crate::manifest::Manifest;
use crate::reader::layout::Layout;
use crate::reader::{FilePlan, SourcePlan};
use std::sync::Arc;

/// Space for the redo applier in bytes: the new redo files of a server, temporary tables.
const APPLIER_SPACE: u64 = 128 << 20;

/// Creates the plan of a checked chain (newest first) and its layout.
pub(crate) fn assemble(
    manifests: Vec<Manifest>,
    layout: Layout,
    applier: ApplierPlan,
    options: &RestoreOptions,
) -> RestorePlan {
    let redo = manifests
        .first()
        .and_then(|newest| newest.files.get(layout.redo));
    let redo_bytes = redo.map_or(0, |entry| entry.bytes);
    let redo_stored = redo.map_or(0, |entry| sum(entry.objects.iter().map(|o| o.bytes)));
    let plain = sum(layout.plain.iter().map(|file| file.bytes));
    let sources = layout.files.iter().flat_map(|file| &file.sources);
    let stored = sum(sources.map(|source| source.stored_bytes));
    let pages = sum(layout
        .files
        .iter()
        .map(|file| most_written(file, &manifests)));
    RestorePlan {
        target: manifests
            .first()
            .map(|newest| newest.name.to_string())
            .unwrap_or_default(),
        datadir: options.datadir.clone(),
        members: manifests.iter().map(member).collect(),
        way: MergeMethod::Merge,
        settings: newest_settings(&manifests, &layout),
        warnings: warnings(&manifests, &layout, &applier, options),
        applier,
        redo_bytes,
        fetch_bytes: sum([stored, redo_stored, plain]),
        write_bytes: sum([
            pages,
            plain,
            redo::recovery_file_len(redo_bytes),
            APPLIER_SPACE,
        ]),
        files: layout.files,
        plain: layout.plain,
        directories: Vec::new(),
        not_placed: Vec::new(),
        streams: Arc::default(),
        chain: Arc::new(manifests),
        redo: layout.redo,
    }
}

/// Returns how many bytes of a file are written at most: its length, or the length of its sources
/// if nothing is compressed, or the allocated length if the source's file had holes.
fn most_written(file: &FilePlan, manifests: &[Manifest]) -> u64 {
    let entry = |source: &SourcePlan| manifests.get(source.member)?.files.get(source.entry);
    let sources = file.sources.iter().map(|source| {
        let compressed = entry(source)
            .and_then(|entry| entry.wrapping.as_ref())
            .is_some_and(|wrapping| wrapping.compression.is_some());
        if compressed {
            source.bytes
        } else {
            source.stored_bytes
        }
    });
    let newest = file.sources.first().and_then(entry);
    let allocated = newest.and_then(|entry| entry.role.space()?.allocated);
    let held = file.bytes.min(sources.fold(0, u64::saturating_add));
    allocated.map_or(held, |allocated| held.min(allocated))
}

/// Adds lengths; saturates, because a manifest can contain any number.
fn sum(lengths: impl IntoIterator<Item = u64>) -> u64 {
    lengths.into_iter().fold(0, u64::saturating_add)
}

fn member(manifest: &Manifest) -> MemberPlan {
    MemberPlan {
        name: manifest.name.to_string(),
        from_lsn: manifest.lsn.from_lsn,
        scan_floor: manifest.lsn.scan_floor,
        start_checkpoint: manifest.lsn.start_checkpoint,
        to_lsn: manifest.lsn.to_lsn,
        last_lsn: manifest.lsn.last_lsn,
    }
}

fn newest_settings(manifests: &[Manifest], layout: &Layout) -> Vec<Setting> {
    manifests
        .first()
        .map(|newest| settings::needed(newest, layout))
        .unwrap_or_default()
}

fn warnings(
    manifests: &[Manifest],
    layout: &Layout,
    applier: &ApplierPlan,
    options: &RestoreOptions,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let encrypted = layout.files.iter().filter(|file| file.encrypted).count();
    if encrypted > 0 {
        warnings.push(format!(
            "{encrypted} tablespace {} encrypted: the redo applier needs a keyring with the source server's keys",
            if encrypted == 1 { "file is" } else { "files are" }
        ));
    }
    if let (Some(newest), None) = (manifests.first(), &options.keyring_config) {
        warnings.extend(of_keyring(newest));
    }
    for file in &layout.files {
        if let Some(directory) = &file.external {
            warnings.push(format!(
                "{} lay outside of the source's data directory, in {directory}; it is restored into the target",
                file.path
            ));
        }
    }
    for space in manifests.first().iter().flat_map(|m| m.missing_tables()) {
        warnings.push(format!(
            "the backup lacks {} (space {}): its file {} was missing when the backup was made",
            space.name, space.space_id, space.path
        ));
    }
    let newest = manifests.first().and_then(|m| m.dictionary.as_ref());
    if let Some(filter) = newest.and_then(|d| d.filter.as_ref().filter(|_| d.is_partial())) {
        let left_out = newest.iter().flat_map(|d| d.filtered()).count();
        warnings.push(format!(
            "the backup is partial: it lacks {} of the source ({filter}). The restored server has the definitions of these \
             tables without their rows: drop them, or use the server only to copy the other tables",
            count(left_out, "tablespace")
        ));
    }
    for table in newest.iter().flat_map(|d| &d.other_engines) {
        warnings.push(format!("the backup lacks the rows of {table}"));
    }
    if let Some(newest) = manifests.first() {
        let source = Release::parse(&newest.server.version);
        if source.map(|release| release.to_string()) != Some(applier.version.clone()) {
            warnings.push(format!(
                "the source server is {}, the redo applier {}: start the restored directory with {} or newer",
                newest.server.version, applier.version, applier.version
            ));
        }
    }
    warnings
}

/// Returns warnings about a keyring whose configuration the caller doesn't provide.
fn of_keyring(newest: &Manifest) -> Vec<String> {
    let mut warnings = Vec::new();
    let config = held::keyring_config(newest);
    if !config.is_empty() {
        warnings.push(format!(
            "the redo applier doesn't get the {} of the backup, because they name programs and files; if it needs a \
             keyring, set RestoreOptions::keyring_config to a directory with its configuration",
            config.join(", ")
        ));
    }
    let left_out = held::keyring_config_left_out(newest);
    if !left_out.is_empty() {
        warnings.push(format!(
            "the backup does not contain {}, with which the keys of the source server are found: set \
             RestoreOptions::keyring_config to a directory with it, or neither the redo applier nor the restored \
             server can open encrypted tablespaces",
            left_out.join(", ")
        ));
    }
    warnings
}
