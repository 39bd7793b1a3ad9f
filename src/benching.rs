//! Entry points of the benchmarks (`benches/`) to loops that public functions reach only with a
//! server or a redo applier. Not part of the stable API.

use crate::innodb::{Lsn, ScanFloor};
use crate::manifest::{BackupName, Manifest};
use crate::progress::{Phase, Silent};
use crate::reader::counters::Counters;
use crate::reader::fetch::Fetcher;
use crate::reader::source::Source;
use crate::reader::{ReadError, chain, layout};
use crate::restore::{
    ApplierKind, ApplierPlan, RestoreError, RestoreOptions, assembled, merge, plain, syncing,
};
use crate::store::Repository;
use std::path::Path;

/// Returns how many pages of `page_bytes` in `run` an incremental from `floor` on would include.
#[must_use]
pub fn changed_pages(run: &[u8], page_bytes: usize, floor: Lsn) -> usize {
    crate::backup::changed_pages(run, page_bytes, ScanFloor::at(floor)).len()
}

/// Plans the pages of a restore of a chain, base first, as far as possible without a target and a
/// redo applier; returns the number of files that it would write. The order of `chain` is unchanged
/// afterwards.
///
/// # Errors
/// The reason why the chain can't be restored.
pub fn plan_chain(chain: &mut [Manifest]) -> Result<usize, RestoreError> {
    chain::check(chain)?;
    chain.reverse();
    let layout = layout::lay_out(chain);
    chain.reverse();
    Ok(layout?.files.len())
}

/// Writes the tablespaces of a member of a chain into the empty directory `out`, as a restore does
/// before it applies redo; returns the number of bytes.
///
/// # Errors
/// The errors of a restore.
pub fn merge_chain(
    repo: &Repository,
    name: &BackupName,
    out: &Path,
    workers: usize,
) -> Result<u64, RestoreError> {
    let mut manifests = repo.chain_of(name)?;
    chain::check(&manifests)?;
    manifests.reverse();
    let layout = layout::lay_out(&manifests)?;
    let applier = ApplierPlan {
        kind: ApplierKind::Mysqld,
        program: "/nonexistent".into(),
        version: String::new(),
        reason: "no redo is applied".into(),
    };
    let options = RestoreOptions::new(out);
    let plan = assembled::assemble(manifests, layout, applier, &options);
    let counters = Counters::new(plan.members.len());
    let fetcher = Fetcher {
        source: Source::Repository(repo),
        progress: &Silent,
        phase: Phase::Merge,
        counters: &counters,
        key: None,
        limit: options.memory as u64,
        cancel: &options.cancel,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build();
    let pool = pool.map_err(|error| {
        RestoreError::Read(ReadError::damaged(
            name,
            String::new(),
            format!("no threads: {error}"),
        ))
    })?;
    plain::make_directories(&plan, out)?;
    syncing::with_syncing(|syncing| {
        pool.install(|| merge::merge(&fetcher, &plan, out, workers, syncing, merge::Output::New))
    })?;
    Ok(counters.written())
}
