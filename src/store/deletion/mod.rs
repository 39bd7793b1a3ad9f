//! Deleting backups: by name, and by a policy.

pub(super) mod delete;
pub(super) mod noted;
pub(super) mod options;
pub(super) mod prune;
pub(super) mod remove;
pub(super) mod retention;
pub(super) mod worker;
