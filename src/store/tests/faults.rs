//! A store with injected faults, around any other store.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use async_trait_free::Boxed;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::*;

/// The boxed futures of `ObjectStore`'s methods, written out, because the macro that generates them
/// is not a dependency.
mod async_trait_free {
    pub type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
}

/// The faults to inject.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    /// Fail puts of keys that contain this, and store nothing.
    pub refuse_put: Option<String>,
    /// Store the object, then report a failure: a lost response.
    pub lose_answer: Option<String>,
    /// Report success, but store nothing.
    pub lose_object: Option<String>,
    /// Block only puts of keys that contain this.
    pub hold: Option<String>,
    /// Panic in the put.
    pub panic_put: Option<String>,
    /// Flip a bit in the bytes read from keys that contain this.
    pub flip: Option<String>,
    /// Fail to delete keys that contain this.
    pub keep: Option<String>,
    /// Fail the N-th put (from 0).
    pub nth_put: Option<usize>,
    /// Fail the N-th call (from 0) that reads, writes, copies or lists; deletes succeed.
    pub nth_call: Option<usize>,
    /// Deny reads and puts of keys that contain this.
    pub deny: Option<String>,
    /// Don't support copies within the store.
    pub no_copy: bool,
    /// Fail listings after this many objects.
    pub cut_listing: Option<usize>,
}

#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    pub faults: Mutex<Faults>,
    pub puts: AtomicUsize,
    pub calls: AtomicUsize,
    barrier: PutBarrier,
}

/// Blocks puts of data until it is opened, and counts the blocked ones.
#[derive(Debug, Default)]
struct PutBarrier {
    state: Mutex<(bool, usize, usize)>,
    changed: Condvar,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            faults: Mutex::default(),
            puts: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            barrier: PutBarrier::default(),
        })
    }

    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.faults.lock().unwrap());
    }

    /// Blocks every put that begins from now on.
    pub fn close(&self) {
        self.barrier.state.lock().unwrap().0 = true;
    }

    pub fn open(&self) {
        self.barrier.state.lock().unwrap().0 = false;
        self.barrier.changed.notify_all();
    }

    /// Waits until `count` puts are blocked.
    pub fn wait_for_held(&self, count: usize) {
        let state = self.barrier.state.lock().unwrap();
        drop(
            self.barrier
                .changed
                .wait_while(state, |s| s.1 < count)
                .unwrap(),
        );
    }

    /// Returns the highest number of concurrent puts.
    pub fn most(&self) -> usize {
        self.barrier.state.lock().unwrap().2
    }

    fn hits(&self, which: impl Fn(&Faults) -> &Option<String>, key: &Path) -> bool {
        let faults = self.faults.lock().unwrap();
        which(&faults)
            .as_ref()
            .is_some_and(|part| key.as_ref().contains(part))
    }

    fn call(&self) -> Result<()> {
        let nth = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.faults.lock().unwrap().nth_call == Some(nth) {
            return Err(failure("injected: call failed"));
        }
        Ok(())
    }

    fn pass_barrier(&self) {
        let mut state = self.barrier.state.lock().unwrap();
        state.1 += 1;
        state.2 = state.2.max(state.1);
        self.barrier.changed.notify_all();
        state = self.barrier.changed.wait_while(state, |s| s.0).unwrap();
        state.1 -= 1;
    }
}

fn denied() -> Error {
    let fault = crate::store::backend::fault::Fault {
        kind: crate::store::backend::fault::Kind::Denied,
        what: "injected: access denied".to_owned(),
    };
    fault.into_error()
}

pub fn failure(what: &str) -> Error {
    Error::Generic {
        store: "Faulty",
        source: what.to_owned().into(),
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

impl ObjectStore for Faulty {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Boxed<'c, Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            assert!(
                matches!(opts.mode, PutMode::Create),
                "only Create never overwrites"
            );
            if self.hits(|f| &f.deny, location) {
                return Err(denied());
            }
            self.call()?;
            let nth = self.puts.fetch_add(1, Ordering::SeqCst);
            if self.faults.lock().unwrap().hold.is_none() || self.hits(|f| &f.hold, location) {
                tokio::task::block_in_place(|| self.pass_barrier());
            }
            if self.hits(|f| &f.panic_put, location) {
                panic!("told to");
            }
            if self.hits(|f| &f.refuse_put, location)
                || self.faults.lock().unwrap().nth_put == Some(nth)
            {
                return Err(failure("injected: put refused"));
            }
            if self.hits(|f| &f.lose_object, location) {
                return Ok(PutResult {
                    e_tag: None,
                    version: None,
                    extensions: Default::default(),
                });
            }
            let result = self.inner.put_opts(location, payload, opts).await?;
            if self.hits(|f| &f.lose_answer, location) {
                return Err(failure("the response was lost"));
            }
            Ok(result)
        })
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        opts: PutMultipartOptions,
    ) -> Boxed<'c, Result<Box<dyn MultipartUpload>>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.inner.put_multipart_opts(location, opts)
    }

    fn get_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        options: GetOptions,
    ) -> Boxed<'c, Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            if self.hits(|f| &f.deny, location) {
                return Err(denied());
            }
            self.call()?;
            let mut result = self.inner.get_opts(location, options).await?;
            if self.hits(|f| &f.flip, location) {
                let (meta, range) = (result.meta.clone(), result.range.clone());
                let mut bytes = result.bytes().await?.to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 4;
                let stream = futures::stream::iter([Ok(Bytes::from(bytes))]).boxed();
                result = GetResult {
                    payload: GetResultPayload::Stream(stream),
                    meta,
                    range,
                    attributes: Default::default(),
                    extensions: Default::default(),
                };
            }
            Ok(result)
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let keep = self.faults.lock().unwrap().keep.clone();
        let inner = Arc::clone(&self.inner);
        let one = move |location: Result<Path>| {
            let (keep, inner) = (keep.clone(), Arc::clone(&inner));
            async move {
                let location = location?;
                if keep.is_some_and(|part| location.as_ref().contains(&part)) {
                    return Err(failure("injected: not removed"));
                }
                inner.delete(&location).await?;
                Ok(location)
            }
        };
        locations.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.call() {
            return futures::stream::iter([Err(error)]).boxed();
        }
        let listing = self.inner.list(prefix);
        match self.faults.lock().unwrap().cut_listing {
            None => listing,
            Some(count) => {
                let end = futures::stream::iter([Err(failure("the listing broke off"))]);
                listing.take(count).chain(end).boxed()
            }
        }
    }

    fn list_with_delimiter<'a, 'b, 'c>(
        &'a self,
        prefix: Option<&'b Path>,
    ) -> Boxed<'c, Result<ListResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'a, 'b, 'd, 'c>(
        &'a self,
        from: &'b Path,
        to: &'d Path,
        options: CopyOptions,
    ) -> Boxed<'c, Result<()>>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            self.call()?;
            if self.faults.lock().unwrap().no_copy {
                let source = "injected: not supported".into();
                return Err(Error::NotSupported { source });
            }
            self.inner.copy_opts(from, to, options).await
        })
    }
}
