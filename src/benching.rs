//! Doors for the benchmarks (`benches/`) to loops that no public function reaches without a server or a
//! program that applies redo. Not for anybody else: nothing here is kept stable.

use crate::innodb::Lsn;
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

/// How many pages of `page_bytes` an incremental from `floor` on would take of a run of pages.
#[must_use]
pub fn changed_pages(run: &[u8], page_bytes: usize, floor: Lsn) -> usize {
    crate::backup::changed_pages(run, page_bytes, floor).len()
}

/// Plans the pages of a restore of a chain, base first, as far as that takes neither a target nor a program
/// that applies redo: how many files it writes. The order is the same again afterwards.
///
/// # Errors
/// Why the chain can't be restored.
pub fn plan_chain(chain: &mut [Manifest]) -> Result<usize, RestoreError> {
    chain::check(chain)?;
    chain.reverse();
    let layout = layout::lay_out(chain);
    chain.reverse();
    Ok(layout?.files.len())
}

/// Writes the tablespaces of a member of a chain into the empty directory `out`, as a restore does before redo
/// is applied: how many bytes that were.
///
/// # Errors
/// As those of a restore.
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
    let nobody = ApplierPlan {
        kind: ApplierKind::Mysqld,
        program: "/nonexistent".into(),
        version: String::new(),
        reason: "no redo is applied".into(),
    };
    let options = RestoreOptions::new(out);
    let plan = assembled::assemble(manifests, layout, nobody, &options);
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
        pool.install(|| merge::merge(&fetcher, &plan, out, workers, syncing))
    })?;
    Ok(counters.written())
}
