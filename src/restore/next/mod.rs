//! The steps after a restore: commands and statements that were made for this directory.
//!
//! A restored directory has no `auto.cnf`, so the server creates a new `server_uuid`. It has the
//! transactions of the backup and the GTIDs of exactly these transactions, except if an xtrabackup
//! applied the redo log: that doesn't write the GTIDs of the end of the log to the tables.

mod join;
mod start;

use super::RestoreOptions;
use super::plan::RestorePlan;
use crate::manifest::{Binlog, Manifest};
use serde::Serialize;

pub use join::{Join, JoinMethod, JoinSource};

/// The steps after a restore.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct NextSteps {
    /// The command that gives the files to the account of the server; `None` if they belong to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chown: Option<String>,
    /// The command that starts a server on the directory.
    pub start: String,
    /// The position of the data in the binary log of the server that was backed up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Binlog>,
    /// The ways to make the restored server a replica.
    pub join: Vec<Join>,
    /// Anything else that the restored server needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl NextSteps {
    /// Returns the steps after a restore by this plan.
    pub(super) fn of(plan: &RestorePlan, newest: &Manifest, options: &RestoreOptions) -> Self {
        let mut notes = Vec::new();
        if plan.files.iter().any(|file| file.encrypted) {
            notes.push(
                "some tablespaces are encrypted: the server needs the keyring of the source (mysqld.my, \
                 component_keyring_*.cnf and the keys), which is never in a backup"
                    .to_owned(),
            );
        }
        Self {
            chown: start::chown(&plan.datadir, options.user.as_deref()),
            start: start::command(plan, options.user.as_deref()),
            position: newest.binlog.clone(),
            join: join::ways(newest, plan.applier.kind),
            notes,
        }
    }
}
