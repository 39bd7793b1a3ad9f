//! Reading announced, for as long as it lasts. The protocol and its steps are in [`crate::store::lease::readers`].

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
use crate::store::lease::readers::{DIRECTORY, Reader, Readers, STALE, Standing};
use crate::store::objects::parallel::map_in_parallel;
use crate::store::objects::repository::Repository;

/// How long a reader waits for a deletion that has seen it to take its note back.
const GIVES_WAY: Duration = Duration::from_secs(10);
/// How long the removal of a record is waited for; else it runs out by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Notes and manifests that are looked at concurrently.
const PARALLEL: usize = 32;

/// Whether a backup had a manifest when it was listed.
pub type HasManifest<'a> = dyn Fn(&BackupName) -> bool + Sync + 'a;

/// Backups that are being read, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct ReadLease {
    /// `None`: it could not be announced, or there was nothing to.
    announced: Option<Announced>,
}

#[derive(Debug)]
struct Announced {
    readers: Readers,
    token: String,
    runtime: Runtime,
    beats: Arc<AtomicU64>,
    /// Dropped: that ends the signs of life.
    stop: Option<watch::Sender<()>>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        drop(self.stop.take());
        let (readers, token) = (self.readers.clone(), self.token.clone());
        let beats = self.beats.load(Ordering::Acquire);
        // a store that is away holds nobody up
        let ending = async move {
            match tokio::time::timeout(ENDS_WITHIN, readers.end(&token, beats)).await {
                Ok(ended) => ended,
                Err(_) => Err(StoreError::TaskDied {
                    what: "ending a reader in time".to_owned(),
                }),
            }
        };
        if let Err(error) = self.runtime.wait("ending a reader", ending).and_then(|r| r) {
            tracing::debug!("the record of a reader has to run out: {error}");
        }
    }
}

impl ReadLease {
    /// Whether others see it.
    #[must_use]
    pub const fn is_announced(&self) -> bool {
        self.announced.is_some()
    }
}

/// What is looked for before reading.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Wait {
    pub ttl: Duration,
    /// For a deletion to give way.
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
    /// Announces that `backups` of lsnap's are read until the result is dropped; `work` says what for.
    /// Whoever deletes leaves them alone so long.
    ///
    /// # Errors
    /// [`BackupFault::BeingDeleted`](crate::store::BackupFault::BeingDeleted), or the store can't be read. That nothing could be announced (no right
    /// to write) is none: it is warned of once.
    pub fn announce_reading(
        &self,
        work: &str,
        backups: &[BackupName],
    ) -> Result<ReadLease, StoreError> {
        self.announce(work, backups, &|_| true, Wait::default())
    }

    /// As [`Self::announce_reading`], of backups of which not every one has a manifest of lsnap's; which
    /// must, `has_manifest` says.
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

    /// Who reads one of `backups`, the deletion of which was noted; and which one.
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
        // a record without names stands for a reader of everything
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

    /// Root reads repositories of others: the directories of its record then belong to the owner of the
    /// repository, who could not write there else.
    fn give_directories(&self) {
        let Some(top) = self.directory() else { return };
        let Ok(owner) = std::fs::metadata(top) else {
            return;
        };
        for directory in [top.join(".lsnap"), top.join(DIRECTORY)] {
            let other = std::fs::metadata(&directory)
                .is_ok_and(|found| (found.uid(), found.gid()) != (owner.uid(), owner.gid()));
            if other {
                // nothing but root may, and then nothing is lost
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
        if self.says_unannounced() {
            tracing::warn!(
                "others can't see that these backups are being read, so that a `prune` or `delete` may remove them \
                 meanwhile ({error})"
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
            let (name, gone) = match self.standing_of(readers, backups, manifest, now)? {
                Standing::Clear => return Ok(()),
                Standing::Gone(name) => (name, true),
                Standing::Noted(name, _) => (name, false),
            };
            if gone || waited >= gives_way {
                return Err(StoreError::Backup(BackupFault::BeingDeleted { name, gone }));
            }
            std::thread::sleep(LOOK_EVERY.min(gives_way));
        }
    }

    /// How it stands with all of them: one that is not clear tells.
    fn standing_of(
        &self,
        readers: &Readers,
        backups: &[BackupName],
        manifest: &HasManifest<'_>,
        now: DateTime<Utc>,
    ) -> Result<Standing, StoreError> {
        let standings = map_in_parallel(backups.to_vec(), PARALLEL, |name: BackupName| {
            let (readers, manifest) = (readers.clone(), manifest(&name));
            self.runtime().wait("looking for a deletion", async move {
                readers.standing(&name, manifest).await
            })?
        })?;
        let mut worst = Standing::Clear;
        for standing in standings {
            match &standing {
                Standing::Clear => {}
                Standing::Gone(_) => return Ok(standing),
                Standing::Noted(name, at)
                    if now.signed_duration_since(*at) >= STALE
                        && !self.is_being_deleted(name)? =>
                {
                    tracing::warn!(
                        "the deletion of {name} was begun at {} and not completed; it is read all the same",
                        at.format("%Y-%m-%d %H:%M:%S UTC")
                    );
                }
                Standing::Noted(..) => worst = standing,
            }
        }
        Ok(worst)
    }
}

/// Gives signs of life until told to stop.
async fn renew(
    readers: Readers,
    token: String,
    every: Duration,
    beats: Arc<AtomicU64>,
    mut stopped: watch::Receiver<()>,
) {
    for n in 1.. {
        tokio::select! {
            // its sender is only ever dropped
            _ = stopped.changed() => return,
            () = tokio::time::sleep(every) => {}
        }
        match readers.beat(&token, n).await {
            Ok(()) => beats.store(n, Ordering::Release),
            // the next one may succeed
            Err(error) => tracing::info!("a reader's sign of life failed: {error}"),
        }
    }
}
