//! A store that fails permanently at its N-th request, like a store after the process was killed.
//! After [`Breaking::repair`], its clock is an hour ahead, so that leases have expired.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chrono::TimeDelta;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::*;

use super::faults::failure;

type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[derive(Debug)]
pub struct Breaking {
    inner: Arc<dyn ObjectStore>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// Number of requests that still succeed.
    left: AtomicUsize,
    /// Whether the failing request is executed and only its response lost.
    done: AtomicBool,
    /// Hours that have passed by the store's clock.
    hours: AtomicUsize,
    /// Number of requests so far.
    requests: AtomicUsize,
}

impl State {
    /// Returns whether to execute the next request, and whether to send its response.
    fn next(&self) -> (bool, bool) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match left {
            Err(_) => (false, false),
            Ok(1) => (self.done.load(Ordering::SeqCst), false),
            Ok(_) => (true, true),
        }
    }
}

impl Breaking {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        let state = State {
            left: AtomicUsize::new(usize::MAX),
            done: AtomicBool::new(false),
            hours: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        };
        Arc::new(Self {
            inner,
            state: Arc::new(state),
        })
    }

    /// Makes the `n`-th request from now on fail, counted from 1. `done`: that request is executed.
    pub fn break_at(&self, n: usize, done: bool) {
        self.state.done.store(done, Ordering::SeqCst);
        self.state.left.store(n, Ordering::SeqCst);
    }

    pub fn repair(&self) {
        self.state.hours.fetch_add(1, Ordering::SeqCst);
        self.state.left.store(usize::MAX, Ordering::SeqCst);
    }

    /// Returns the number of requests.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Returns whether a request has failed.
    pub fn broke(&self) -> bool {
        self.state.left.load(Ordering::SeqCst) == 0
    }
}

impl fmt::Display for Breaking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Breaking({})", self.inner)
    }
}

impl ObjectStore for Breaking {
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
            let (act, answer) = self.state.next();
            if act {
                let result = self.inner.put_opts(location, payload, opts).await;
                if answer {
                    return result;
                }
            }
            Err(failure("it broke"))
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
            match self.state.next() {
                (_, true) => {
                    let mut got = self.inner.get_opts(location, options).await?;
                    // lsnap reads the store's time from such an object
                    let asks = |n: &str| n.starts_with("clock.") || n.ends_with(".reader");
                    if location.filename().is_some_and(asks) {
                        let hours = self.state.hours.load(Ordering::SeqCst);
                        got.meta.last_modified += TimeDelta::hours(i64::try_from(hours).unwrap());
                    }
                    Ok(got)
                }
                _ => Err(failure("it broke")),
            }
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, state) = (Arc::clone(&self.inner), Arc::clone(&self.state));
        let one = move |location: Result<Path>| {
            let (inner, state) = (Arc::clone(&inner), Arc::clone(&state));
            async move {
                let location = location?;
                let (act, answer) = state.next();
                if act {
                    inner.delete(&location).await?;
                }
                if answer {
                    Ok(location)
                } else {
                    Err(failure("it broke"))
                }
            }
        };
        locations.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.state.next() {
            (_, true) => self.inner.list(prefix),
            _ => futures::stream::iter([Err(failure("it broke"))]).boxed(),
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
        Box::pin(async move {
            match self.state.next() {
                (_, true) => self.inner.list_with_delimiter(prefix).await,
                _ => Err(failure("it broke")),
            }
        })
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
        self.inner.copy_opts(from, to, options)
    }
}
