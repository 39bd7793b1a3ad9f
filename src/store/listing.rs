//! What lies in a repository.
//!
//! One pass over the keys, directories side by side; of a finished backup only its small summary is
//! read, of one of xtrabackup's what it says of itself ([`super::foreign`]). The top level is looked
//! at by itself and only directories that can be backups are opened: a bucket may hold other things, a
//! mounted volume an unreadable `lost+found`.

use crate::manifest::{object_name, split_object_name};
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::counted::count;
use crate::innodb::Lsn;
use crate::manifest::document::{CLAIM, DELETING, MANIFEST, SUMMARY, is_document};
use crate::manifest::{BackupKind, BackupName, Summary, check_kind, may_hold_backups, name};
use crate::store::foreign::{self, ForeignInfo};
use crate::store::manifest_key::MAX_VOID;
use crate::store::marker::MARKER;
use crate::store::own::Belongs;
use crate::store::parallel::map_in_parallel;
use crate::store::repository::is_xtrabackups;
use crate::store::{Repository, StoreError, base_missing};

/// Requests of a listing that are under way at the same time.
const PARALLEL: usize = 64;

/// A directory of the repository that is a backup, or was to become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: BackupName,
    /// What it is.
    #[serde(flatten)]
    pub state: ListedState,
    /// Bytes of all objects under it.
    pub stored_bytes: u64,
    /// Number of these objects.
    pub objects: u64,
    /// The store's time of the newest of them.
    pub newest: DateTime<Utc>,
    /// The store's time of its manifest, where it has one.
    #[serde(skip)]
    pub(super) finished_at_store: Option<DateTime<Utc>>,
    /// Of an unfinished one: what is there is certainly part of a backup that lsnap or xtrabackup
    /// makes, or made and left. Other things may look like one.
    pub leftover: bool,
    /// It has lsnap's claim: its writer looks at its manifest's key before it puts it.
    #[serde(skip)]
    pub(super) claimed: bool,
    /// It has lsnap's summary, which is written right before the manifest, and no object of the manifest.
    #[serde(skip)]
    pub(crate) summarized: bool,
    /// The summary of one that is damaged or has no manifest, where it can be read.
    #[serde(skip)]
    pub(super) said: Option<Box<Summary>>,
    /// A key under its name that is not the backup's own, or why the whole is not: then it is not deleted.
    #[serde(skip)]
    pub(super) unexplained: Option<String>,
    /// What a backup of xtrabackup's says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Box<ForeignInfo>>,
}

/// What a directory of the repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
// Apart from the fields of `Listed`: a summary has some of the same names.
#[serde(tag = "state", content = "detail", rename_all = "snake_case")]
pub enum ListedState {
    /// It has a manifest, and as many objects and bytes as that says. Digests were not checked. If it is
    /// incremental, all that it stands on is there too.
    Finished(Box<Summary>),
    /// As [`Self::Finished`], but a backup that it stands on is gone, or another one of that name: it can't
    /// be restored.
    BaseMissing(Box<Summary>),
    /// No manifest: interrupted, or still running.
    Unfinished,
    /// Its deletion was begun and not completed: delete it again.
    Deleting,
    /// A stream of lsnap's, chunk by chunk (`lsnap backup --stream | lsnap cloud put`). Its manifest
    /// describes the files of the stream, not these objects.
    Stream {
        /// It has `xtrabackup_tablespaces`, which is stored late.
        finished: bool,
    },
    /// Another program's stream, chunk by chunk: made by `xtrabackup | xbcloud put`, or anything
    /// `| lsnap cloud put`.
    Foreign {
        /// It has `xtrabackup_tablespaces`, which xbcloud stores last.
        finished: bool,
    },
    /// It has a manifest, but is not whole.
    Damaged {
        /// What was found and expected.
        reason: String,
    },
}

impl Listed {
    /// The summary of a finished backup that can be restored.
    #[must_use]
    pub fn finished(&self) -> Option<&Summary> {
        match &self.state {
            ListedState::Finished(summary) => Some(summary),
            _ => None,
        }
    }

    /// The summary of a backup that has one, whether its base is there or not.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        match &self.state {
            ListedState::Finished(summary) | ListedState::BaseMissing(summary) => Some(summary),
            _ => None,
        }
    }

    /// Whether it says that it is of another server; one of which nothing can be read does not.
    pub(super) fn is_of_another_server(&self, server_uuid: &str) -> bool {
        let said = self.summary().or(self.said.as_deref());
        said.is_some_and(|summary| summary.server_uuid != server_uuid)
    }

    /// Whether it lacks the data of tables ([`Summary::missing_tables`]).
    #[must_use]
    pub fn lacks_tables(&self) -> bool {
        self.summary().is_some_and(|s| s.missing_tables > 0)
    }

    /// Whether everything of the backup itself is there, as far as a listing can tell; whoever made it.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(
            self.state,
            ListedState::Finished(_)
                | ListedState::BaseMissing(_)
                | ListedState::Stream { finished: true }
                | ListedState::Foreign { finished: true }
        )
    }

    /// Whether nothing says that it is whole, nor that it ever was.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        matches!(
            self.state,
            ListedState::Unfinished
                | ListedState::Stream { finished: false }
                | ListedState::Foreign { finished: false }
        )
    }

    /// Full or incremental: what it says of itself, else what its place says.
    #[must_use]
    pub fn kind(&self) -> BackupKind {
        let said = self.summary().map(|s| s.kind);
        said.or_else(|| self.foreign.as_ref()?.kind)
            .unwrap_or(if self.name.is_incremental() {
                BackupKind::Incremental
            } else {
                BackupKind::Full
            })
    }

    /// The program that made it and its version, where known.
    #[must_use]
    pub fn made_by(&self) -> Option<String> {
        match &self.state {
            ListedState::Finished(summary) | ListedState::BaseMissing(summary) => {
                Some(format!("lsnap {}", summary.lsnap_version))
            }
            ListedState::Stream { .. } => {
                let tool = self.foreign.as_ref().and_then(|f| f.tool.clone());
                Some(tool.unwrap_or_else(|| "lsnap".to_owned()))
            }
            ListedState::Foreign { .. } => {
                let tool = self.foreign.as_ref().and_then(|f| f.tool.clone());
                Some(tool.unwrap_or_else(|| "xtrabackup".to_owned()))
            }
            _ => self.claimed.then(|| "lsnap".to_owned()),
        }
    }

    /// Its place in a chain: `from_lsn` and `to_lsn`, where known.
    #[must_use]
    pub fn lsns(&self) -> Option<(Lsn, Lsn)> {
        if let Some(summary) = self.summary() {
            return Some((summary.lsn.from_lsn, summary.lsn.to_lsn));
        }
        let foreign = self.foreign.as_ref()?;
        Some((foreign.from_lsn?, foreign.to_lsn?))
    }

    /// Where its redo ends, where known.
    pub(super) fn last_lsn(&self) -> Option<Lsn> {
        match self.summary() {
            Some(summary) => Some(summary.lsn.last_lsn),
            None => self.foreign.as_ref()?.last_lsn,
        }
    }

    /// When it was made, to put backups in an order: by its manifest, else by the time in its name,
    /// else by its newest object (which a copied bucket makes younger).
    #[must_use]
    pub fn made_at(&self) -> DateTime<Utc> {
        match self.summary() {
            Some(summary) => summary.finished_at,
            None => self.name.time().unwrap_or(self.newest),
        }
    }

    /// The latest time that it may have been made, for what must not be too young to go.
    #[must_use]
    pub fn made_at_the_latest(&self) -> DateTime<Utc> {
        match self.summary() {
            Some(summary) => summary.finished_at,
            None => self.newest.max(self.name.time().unwrap_or(self.newest)),
        }
    }
}

/// What was counted under one backup's name.
#[derive(Debug, Default)]
pub(super) struct Tally {
    objects: u64,
    bytes: u64,
    chunks: u64,
    /// Objects of the backup's files, and their bytes: lsnap's own documents would make up in number
    /// for lost ones.
    file_objects: u64,
    file_bytes: u64,
    manifest_bytes: Option<u64>,
    manifest_time: Option<DateTime<Utc>>,
    claim: bool,
    summary: bool,
    deleting: bool,
    /// The manifest lies here as chunks of a stream (`lsnap backup --stream | lsnap cloud put`): it
    /// describes that stream, not these objects.
    streamed: bool,
    xtrabackup: bool,
    tablespaces: bool,
    /// Something that xtrabackup, or mariadb-backup, writes when it is nearly done.
    info: bool,
    /// A tablespace file.
    innodb: bool,
    newest: Option<DateTime<Utc>>,
    plain: foreign::Readable,
    /// The first key that is part of another backup or repository.
    nested: Option<String>,
    /// The first key that is nobody's.
    strange: Option<String>,
    /// Why the rest is not known.
    unlistable: Option<String>,
    /// The summary of a backup that is not whole.
    said: Option<Box<Summary>>,
}

impl Tally {
    pub(super) fn unlistable(reason: String) -> Self {
        Self {
            unlistable: Some(reason),
            ..Self::default()
        }
    }

    /// Whether it has what only a backup has, at its own top.
    const fn is_a_backup(&self) -> bool {
        self.manifest_bytes.is_some() || self.claim || self.deleting || self.xtrabackup
    }

    /// Of a backup whose manifest is a void: whether there is anything besides.
    const fn has_more_than_a_void(&self) -> bool {
        self.objects > 1
    }

    /// What forbids to delete everything under the name.
    fn unexplained(&self, name: &BackupName) -> Option<String> {
        let key = self.nested.as_ref().or(self.strange.as_ref())?;
        Some(format!("{name}/{key}"))
    }

    fn add(&mut self, object: &str, bytes: u64, time: DateTime<Utc>) {
        self.objects += 1;
        self.newest = self.newest.max(Some(time));
        self.bytes = self.bytes.saturating_add(bytes);
        match Belongs::of(object, bytes) {
            Belongs::Own | Belongs::DirectoryMarker => {}
            Belongs::Nested => {
                self.nested.get_or_insert_with(|| object.to_owned());
                return;
            }
            Belongs::Strange => {
                self.strange.get_or_insert_with(|| object.to_owned());
            }
        }
        let Some((path, index)) = split_object_name(object) else {
            return;
        };
        self.chunks += 1;
        if !is_document(path) {
            self.file_objects += 1;
            self.file_bytes = self.file_bytes.saturating_add(bytes);
        }
        match path {
            MANIFEST if index == 0 => {
                self.manifest_bytes = Some(bytes);
                self.manifest_time = Some(time);
            }
            // one that lsnap stores is a single object
            MANIFEST => self.streamed = true,
            CLAIM => self.claim = true,
            SUMMARY => self.summary = true,
            DELETING => self.deleting = true,
            _ => {}
        }
        self.plain.look_at(path, index, bytes);
        self.info |= path.contains("backup_info");
        self.innodb |= path.starts_with("ibdata") || path.contains(".ibd");
        self.xtrabackup |= is_xtrabackups(object);
        self.tablespaces |= object.starts_with("xtrabackup_tablespaces.");
    }
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
        let tallies = self.tallies()?.into_iter().collect();
        let listed = map_in_parallel(tallies, PARALLEL, |(name, tally): (BackupName, Tally)| {
            self.listed(name, tally)
        })?;
        let mut listed: Vec<Listed> = listed.into_iter().flatten().collect();
        base_missing::mark(&mut listed);
        Ok(listed)
    }

    fn listed(&self, name: BackupName, mut tally: Tally) -> Result<Option<Listed>, StoreError> {
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
            foreign,
            name,
        }))
    }

    fn tallies(&self) -> Result<BTreeMap<BackupName, Tally>, StoreError> {
        let mut directories = self.top_directories()?;
        directories.retain(|directory| may_hold_backups(directory));
        let tallied = map_in_parallel(directories, PARALLEL, |d| self.tallies_of(&d))?;
        Ok(tallied.into_iter().flatten().collect())
    }

    /// The members that lie in a chain's directory, by the names of their own.
    pub(super) fn members_in(&self, directory: &str) -> Result<Vec<BackupName>, StoreError> {
        let children = self.bucket().children(directory)?;
        let names = children.directories.iter();
        Ok(names.filter_map(|d| BackupName::parse(d).ok()).collect())
    }

    /// What lies in one directory at the top: one backup, or the members of a chain.
    fn tallies_of(&self, directory: &str) -> Result<BTreeMap<BackupName, Tally>, StoreError> {
        let error = match self.tallies_below(directory) {
            Err(error @ StoreError::BadKey { .. }) => error,
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

    /// The directories at the top. A local repository is asked directly: `object_store` fails a whole
    /// listing for one file name that it can't represent.
    fn top_directories(&self) -> Result<Vec<String>, StoreError> {
        let store = Arc::clone(self.store()?);
        let Some(directory) = self.directory() else {
            let listing =
                self.runtime().wait(
                    "listing",
                    async move { store.list_with_delimiter(None).await },
                )?;
            let listing = listing.map_err(|e| StoreError::backend("listing", self.url(), e))?;
            return Ok(listing
                .common_prefixes
                .into_iter()
                .map(String::from)
                .collect());
        };
        let failed = |e| StoreError::io("listing", directory, e);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // follows symbolic links, as the store does; a dangling one is nothing
            let is_dir = std::fs::metadata(entry.path()).is_ok_and(|m| m.is_dir());
            if let (true, Ok(name)) = (is_dir, entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
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
                match self.summary(name, manifest_bytes) {
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
                    Err(
                        error @ (StoreError::Damaged { .. } | StoreError::UnknownFormat { .. }),
                    ) => ListedState::Damaged {
                        reason: error.to_string(),
                    },
                    Err(StoreError::NotFinished { .. }) if tally.deleting => ListedState::Deleting,
                    Err(StoreError::NotFinished { .. }) if tally.has_more_than_a_void() => {
                        ListedState::Unfinished
                    }
                    // removed between listing and reading, or nothing but a void is left
                    Err(StoreError::NotFound { .. } | StoreError::NotFinished { .. }) => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
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

fn compare(
    summary: &Summary,
    name: &BackupName,
    tally: &Tally,
    manifest_bytes: u64,
) -> Result<(), String> {
    if summary.name != *name {
        return Err(format!(
            "it says that it is {}: the directory was renamed or copied, give it its name back",
            summary.name
        ));
    }
    if summary.manifest_bytes != manifest_bytes {
        return Err(format!(
            "its {MANIFEST} has {manifest_bytes}, expected {}",
            summary.manifest_bytes,
            manifest_bytes = count(manifest_bytes, "byte")
        ));
    }
    if tally.file_objects < summary.objects || tally.file_bytes < summary.stored_bytes {
        return Err(format!(
            "objects are missing: found {} of {}, expected {} of {}",
            tally.file_objects,
            count(tally.file_bytes, "byte"),
            summary.objects,
            count(summary.stored_bytes, "byte")
        ));
    }
    Ok(())
}
