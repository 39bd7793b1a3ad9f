//! Leases: of processes that change a chain, and of processes that read backups.

pub(super) mod chain_lease;
pub(super) mod holder;
pub(super) mod in_progress;
pub(super) mod ledger;
pub(super) mod readers;
pub(super) mod reading;
pub(super) mod record;
