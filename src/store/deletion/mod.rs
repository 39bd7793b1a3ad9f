//! Deletion of backups: by name, and by a retention policy.

pub(super) mod delete;
pub(super) mod noted;
pub(super) mod options;
pub(super) mod periods;
pub(super) mod prune;
pub(super) mod remove;
pub(super) mod retention;
pub(super) mod worker;
