//! Doors for the benchmarks (`benches/`) to loops that no public function reaches without a server or a
//! repository. Not for anybody else: nothing here is kept stable.

use crate::innodb::Lsn;
use crate::restore::RestoreError;
use crate::store::Manifest;

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
    crate::restore::chain::check(chain)?;
    chain.reverse();
    let layout = crate::restore::layout::lay_out(chain);
    chain.reverse();
    Ok(layout?.files.len())
}
