//! Who changes a chain, and who reads it: leases.

pub(super) mod chain_lease;
pub(super) mod holder;
pub(super) mod in_progress;
pub(super) mod ledger;
pub(super) mod readers;
pub(super) mod reading;
pub(super) mod record;
