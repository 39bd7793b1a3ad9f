//! Announces the backups that are verified, so that they are not deleted concurrently, and a
//! deletion is not reported as damage.

use super::links::{self, Chain};
use super::report::VerifyReport;
use super::{VerifyError, Which};
use crate::manifest::BackupName;
use crate::store::BackupFault;
use crate::store::{Listed, ReadLease, Repository, StoreError};
use std::collections::BTreeSet;

/// Number of listings: the repository is listed again if a backup was deleted between the listing
/// and the announcement.
const TRIES: usize = 5;

/// The backups to verify.
pub(super) struct Chosen {
    pub(super) listed: Vec<Listed>,
    pub(super) work: Vec<Chain>,
    pub(super) report: VerifyReport,
    /// Held until the end of the verification.
    pub(super) _reading: ReadLease,
}

/// Lists the repository, chooses the backups and announces them.
pub(super) fn choose(repo: &Repository, which: Which<'_>) -> Result<Chosen, VerifyError> {
    let (mut tries, mut going) = (0, BTreeSet::new());
    loop {
        tries += 1;
        let listed = repo.list()?;
        let mut report = VerifyReport::default();
        let mut work = links::choose(repo, which, &listed, &mut report)?;
        let goes = |chain: &Chain| chain.members.iter().any(|name| going.contains(name));
        let skipped = work.iter().filter(|chain| goes(chain));
        report.being_deleted = skipped.flat_map(|chain| &chain.members).cloned().collect();
        work.retain(|chain| !goes(chain));
        let finished: BTreeSet<&BackupName> = listed
            .iter()
            .filter(|l| l.finished().is_some())
            .map(|l| &l.name)
            .collect();
        let names: Vec<BackupName> = work.iter().flat_map(|c| &c.members).cloned().collect();
        let has_manifest = |name: &BackupName| finished.contains(name);
        match repo.announce_reading_some("verify", &names, &has_manifest) {
            Err(StoreError::Backup(BackupFault::BeingDeleted { gone: true, .. }))
                if tries < TRIES => {}
            Err(error @ StoreError::Backup(BackupFault::BeingDeleted { .. }))
                if which == Which::All =>
            {
                tracing::warn!("its chain is not verified: {error}");
                if let StoreError::Backup(BackupFault::BeingDeleted { name, .. }) = error {
                    going.insert(name);
                }
            }
            Ok(_reading) => {
                drop(finished);
                return Ok(Chosen {
                    listed,
                    work,
                    report,
                    _reading,
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
}
