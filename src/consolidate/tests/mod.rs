//! Compares the new full backup with its source member: random chains, wrapped members, failures.

mod chains;
mod failures;
mod wrapped;

use super::{ConsolidateOptions, ConsolidateReport, consolidate};
use crate::manifest::{BackupName, Manifest};
use crate::progress::Silent;
use crate::reader::fixture::{Space, World, files_below};
use crate::store::Repository;
use crate::verify::{Level, VerifyOptions, Which, verify};

fn options(second: usize) -> ConsolidateOptions {
    let name = format!("c-2026-02-01-00:00:{second:02}-full");
    ConsolidateOptions {
        name: Some(BackupName::parse(&name).unwrap()),
        threads: 2,
        range_bytes: 4096,
        window_pages: 50,
        ..ConsolidateOptions::default()
    }
}

fn made(repo: &Repository, of: &Manifest, options: &ConsolidateOptions) -> ConsolidateReport {
    consolidate(repo, of.name.as_str(), options, &Silent).unwrap()
}

/// Restores both and compares every file except for those with the identity of the backup.
fn equal(world: &mut World, number: usize, report: &ConsolidateReport, spaces: &[Space]) {
    let member = world.merge(number).unwrap();
    member.expect(spaces);
    let manifest = world.repo.manifest(&report.name).unwrap();
    let chain = std::mem::replace(&mut world.chain, vec![manifest]);
    let full = world.merge(0);
    world.chain = chain;
    let full = full.unwrap();
    full.expect(spaces);
    let mut both = [member, full].map(|merged| files_below(merged.dir.path()));
    for files in &mut both {
        files.remove("xtrabackup_info");
    }
    assert!(both[0] == both[1], "the restored directories differ");
}

/// Checks that `verify` with `Level::Data` finds no problem.
fn sound(repo: &Repository, name: &BackupName) {
    let options = VerifyOptions {
        level: Level::Data,
        threads: 2,
        ..VerifyOptions::default()
    };
    let report = verify(repo, Which::Named(name.as_str()), &options, &Silent).unwrap();
    assert_eq!(report.problems().collect::<Vec<_>>(), [] as [&_; 0]);
    assert_eq!(report.members.len(), 1);
}
