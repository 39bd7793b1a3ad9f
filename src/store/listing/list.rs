//! What lies in a repository.
//!
//! One pass over the keys, directories side by side; of a finished backup only its small summary is
//! read, of one of xtrabackup's what it says of itself ([`crate::store::listing::foreign`]). The top level is looked
//! at by itself and only directories that can be backups are opened: a bucket may hold other things, a
//! mounted volume an unreadable `lost+found`.

use crate::manifest::object_name;
use crate::store::error::backup::BackupFault;
use crate::store::error::listing::ListingFault;
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::listing::tally::{Tally, compare};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::manifest::document::{MANIFEST, SUMMARY};
use crate::manifest::{BackupName, Summary, check_kind, name};
use crate::store::error::StoreError;
use crate::store::listing::base_missing;
use crate::store::objects::manifest_key::MAX_VOID;
use crate::store::objects::marker::MARKER;
use crate::store::objects::parallel::map_in_parallel;
use crate::store::objects::pin;
use crate::store::objects::repository::Repository;

/// Requests of a listing that are under way at the same time.
const PARALLEL: usize = 64;

/// What lies at the top of a repository.
#[derive(Debug, Default)]
struct Top {
    directories: Vec<String>,
    /// The full backups whose chains are pinned.
    pinned: BTreeSet<BackupName>,
}

impl Repository {
    /// Every backup in the repository, finished or not, sorted by name. Other things that lie about
    /// are passed over.
    ///
    /// # Errors
    /// The store can't be listed or a summary can't be fetched. A damaged backup is no error but
    /// [`ListedState::Damaged`].
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.check_format()?;
        let top = self.top()?;
        let tallies = self.tallies(top.directories)?.into_iter().collect();
        let listed = map_in_parallel(tallies, PARALLEL, |(name, tally): (BackupName, Tally)| {
            let pinned = top.pinned.contains(&name.base());
            self.listed(name, tally, pinned)
        })?;
        let mut listed: Vec<Listed> = listed.into_iter().flatten().collect();
        base_missing::mark(&mut listed);
        Ok(listed)
    }

    fn listed(
        &self,
        name: BackupName,
        mut tally: Tally,
        pinned: bool,
    ) -> Result<Option<Listed>, StoreError> {
        let Some(state) = self.classify(&name, &mut tally)? else {
            return Ok(None);
        };
        let foreign = match state {
            ListedState::Stream { .. } | ListedState::Foreign { .. } => {
                Some(Box::new(self.foreign(&name, tally.plain)?))
            }
            _ => None,
        };
        let summarized = tally.summary && tally.manifest_bytes.is_none();
        if summarized && state != ListedState::Deleting {
            tally.said = self.said_of_itself(&name)?;
        }
        Ok(Some(Listed {
            unexplained: tally.unexplained(&name),
            state,
            stored_bytes: tally.bytes,
            objects: tally.objects,
            newest: tally.newest.unwrap_or_default(),
            finished_at_store: tally.manifest_time,
            leftover: tally.claim || tally.deleting || (tally.innodb && !tally.info),
            claimed: tally.claim,
            // A void in its place is no loss: nobody may finish it any more.
            summarized,
            said: tally.said,
            pinned,
            foreign,
            name,
        }))
    }

    fn tallies(
        &self,
        mut directories: Vec<String>,
    ) -> Result<BTreeMap<BackupName, Tally>, StoreError> {
        directories.retain(|directory| crate::manifest::may_hold_backups(directory));
        let tallied = map_in_parallel(directories, PARALLEL, |d| self.tallies_of(&d))?;
        Ok(tallied.into_iter().flatten().collect())
    }

    /// The members that lie in a chain's directory, by the names of their own.
    pub(in crate::store) fn members_in(
        &self,
        directory: &str,
    ) -> Result<Vec<BackupName>, StoreError> {
        let children = self.bucket().children(directory)?;
        let names = children.directories.iter();
        Ok(names.filter_map(|d| BackupName::parse(d).ok()).collect())
    }

    /// What lies in one directory at the top: one backup, or the members of a chain.
    fn tallies_of(&self, directory: &str) -> Result<BTreeMap<BackupName, Tally>, StoreError> {
        let error = match self.tallies_below(directory) {
            Err(error @ StoreError::Listing(ListingFault::BadKey { .. })) => error,
            other => return other,
        };
        let mut tallies = BTreeMap::new();
        if name::chain_directory(directory).is_some() {
            for member in self.members_in(directory)? {
                tallies.extend(self.tallies_of(member.as_str())?);
            }
        } else if let Ok(name) = BackupName::parse(directory) {
            let tally = self.tally_unnameable(&name, &error)?;
            tallies.extend(tally.map(|tally| (name, tally)));
        }
        Ok(tallies)
    }

    fn tallies_below(&self, directory: &str) -> Result<BTreeMap<BackupName, Tally>, StoreError> {
        let mut tallies: BTreeMap<BackupName, Tally> = BTreeMap::new();
        let chain = name::chain_directory(directory).is_some();
        // keys of one backup mostly follow each other: its name is parsed once
        let mut current: Option<(String, BackupName)> = None;
        let mut is_repository = false;
        self.each_entry(directory, |rest, bytes, time| {
            let (member, object) = match rest.split_once('/') {
                Some((member, object)) if chain => (member, object),
                // a repository whose name ends as those of chains do
                _ if chain && rest == MARKER => {
                    is_repository = true;
                    return false;
                }
                // an object right in a chain's directory belongs to no backup
                _ if chain => return true,
                _ => ("", rest),
            };
            if current.as_ref().is_none_or(|(text, _)| text != member) {
                let text = if chain {
                    format!("{directory}/{member}")
                } else {
                    directory.to_owned()
                };
                current = BackupName::parse(&text)
                    .ok()
                    .map(|name| (member.to_owned(), name));
            }
            if let Some((_, name)) = &current {
                match tallies.get_mut(name) {
                    Some(tally) => tally.add(object, bytes, time),
                    None => tallies
                        .entry(name.clone())
                        .or_default()
                        .add(object, bytes, time),
                }
            }
            true
        })?;
        if is_repository {
            passed_over(directory, MARKER);
            tallies.clear();
        }
        Ok(tallies)
    }

    /// What lies at the top. A local repository is asked directly: `object_store` fails a whole
    /// listing for one file name that it can't represent.
    fn top(&self) -> Result<Top, StoreError> {
        let store = Arc::clone(self.store()?);
        let Some(directory) = self.directory() else {
            let listing =
                self.runtime().wait(
                    "listing",
                    async move { store.list_with_delimiter(None).await },
                )?;
            let listing = listing.map_err(|e| StoreError::backend("listing", self.url(), e))?;
            let files = listing
                .objects
                .iter()
                .filter_map(|meta| meta.location.filename());
            return Ok(Top {
                pinned: files.filter_map(pin::pinned).collect(),
                directories: listing
                    .common_prefixes
                    .into_iter()
                    .map(String::from)
                    .collect(),
            });
        };
        let failed = |e| StoreError::io("listing", directory, e);
        let mut top = Top::default();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // follows symbolic links, as the store does; a dangling one is nothing
            let is_dir = std::fs::metadata(entry.path()).is_ok_and(|m| m.is_dir());
            match (is_dir, entry.file_name().into_string()) {
                (true, Ok(name)) => top.directories.push(name),
                (false, Ok(name)) => top.pinned.extend(pin::pinned(&name)),
                (_, Err(_)) => {}
            }
        }
        Ok(top)
    }

    fn classify(
        &self,
        name: &BackupName,
        tally: &mut Tally,
    ) -> Result<Option<ListedState>, StoreError> {
        if let Some(reason) = &tally.unlistable {
            let reason = reason.clone();
            return Ok(Some(ListedState::Damaged { reason }));
        }
        if let Some(nested) = &tally.nested {
            if !tally.is_a_backup() {
                passed_over(name.as_str(), nested);
                return Ok(None);
            }
            return Ok(Some(ListedState::Damaged {
                reason: format!(
                    "another backup or repository lies in its directory ({name}/{nested}): move that to a place of \
                     its own"
                ),
            }));
        }
        Ok(Some(
            if let (Some(manifest_bytes), false) =
                (tally.manifest_bytes, tally.streamed && !tally.claim)
            {
                return self.classify_by_manifest(name, tally, manifest_bytes);
            } else if tally.deleting {
                ListedState::Deleting
            } else if tally.claim {
                ListedState::Unfinished
            } else if tally.streamed {
                ListedState::Stream {
                    finished: tally.tablespaces,
                }
            } else if tally.xtrabackup {
                ListedState::Foreign {
                    finished: tally.tablespaces,
                }
            } else if tally.chunks > 0 {
                ListedState::Unfinished
            } else {
                return Ok(None);
            },
        ))
    }

    /// The state of a backup that has a manifest, or a void in its place.
    fn classify_by_manifest(
        &self,
        name: &BackupName,
        tally: &mut Tally,
        manifest_bytes: u64,
    ) -> Result<Option<ListedState>, StoreError> {
        Ok(Some(match self.summary(name, manifest_bytes) {
            Ok(summary) => match compare(&summary, name, tally, manifest_bytes) {
                Ok(()) => ListedState::Finished(Box::new(summary)),
                Err(reason) => {
                    // `X.incr` may be a repository from before there were markers
                    if name.is_incremental() && !summary.name.is_incremental() {
                        tally.strange = Some(object_name(MANIFEST, 0));
                    }
                    tally.said = Some(Box::new(summary));
                    ListedState::Damaged { reason }
                }
            },
            Err(error @ (StoreError::Damaged { .. } | StoreError::UnknownFormat { .. })) => {
                ListedState::Damaged {
                    reason: error.to_string(),
                }
            }
            Err(StoreError::Backup(BackupFault::NotFinished { .. })) if tally.deleting => {
                ListedState::Deleting
            }
            Err(StoreError::Backup(BackupFault::NotFinished { .. }))
                if tally.has_more_than_a_void() =>
            {
                ListedState::Unfinished
            }
            // removed between listing and reading, or nothing but a void is left
            Err(
                StoreError::Backup(BackupFault::NotFound { .. })
                | StoreError::Backup(BackupFault::NotFinished { .. }),
            ) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }))
    }

    /// The summary of a backup without a manifest; `None` if it can't be used.
    fn said_of_itself(&self, name: &BackupName) -> Result<Option<Box<Summary>>, StoreError> {
        match self.document::<Summary>(name, SUMMARY) {
            Ok(found) => Ok(found
                .map(|(summary, ..)| Box::new(summary))
                .filter(|summary| summary.name == *name)),
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A finished backup's summary; made from the manifest when somebody removed it.
    fn summary(&self, name: &BackupName, manifest_bytes: u64) -> Result<Summary, StoreError> {
        // its writer may have stopped after the summary and found a void for the manifest
        let may_be_void = manifest_bytes <= MAX_VOID;
        if !(may_be_void && self.is_voided(name)?)
            && let Some((summary, _, object)) = self.document::<Summary>(name, SUMMARY)?
        {
            check_kind(
                summary.kind,
                summary.base.as_ref(),
                &summary.name,
                &summary.lsn,
            )
            .map_err(|what| StoreError::Damaged { object, what })?;
            return Ok(summary);
        }
        let manifest = self.manifest(name)?;
        let digest = manifest.digest.clone();
        Ok(Summary::of(&manifest, digest, manifest_bytes))
    }
}

/// A directory that holds backups is none, whatever else it looks like.
fn passed_over(directory: &str, key: &str) {
    tracing::info!(
        "{directory}/{} is of another repository or backup: {directory} is not taken for a backup",
        key.escape_debug()
    );
}
