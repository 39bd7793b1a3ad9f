//! The record of a reader while it reads. The protocol and its steps are in
//! [`crate::store::lease::readers`].

use crate::store::error::backup::BackupFault;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use crate::manifest::BackupName;
use crate::store::backend::runtime::Runtime;
use crate::store::error::StoreError;
use crate::store::lease::chain_lease::DEFAULT_TTL;
use crate::store::lease::readers::{DIRECTORY, DeletionState, Reader, Readers, STALE};
use crate::store::objects::parallel::map_in_parallel;
use crate::store::objects::repository::Repository;

/// How long a reader waits for a deletion that has found it to remove its note.
const GIVES_WAY: Duration = Duration::from_secs(10);
/// How long the removal of a record may take. If it takes longer, the record expires.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// The interval between two checks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Number of notes and manifests that are checked concurrently.
const PARALLEL: usize = 32;

/// Returns whether a backup had a manifest when it was listed.
pub type HasManifest<'a> = dyn Fn(&BackupName) -> bool + Sync + 'a;

/// The backups that are being read, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct ReadLease {
    /// `None`: the record could not be put, or there are no backups.
    #[cfg_attr(not(test), expect(dead_code, reason = "held for its drop"))]
    announced: Option<Announced>,
}

#[derive(Debug)]
struct Announced {
    readers: Readers,
    token: String,
    runtime: Runtime,
    beats: Arc<AtomicU64>,
    /// Dropped to end the heartbeats.
    stop: Option<watch::Sender<()>>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        drop(self.stop.take());
        let (readers, token) = (self.readers.clone(), self.token.clone());
        let beats = self.beats.load(Ordering::Acquire);
        // limited in time, so that an unavailable store doesn't block
        let ending = async move {
            match tokio::time::timeout(ENDS_WITHIN, readers.end(&token, beats)).await {
                Ok(ended) => ended,
                Err(_) => Err(StoreError::TaskDied {
                    what: "ending a reader in time".to_owned(),
                }),
            }
        };
        if let Err(error) = self.runtime.wait("ending a reader", ending).and_then(|r| r) {
            tracing::debug!("the record of a reader stays until it expires: {error}");
        }
    }
}

impl ReadLease {
    /// Returns whether the store has a record of this reader.
    #[cfg(test)]
    #[must_use]
    pub(in crate::store) const fn is_announced(&self) -> bool {
        self.announced.is_some()
    }
}

/// The time limits of a reader.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Wait {
    pub ttl: Duration,
    /// How long to wait for a deletion to give way.
    pub gives_way: Duration,
}

impl Default for Wait {
    fn default() -> Self {
        Self {
            ttl: DEFAULT_TTL,
            gives_way: GIVES_WAY,
        }
    }
}

impl Repository {
    /// Records that `backups` of lsnap are being read, until the result is dropped. `work`
    /// describes the purpose. Deletions leave these backups unchanged until then.
    ///
    /// # Errors
    /// [`BackupFault::BeingDeleted`](crate::store::BackupFault::BeingDeleted), or the store can't
    /// be read. If the record can't be put (no permission to write), this is not an error; a
    /// warning is logged once.
    pub fn announce_reading(
        &self,
        work: &str,
        backups: &[BackupName],
    ) -> Result<ReadLease, StoreError> {
        self.announce(work, backups, &|_| true, Wait::default())
    }

    /// As [`Self::announce_reading`], for backups that may have no manifest of lsnap.
    /// `has_manifest` tells which must have one.
    ///
    /// # Errors
    /// As [`Self::announce_reading`].
    pub fn announce_reading_some(
        &self,
        work: &str,
        backups: &[BackupName],
        has_manifest: &HasManifest<'_>,
    ) -> Result<ReadLease, StoreError> {
        self.announce(work, backups, has_manifest, Wait::default())
    }

    /// Returns a reader of one of `backups`, and that backup. The deletion notes must have been put
    /// before.
    pub(in crate::store) fn reader_of(
        &self,
        backups: &[BackupName],
    ) -> Result<Option<(BackupName, Reader)>, StoreError> {
        let (readers, names) = (self.readers()?, backups.to_vec());
        let found =
            self.runtime().wait(
                "looking for readers",
                async move { readers.find(&names).await },
            )??;
        Ok(found.and_then(|reader| {
            let of_all = reader.backups.is_empty();
            let mut names = backups.iter();
            let name = names.find(|name| of_all || reader.backups.contains(name))?;
            Some((name.clone(), reader))
        }))
    }

    pub(in crate::store) fn readers(&self) -> Result<Readers, StoreError> {
        let store = Arc::clone(self.store()?);
        Ok(Readers::new(store, self.longest_component()))
    }

    pub(in crate::store) fn announce(
        &self,
        work: &str,
        backups: &[BackupName],
        manifest: &HasManifest<'_>,
        wait: Wait,
    ) -> Result<ReadLease, StoreError> {
        // a record without names stands for a reader of all backups
        if backups.is_empty() {
            return Ok(ReadLease { announced: None });
        }
        let readers = self.readers()?;
        let reader = Reader::new(work, backups, wait.ttl);
        let token = reader.token.clone();
        let put = self.runtime().wait("announcing a reader", {
            let readers = readers.clone();
            async move { readers.announce(&reader).await }
        })?;
        let (announced, since) = match put {
            Ok(since) => {
                self.give_directories();
                let announced = self.keep_alive(readers.clone(), token, wait.ttl);
                (Some(announced), since)
            }
            Err(error) => {
                self.warn_unannounced(&error);
                (None, Utc::now())
            }
        };
        let lease = ReadLease { announced };
        self.wait_until_clear(&readers, backups, manifest, since, wait.gives_way)?;
        Ok(lease)
    }

    /// Gives the directories of the record to the owner of the repository. If root reads the
    /// repository of another user, its owner could not write there otherwise.
    fn give_directories(&self) {
        let Some(top) = self.directory() else { return };
        let Ok(owner) = std::fs::metadata(top) else {
            return;
        };
        for directory in [top.join(".lsnap"), top.join(DIRECTORY)] {
            let other = std::fs::metadata(&directory)
                .is_ok_and(|found| (found.uid(), found.gid()) != (owner.uid(), owner.gid()));
            if other {
                // only root may do this; for other users the directories are right already
                let _ = std::os::unix::fs::chown(&directory, Some(owner.uid()), Some(owner.gid()));
            }
        }
    }

    fn keep_alive(&self, readers: Readers, token: String, ttl: Duration) -> Announced {
        let beats = Arc::<AtomicU64>::default();
        let (stop, stopped) = watch::channel(());
        let renewing = renew(
            readers.clone(),
            token.clone(),
            ttl / 3,
            Arc::clone(&beats),
            stopped,
        );
        self.runtime().spawn(renewing);
        Announced {
            readers,
            token,
            runtime: self.runtime().clone(),
            beats,
            stop: Some(stop),
        }
    }

    fn warn_unannounced(&self, error: &StoreError) {
        if self.is_first_unannounced() {
            tracing::warn!(
                "no record of this reader could be put, so a concurrent prune or delete may remove the backups \
                 that are being read ({error})"
            );
        }
    }

    fn wait_until_clear(
        &self,
        readers: &Readers,
        backups: &[BackupName],
        manifest: &HasManifest<'_>,
        since: DateTime<Utc>,
        gives_way: Duration,
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        loop {
            let waited = begun.elapsed();
            let now = since + TimeDelta::from_std(waited).unwrap_or_default();
            let (name, gone) = match self.deletion_state_of(readers, backups, manifest, now)? {
                DeletionState::Clear => return Ok(()),
                DeletionState::Gone(name) => (name, true),
                DeletionState::Noted(name, _) => (name, false),
            };
            if gone || waited >= gives_way {
                return Err(StoreError::Backup(BackupFault::BeingDeleted { name, gone }));
            }
            std::thread::sleep(LOOK_EVERY.min(gives_way));
        }
    }

    /// Returns the worst deletion state of all backups.
    fn deletion_state_of(
        &self,
        readers: &Readers,
        backups: &[BackupName],
        manifest: &HasManifest<'_>,
        now: DateTime<Utc>,
    ) -> Result<DeletionState, StoreError> {
        let states = map_in_parallel(backups.to_vec(), PARALLEL, |name: BackupName| {
            let (readers, manifest) = (readers.clone(), manifest(&name));
            self.runtime().wait("looking for a deletion", async move {
                readers.deletion_state(&name, manifest).await
            })?
        })?;
        let mut worst = DeletionState::Clear;
        for state in states {
            match &state {
                DeletionState::Clear => {}
                DeletionState::Gone(_) => return Ok(state),
                DeletionState::Noted(name, at)
                    if now.signed_duration_since(*at) >= STALE
                        && !self.is_being_deleted(name)? =>
                {
                    tracing::warn!(
                        "the deletion of {name} was begun at {} and not completed; the backup is read nevertheless",
                        at.format("%Y-%m-%d %H:%M:%S UTC")
                    );
                }
                DeletionState::Noted(..) => worst = state,
            }
        }
        Ok(worst)
    }
}

/// Puts heartbeats until it is stopped.
async fn renew(
    readers: Readers,
    token: String,
    every: Duration,
    beats: Arc<AtomicU64>,
    mut stopped: watch::Receiver<()>,
) {
    for n in 1.. {
        tokio::select! {
            // the sender is only ever dropped
            _ = stopped.changed() => return,
            () = tokio::time::sleep(every) => {}
        }
        match readers.beat(&token, n).await {
            Ok(()) => beats.store(n, Ordering::Release),
            // the next heartbeat may succeed
            Err(error) => tracing::info!("a heartbeat of a reader failed: {error}"),
        }
    }
}
