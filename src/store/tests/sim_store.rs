//! A store whose clock is simulated, that can be unavailable, and that loses responses.

use super::faults::failure;
use crate::manifest::{Manifest, Summary, document};
use crate::store::Upload;
use crate::store::backend::decorated::decorate;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::*;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A time that a test sets, in milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimTime(Arc<AtomicI64>);

impl SimTime {
    pub(crate) fn at(time: DateTime<Utc>) -> Self {
        let at = Self::default();
        at.set(time);
        at
    }

    pub(crate) fn set(&self, time: DateTime<Utc>) {
        self.0.store(time.timestamp_millis(), Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

#[derive(Debug)]
pub(crate) struct SimStore {
    inner: InMemory,
    pub(crate) time: SimTime,
    shared: Arc<Shared>,
    /// Every request fails.
    pub(crate) down: AtomicBool,
    /// One of this many puts of a slot loses its response; 0: none.
    pub(crate) lose: AtomicU64,
    state: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    times: Mutex<HashMap<Path, DateTime<Utc>>>,
    /// The objects of slots in the order of their puts.
    log: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Shared {
    fn stamp(&self, mut meta: ObjectMeta) -> ObjectMeta {
        if let Some(time) = self.times.lock().unwrap().get(&meta.location) {
            meta.last_modified = *time;
        }
        meta
    }
}

impl SimStore {
    pub(crate) fn new(time: SimTime, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: InMemory::new(),
            time,
            shared: Arc::default(),
            down: AtomicBool::new(false),
            lose: AtomicU64::new(0),
            state: AtomicU64::new(seed | 1),
        })
    }

    /// Returns the objects of slots that were put so far, without heartbeats.
    pub(crate) fn log(&self) -> Vec<(String, Vec<u8>)> {
        self.shared.log.lock().unwrap().clone()
    }

    fn check(&self) -> Result<()> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(failure("it is down")),
            false => Ok(()),
        }
    }

    fn loses(&self) -> bool {
        let one_of = self.lose.load(Ordering::SeqCst);
        if one_of == 0 {
            return false;
        }
        let mut x = self.state.load(Ordering::SeqCst);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.state.store(x, Ordering::SeqCst);
        x.is_multiple_of(one_of)
    }
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStore")
    }
}

decorate! {
    impl [] for SimStore, around inner [put_multipart_opts list_with_offset copy_opts rename_opts] {
        async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
            self.check()?;
            let slot = location.as_ref().starts_with(".lsnap/slots/");
            let of_slots = slot && !location.as_ref().contains(".beat.") && !location.as_ref().contains("/clock.");
            let body = of_slots.then(|| payload.clone().into_iter().flatten().collect::<Vec<u8>>());
            let put = self.inner.put_opts(location, payload, opts).await?;
            let now = self.time.now();
            self.shared.times.lock().unwrap().insert(location.clone(), now);
            if let Some(body) = body {
                self.shared.log.lock().unwrap().push((location.to_string(), body));
            }
            let decisive = slot || location.as_ref().contains("lsnap_manifest.json");
            if decisive && self.loses() {
                return Err(failure("the response was lost"));
            }
            Ok(put)
        }

        async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
            self.check()?;
            let mut got = self.inner.get_opts(location, options).await?;
            got.meta = self.shared.stamp(got.meta);
            Ok(got)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            if let Err(error) = self.check() {
                return futures::stream::once(async { Err(error) }).boxed();
            }
            let shared = Arc::clone(&self.shared);
            self.inner.list(prefix).map_ok(move |meta| shared.stamp(meta)).boxed()
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.check()?;
            let mut found = self.inner.list_with_delimiter(prefix).await?;
            found.objects = found.objects.into_iter().map(|meta| self.shared.stamp(meta)).collect();
            Ok(found)
        }

        fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
            match self.check() {
                Ok(()) => self.inner.delete_stream(locations),
                Err(error) => futures::stream::once(async { Err(error) }).boxed(),
            }
        }
    }
}

/// Puts the manifest, as the finish of an upload does after [`commit_only`].
pub(crate) fn finish_committed(
    upload: &Upload,
    manifest: &Manifest,
) -> std::result::Result<(), crate::store::StoreError> {
    let sealed = document::seal(&manifest.name, document::MANIFEST, manifest)?;
    let summary = Summary::of(manifest, sealed.digest.clone(), sealed.len());
    let summary = document::seal(&manifest.name, document::SUMMARY, &summary)?;
    upload
        .inner
        .put_document(document::SUMMARY, summary.parts)?;
    upload.inner.put_manifest(sealed.parts)
}

/// Enters the slot of an upload as its finish does, and stops before the manifest.
pub(crate) fn commit_only(upload: &Upload) -> std::result::Result<(), crate::store::StoreError> {
    upload.inner.commit_slot()
}
