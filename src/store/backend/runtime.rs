//! The threads of the blocking interface.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc;

use crate::store::error::StoreError;

/// Number of threads that can block in file system calls and digests concurrently.
const BLOCKING_THREADS: usize = 64;

/// A tokio runtime that can be used and dropped on any thread, async ones included.
#[derive(Debug, Clone)]
pub(in crate::store) struct Runtime(Arc<Owned>);

/// A runtime that is shut down in the background. tokio panics if a runtime is dropped inside
/// another one, or by one of its own tasks, which hold a repository.
#[derive(Debug)]
struct Owned(Option<tokio::runtime::Runtime>);

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Runtime {
    pub fn new() -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("lsnap-store")
            .enable_all()
            .build()
            .map_err(|source| StoreError::Io {
                action: "starting threads for",
                path: "the store".to_owned(),
                source: Arc::new(source),
            })?;
        Ok(Self(Arc::new(Owned(Some(runtime)))))
    }

    /// Starts a task. If there is no runtime (only during drop), the future is dropped.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0.0 {
            runtime.spawn(future);
        }
    }

    /// Runs a future to its end. `block_on` isn't used, because it panics on a thread of another
    /// runtime.
    pub fn wait<T: Send + 'static>(
        &self,
        what: &str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.spawn(async move {
            let _ = sender.send(future.await);
        });
        receiver.recv().map_err(|_| StoreError::TaskDied {
            what: what.to_owned(),
        })
    }
}

/// Runs a computation on a blocking thread, because the runtime has few async threads.
pub(in crate::store) async fn compute<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StoreError::TaskDied {
            what: what.to_owned(),
        })
}
