//! Merges backups of the fixture's repository, and compares the results.

use super::super::{
    ApplierKind, ApplierPlan, RestoreError, RestoreOptions, RestorePlan, assembled, merge, plain,
};
use crate::manifest::Manifest;
use crate::progress::{Phase, Silent};
use crate::reader::counters::{Counters, MemberReport};
use crate::reader::fetch::Fetcher;
use crate::reader::fixture::{Space, World, files_below};
use crate::reader::source::Source;
use crate::reader::{chain, layout};
use std::collections::BTreeMap;

impl World {
    /// Plans and merges the backup of this number (without redo), and returns the directory.
    pub(crate) fn merge(&self, number: usize) -> Result<Merged, RestoreError> {
        self.merge_by(number, 2, 64 << 20)
    }

    /// The same with so many workers and so many bytes of memory.
    pub(crate) fn merge_by(
        &self,
        number: usize,
        workers: usize,
        memory: u64,
    ) -> Result<Merged, RestoreError> {
        self.merge_plan(self.plan(number)?, workers, memory)
    }

    /// Merges a chain that was read from the repository, the full backup first.
    pub(crate) fn merge_chain(&self, chain: Vec<Manifest>) -> Result<Merged, RestoreError> {
        self.merge_plan(plan_of(chain)?, 1, 64 << 20)
    }

    fn merge_plan(
        &self,
        plan: RestorePlan,
        workers: usize,
        memory: u64,
    ) -> Result<Merged, RestoreError> {
        let out = tempfile::tempdir().unwrap();
        let counters = Counters::new(plan.members.len());
        let fetcher = Fetcher {
            key: None,
            source: Source::Repository(&self.repo),
            progress: &Silent,
            phase: Phase::Merge,
            counters: &counters,
            limit: memory,
            cancel: &crate::cancel::Cancel::new(),
        };
        plain::make_directories(&plan, out.path())?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .build()
            .unwrap();
        pool.install(|| {
            let work = tempfile::tempdir().unwrap();
            let directories =
                crate::restore::held::WorkDirectories::of(work.path(), out.path().to_path_buf());
            plain::copy(
                &fetcher,
                &plan,
                &directories,
                None,
                &super::super::RestoreOptions::new("/nonexistent"),
            )?;
            crate::restore::syncing::with_syncing(|syncing| {
                merge::merge(
                    &fetcher,
                    &plan,
                    out.path(),
                    workers,
                    syncing,
                    merge::Output::New,
                )
            })
        })?;
        let names = plan
            .chain
            .iter()
            .map(|m| (m.name.to_string(), m.stored_bytes()));
        Ok(Merged {
            members: counters.members(names),
            dir: out,
        })
    }

    /// Returns the plan for the backup of this number, without a redo applier.
    pub(crate) fn plan(&self, number: usize) -> Result<RestorePlan, RestoreError> {
        plan_of(self.chain[..=number].to_vec())
    }
}

fn plan_of(mut manifests: Vec<Manifest>) -> Result<RestorePlan, RestoreError> {
    chain::check(&manifests)?;
    manifests.reverse();
    let layout = layout::lay_out(&manifests)?;
    let applier = ApplierPlan {
        kind: ApplierKind::Mysqld,
        program: "/bin/false".into(),
        version: "8.4.5".into(),
        reason: "a test".into(),
    };
    let options = RestoreOptions::new("/nonexistent");
    Ok(assembled::assemble(manifests, layout, applier, &options))
}

/// A merged directory.
pub(crate) struct Merged {
    pub(crate) dir: tempfile::TempDir,
    /// Newest first.
    pub(crate) members: Vec<MemberReport>,
}

impl Merged {
    /// Compares the tablespace files with the expected ones; there must be no others.
    pub(crate) fn expect(&self, spaces: &[Space]) {
        let mut found: BTreeMap<_, _> = files_below(self.dir.path());
        found.retain(|path, _| !path.starts_with("xtrabackup_") && path != "db/t.sdi");
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            spaces
                .iter()
                .map(|space| (&space.name, ()))
                .collect::<BTreeMap<_, ()>>()
                .keys()
                .copied()
                .collect::<Vec<_>>()
        );
        for space in spaces {
            assert!(
                found[&space.name] == space.bytes(),
                "{} differs",
                space.name
            );
        }
    }
}
