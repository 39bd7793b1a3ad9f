//! Listing of a repository.
//!
//! All keys are listed once, directories in parallel. Of a finished backup only the small summary
//! is read; of a backup of xtrabackup its metadata ([`crate::store::listing::foreign`]). The top
//! level is listed separately, and only directories that can be backups are listed further: a
//! bucket may contain other data, a mounted volume an unreadable `lost+found`.

use crate::manifest::object_name;
use crate::store::error::backup::BackupFault;
use crate::store::error::listing::ListingFault;
use crate::store::error::request::RequestFault;
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::listing::object_counts::{ObjectCounts, compare};
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

/// Number of concurrent requests of a listing.
const PARALLEL: usize = 64;

/// The contents of the top level of a repository.
#[derive(Debug, Default)]
struct Top {
    directories: Vec<String>,
    /// The full backups whose chains are pinned.
    pinned: BTreeSet<BackupName>,
}

impl Repository {
    /// Returns every backup in the repository, finished or not, sorted by name. Other objects are
    /// ignored.
    ///
    /// # Errors
    /// The store can't be listed, or a summary can't be fetched. A damaged backup is not an error;
    /// its state is [`ListedState::Damaged`].
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.check_format()?;
        let top = self.top()?;
        let all_counts = self.all_counts(top.directories)?.into_iter().collect();
        let listed = map_in_parallel(
            all_counts,
            PARALLEL,
            |(name, counts): (BackupName, ObjectCounts)| {
                let pinned = top.pinned.contains(&name.base());
                self.listed(name, counts, pinned)
            },
        )?;
        let mut listed: Vec<Listed> = listed.into_iter().flatten().collect();
        base_missing::mark(&mut listed);
        Ok(listed)
    }

    fn listed(
        &self,
        name: BackupName,
        mut counts: ObjectCounts,
        pinned: bool,
    ) -> Result<Option<Listed>, StoreError> {
        let Some(state) = self.classify(&name, &mut counts)? else {
            return Ok(None);
        };
        let foreign = match state {
            ListedState::Stream { .. } | ListedState::Foreign { .. } => {
                Some(Box::new(self.foreign(&name, counts.plain)?))
            }
            _ => None,
        };
        let summarized = counts.summary && counts.manifest_bytes.is_none();
        if summarized && state != ListedState::Deleting {
            counts.other_summary = self.read_summary(&name)?;
        }
        Ok(Some(Listed {
            unexplained: counts.unexplained(&name),
            state,
            stored_bytes: counts.bytes,
            objects: counts.objects,
            newest: counts.newest.unwrap_or_default(),
            finished_at_store: counts.manifest_time,
            leftover: counts.claim || counts.deleting || (counts.innodb && !counts.info),
            claimed: counts.claim,
            // A void in place of the manifest is no loss: the backup can't be finished any more.
            summarized,
            other_summary: counts.other_summary,
            pinned,
            foreign,
            name,
        }))
    }

    fn all_counts(
        &self,
        mut directories: Vec<String>,
    ) -> Result<BTreeMap<BackupName, ObjectCounts>, StoreError> {
        directories.retain(|directory| crate::manifest::may_hold_backups(directory));
        let counted = map_in_parallel(directories, PARALLEL, |d| self.counts_of(&d))?;
        Ok(counted.into_iter().flatten().collect())
    }

    /// Returns the members in a chain's directory, by the names of their directories.
    pub(in crate::store) fn members_in(
        &self,
        directory: &str,
    ) -> Result<Vec<BackupName>, StoreError> {
        let children = self.bucket().children(directory)?;
        let names = children.directories.iter();
        Ok(names.filter_map(|d| BackupName::parse(d).ok()).collect())
    }

    /// Counts the objects of one directory at the top level: of one backup, or of the members of a
    /// chain.
    fn counts_of(&self, directory: &str) -> Result<BTreeMap<BackupName, ObjectCounts>, StoreError> {
        let error = match self.counts_below(directory) {
            Err(error @ StoreError::Listing(ListingFault::BadKey { .. })) => error,
            other => return other,
        };
        let mut all_counts = BTreeMap::new();
        if name::chain_directory(directory).is_some() {
            for member in self.members_in(directory)? {
                all_counts.extend(self.counts_of(member.as_str())?);
            }
        } else if let Ok(name) = BackupName::parse(directory) {
            let counts = self.counts_of_unnameable(&name, &error)?;
            all_counts.extend(counts.map(|counts| (name, counts)));
        }
        Ok(all_counts)
    }

    fn counts_below(
        &self,
        directory: &str,
    ) -> Result<BTreeMap<BackupName, ObjectCounts>, StoreError> {
        let mut all_counts: BTreeMap<BackupName, ObjectCounts> = BTreeMap::new();
        let chain = name::chain_directory(directory).is_some();
        // keys of one backup usually follow each other, so its name is parsed once
        let mut current: Option<(String, BackupName)> = None;
        let mut is_repository = false;
        self.each_entry(directory, |rest, bytes, time| {
            let (member, object) = match rest.split_once('/') {
                Some((member, object)) if chain => (member, object),
                // a repository whose name has the suffix of a chain directory
                _ if chain && rest == MARKER => {
                    is_repository = true;
                    return false;
                }
                // an object directly in a chain's directory doesn't belong to a backup
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
                match all_counts.get_mut(name) {
                    Some(counts) => counts.add(object, bytes, time),
                    None => all_counts
                        .entry(name.clone())
                        .or_default()
                        .add(object, bytes, time),
                }
            }
            true
        })?;
        if is_repository {
            log_not_a_backup(directory, MARKER);
            all_counts.clear();
        }
        Ok(all_counts)
    }

    /// Lists the top level. A local repository is read directly: `object_store` fails the whole
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
            // follows symbolic links, as the store does; a dangling one is ignored
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
        counts: &mut ObjectCounts,
    ) -> Result<Option<ListedState>, StoreError> {
        if let Some(reason) = &counts.unlistable {
            let reason = reason.clone();
            return Ok(Some(ListedState::Damaged { reason }));
        }
        if let Some(nested) = &counts.nested {
            if !counts.is_a_backup() {
                log_not_a_backup(name.as_str(), nested);
                return Ok(None);
            }
            return Ok(Some(ListedState::Damaged {
                reason: format!(
                    "another backup or repository is in its directory ({name}/{nested}): move it to another \
                     directory"
                ),
            }));
        }
        Ok(Some(
            if let (Some(manifest_bytes), false) =
                (counts.manifest_bytes, counts.streamed && !counts.claim)
            {
                return self.classify_by_manifest(name, counts, manifest_bytes);
            } else if counts.deleting {
                ListedState::Deleting
            } else if counts.claim {
                ListedState::Unfinished
            } else if counts.streamed {
                ListedState::Stream {
                    finished: counts.tablespaces,
                }
            } else if counts.xtrabackup {
                ListedState::Foreign {
                    finished: counts.tablespaces,
                }
            } else if counts.chunks > 0 {
                ListedState::Unfinished
            } else {
                return Ok(None);
            },
        ))
    }

    /// Returns the state of a backup that has a manifest, or a void in its place.
    fn classify_by_manifest(
        &self,
        name: &BackupName,
        counts: &mut ObjectCounts,
        manifest_bytes: u64,
    ) -> Result<Option<ListedState>, StoreError> {
        Ok(Some(match self.summary(name, manifest_bytes) {
            Ok(summary) => match compare(&summary, name, counts, manifest_bytes) {
                Ok(()) => ListedState::Finished(Box::new(summary)),
                Err(reason) => {
                    // `X.incr` may be a repository from before there were markers
                    if name.is_incremental() && !summary.name.is_incremental() {
                        counts.unknown = Some(object_name(MANIFEST, 0));
                    }
                    counts.other_summary = Some(Box::new(summary));
                    let reason = match self.lost(name) {
                        Some(lost) => format!("{reason}; {lost}"),
                        None => reason,
                    };
                    ListedState::Damaged { reason }
                }
            },
            // an archived document must not hide the other backups
            Err(
                error @ (StoreError::Damaged { .. }
                | StoreError::UnknownFormat { .. }
                | StoreError::Request {
                    kind: RequestFault::Archived,
                    ..
                }),
            ) => ListedState::Damaged {
                reason: error.to_string(),
            },
            Err(StoreError::Backup(BackupFault::NotFinished { .. })) if counts.deleting => {
                ListedState::Deleting
            }
            Err(StoreError::Backup(BackupFault::NotFinished { .. }))
                if counts.has_more_than_a_void() =>
            {
                ListedState::Unfinished
            }
            // removed between listing and reading, or only a void is left
            Err(
                StoreError::Backup(BackupFault::NotFound { .. })
                | StoreError::Backup(BackupFault::NotFinished { .. }),
            ) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }))
    }

    /// Returns the summary of a backup without a manifest; `None` if it can't be used.
    fn read_summary(&self, name: &BackupName) -> Result<Option<Box<Summary>>, StoreError> {
        match self.document::<Summary>(name, SUMMARY) {
            Ok(found) => Ok(found
                .map(|(summary, ..)| Box::new(summary))
                .filter(|summary| summary.name == *name)),
            Err(
                StoreError::Damaged { .. }
                | StoreError::Request {
                    kind: RequestFault::Archived,
                    ..
                },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a finished backup's summary. If it is missing, it is derived from the manifest.
    fn summary(&self, name: &BackupName, manifest_bytes: u64) -> Result<Summary, StoreError> {
        // its writer may have stopped after the summary, because it found a void for the manifest
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

/// Logs a directory that contains backups and is therefore not a backup itself.
fn log_not_a_backup(directory: &str, key: &str) {
    tracing::info!(
        "{directory}/{} belongs to another repository or backup: {directory} does not count as a backup",
        key.escape_debug()
    );
}
