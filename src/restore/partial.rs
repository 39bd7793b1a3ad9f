//! Partial backups: a restored directory lacks tables of its dictionary.

use super::applier::{ApplierKind, ApplierPlan};
use super::error::{RestoreError, refuse};
use crate::manifest::{Dictionary, Manifest};
use std::path::Path;

/// Refuses to leave the redo log of a partial backup for the first start of a server, which would refuse the redo of the
/// tables that are not there. (With `innodb_force_recovery` it would lose transactions and GTIDs: see `mysqld/missing.rs`.)
///
/// # Errors
/// [`RestoreError::Target`].
pub(super) fn check_applier(
    newest: &Manifest,
    applier: &ApplierPlan,
    target: &Path,
) -> Result<(), RestoreError> {
    let is_partial = newest
        .dictionary
        .as_ref()
        .is_some_and(Dictionary::is_partial);
    if !is_partial || applier.kind != ApplierKind::Server {
        return Ok(());
    }
    Err(refuse(
        target,
        format!(
            "the backup is partial, and its redo log can't be left for the first start of a server: it would refuse the \
             changes of tables that are not there. Install a mysqld of the release of the backup ({}), or name it with \
             RestoreOptions::mysqld",
            newest.server.version
        ),
    ))
}
