//! The store of the simulated races: keys, times and faults from a seed, and the check that the
//! chain isn't forked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::*;

use super::at;
use super::faults::failure;
use crate::manifest::document::MANIFEST;
use crate::manifest::{BackupName, split_object_name};

/// The generator `xorshift64*`.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Counts of the events in races.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub finished: u64,
    pub deletions: u64,
    /// Refused because another process holds the lease.
    pub held: u64,
    /// Refused because the base is no longer the newest.
    pub moved: u64,
    /// Stopped because a later record appeared.
    pub lost: u64,
    /// Manifests that found a void.
    pub voided: u64,
    pub busy: u64,
    pub failed: u64,
    pub pauses: u64,
    pub kills: u64,
    pub lost_answers: u64,
    pub lost_requests: u64,
    /// Listings that were incomplete.
    pub lagging: u64,
    pub requests: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.finished += other.finished;
        self.deletions += other.deletions;
        self.held += other.held;
        self.moved += other.moved;
        self.lost += other.lost;
        self.voided += other.voided;
        self.busy += other.busy;
        self.failed += other.failed;
        self.pauses += other.pauses;
        self.kills += other.kills;
        self.lost_answers += other.lost_answers;
        self.lost_requests += other.lost_requests;
        self.lagging += other.lagging;
        self.requests += other.requests;
    }
}

/// The state of one race.
#[derive(Debug)]
pub struct World {
    objects: BTreeMap<Path, (Bytes, u64)>,
    /// Milliseconds of the store's clock.
    pub now: u64,
    pub rng: Rng,
    pub counts: Counts,
    /// Finished members and their bases, as in the manifests.
    chain: BTreeMap<BackupName, Option<BackupName>>,
    number: i64,
    /// The first violation.
    pub broken: Option<String>,
    /// Faults are disabled.
    pub calm: bool,
    /// A protocol that is broken on purpose: voids are not stored.
    pub lose_voids: bool,
    /// A protocol that is broken on purpose: manifests replace voids.
    pub overwrite: bool,
}

impl World {
    pub fn new(seed: u64, root: &BackupName) -> Self {
        let mut world = Self {
            objects: BTreeMap::new(),
            now: 1000,
            rng: Rng::new(seed + 1),
            counts: Counts::default(),
            chain: BTreeMap::new(),
            number: 0,
            broken: None,
            calm: false,
            lose_voids: false,
            overwrite: false,
        };
        let key = Path::parse(format!("{root}/{MANIFEST}.{:020}", 0)).unwrap();
        let body = Bytes::from(format!("{root}\n\n{}", "x".repeat(3000)));
        world.chain.insert(root.clone(), None);
        world.objects.insert(key, (body, 0));
        world
    }

    pub fn pass_time(&mut self) {
        self.now += match self.rng.below(50) {
            0 => self.rng.below(20_000),
            _ => self.rng.below(100),
        };
    }

    pub fn finished(&self) -> impl Iterator<Item = (BackupName, Option<BackupName>)> {
        self.chain.iter().map(|(n, b)| (n.clone(), b.clone()))
    }

    pub fn next_number(&mut self) -> i64 {
        self.number += 1;
        self.number
    }

    fn time(&self, of: u64) -> DateTime<Utc> {
        at(0) + TimeDelta::milliseconds(i64::try_from(of).unwrap())
    }

    fn fault(&mut self, one_in: u64) -> bool {
        !self.calm && self.rng.one_in(one_in)
    }

    fn put(&mut self, location: &Path, body: Bytes) -> Result<()> {
        let register = manifest_of(location);
        let void = register.is_some() && !body.ends_with(b"xxx");
        if self.objects.contains_key(location) && !(register.is_some() && !void && self.overwrite) {
            return Err(Error::AlreadyExists {
                path: location.to_string(),
                source: "it is there".into(),
            });
        }
        if void && self.lose_voids {
            return Ok(());
        }
        if let (Some(name), false) = (register, void) {
            self.check_new(&name, &body);
        }
        self.objects.insert(location.clone(), (body, self.now));
        Ok(())
    }

    fn check_new(&mut self, name: &BackupName, body: &[u8]) {
        let base = std::str::from_utf8(body).unwrap().lines().nth(1).unwrap();
        let base = BackupName::parse(base).unwrap();
        if let Some((other, _)) = self.chain.iter().find(|(_, b)| b.as_ref() == Some(&base)) {
            let fork = format!("{other} and {name} both have the base {base}");
            self.broken.get_or_insert(fork);
        }
        if !self.chain.contains_key(&base) {
            let lost = format!("{name} has the base {base}, which is missing");
            self.broken.get_or_insert(lost);
        }
        self.chain.insert(name.clone(), Some(base));
    }

    fn remove(&mut self, location: &Path) {
        self.objects.remove(location);
        if let Some(name) = manifest_of(location) {
            if let Some((other, _)) = self.chain.iter().find(|(_, b)| b.as_ref() == Some(&name)) {
                let lost = format!("{other} has the base {name}, which was deleted");
                self.broken.get_or_insert(lost);
            }
            self.chain.remove(&name);
        }
    }
}

fn manifest_of(location: &Path) -> Option<BackupName> {
    let (name, object) = location.as_ref().rsplit_once('/')?;
    let (path, _) = split_object_name(object)?;
    (path == MANIFEST).then(|| BackupName::parse(name).unwrap())
}

/// The connection of one process to the store.
#[derive(Debug)]
pub struct SimStore {
    world: Arc<Mutex<World>>,
    who: usize,
}

impl SimStore {
    pub fn new(world: Arc<Mutex<World>>, who: usize) -> Self {
        Self { world, who }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Makes one request: other processes run before it is executed, and before its response
    /// arrives.
    async fn request<T>(&self, what: impl FnOnce(&mut World) -> T) -> T {
        turn().await;
        let done = {
            let mut world = self.world();
            world.counts.requests += 1;
            what(&mut world)
        };
        turn().await;
        done
    }
}

/// Yields to the scheduler.
async fn turn() {
    let mut asked = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut asked, true) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStore of {}", self.who)
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        assert!(matches!(opts.mode, PutMode::Create));
        let body: BytesMut = payload.iter().flatten().copied().collect();
        self.request(|world| {
            if world.fault(60) {
                world.counts.lost_requests += 1;
                return Err(failure("the request was lost"));
            }
            let done = world.put(location, body.freeze());
            if world.fault(20) {
                world.counts.lost_answers += 1;
                return Err(failure("the answer was lost"));
            }
            done.map(|()| PutResult {
                e_tag: None,
                version: None,
                extensions: Default::default(),
            })
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!()
    }

    async fn get_opts(&self, location: &Path, _: GetOptions) -> Result<GetResult> {
        let found = self.request(|world| {
            if world.fault(200) {
                return Err(failure("the answer was lost"));
            }
            let found = world.objects.get(location).cloned();
            Ok(found.map(|(body, time)| (body, world.time(time))))
        });
        let Some((body, time)) = found.await? else {
            return Err(Error::NotFound {
                path: location.to_string(),
                source: "nothing".into(),
            });
        };
        let size = body.len() as u64;
        Ok(GetResult {
            payload: GetResultPayload::Stream(futures::stream::iter([Ok(body)]).boxed()),
            meta: ObjectMeta {
                location: location.clone(),
                last_modified: time,
                size,
                e_tag: None,
                version: None,
            },
            range: 0..size,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = Self::new(Arc::clone(&self.world), self.who);
        let one = move |location: Result<Path>| {
            let store = Self::new(Arc::clone(&store.world), store.who);
            async move {
                let location = location?;
                store.request(|world| world.remove(&location)).await;
                Ok(location)
            }
        };
        locations.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = Self::new(Arc::clone(&self.world), self.who);
        let prefix = format!("{}/", prefix.unwrap());
        let listed = async move {
            let found = store.request(|world| {
                let lag = if world.fault(8) {
                    world.rng.below(100_000)
                } else {
                    0
                };
                world.counts.lagging += u64::from(lag > 0);
                let seen = |at: u64| at.saturating_add(lag) <= world.now;
                let found = world
                    .objects
                    .iter()
                    .filter(|(key, (_, at))| key.as_ref().starts_with(&prefix) && seen(*at));
                let meta = |(key, (body, at)): (&Path, &(Bytes, u64))| ObjectMeta {
                    location: key.clone(),
                    last_modified: world.time(*at),
                    size: body.len() as u64,
                    e_tag: None,
                    version: None,
                };
                found.map(|o| Ok(meta(o))).collect::<Vec<_>>()
            });
            futures::stream::iter(found.await)
        };
        futures::stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unreachable!()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!()
    }
}
