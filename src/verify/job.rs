//! The values that the verifications of all members share.

use super::VerifyOptions;
use crate::progress::Progress;
use crate::store::Repository;

/// The repository and the options of the caller.
pub(super) struct Job<'a> {
    pub(super) repo: &'a Repository,
    pub(super) options: &'a VerifyOptions,
    pub(super) progress: &'a dyn Progress,
    /// True if no key was given and the repository accepts encrypted backups only.
    pub(super) encrypted_only: bool,
}
