//! The backups in a repository: their listing, their order, their chains.

pub(super) mod base_missing;
pub(super) mod chain;
pub(super) mod chain_group;
pub(super) mod describe;
pub(super) mod foreign;
pub(super) mod health;
pub(super) mod latest;
pub(super) mod list;
pub(super) mod listed;
mod lost;
pub(super) mod object_counts;
pub(super) mod order;
pub(super) mod passed_over;
pub(super) mod scope;
pub(super) mod streamed;
pub(super) mod unnameable;
