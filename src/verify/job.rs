//! What every member is verified with.

use super::VerifyOptions;
use crate::progress::Progress;
use crate::store::Repository;

/// The repository and the choices of the caller.
pub(super) struct Job<'a> {
    pub(super) repo: &'a Repository,
    pub(super) options: &'a VerifyOptions,
    pub(super) progress: &'a dyn Progress,
    /// Without a key: the repository takes encrypted backups only.
    pub(super) encrypted_only: bool,
}
