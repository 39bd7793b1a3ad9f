//! Syncs files to disk in the background while others are written.
//!
//! A sync waits for the disk, and the threads that write files must not wait: with many small files
//! each sync takes some milliseconds, with large ones the disk would be idle while the next file is
//! written. So complete files are passed to threads that only sync. At most [`QUEUE`] and
//! [`THREADS`] files are open for that.

use crate::locked::Locked;
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Number of concurrent syncs: the file system combines the syncs of small files into one commit.
const THREADS: usize = 8;
/// Number of files that wait for a sync.
pub(crate) const QUEUE: usize = 32;

/// Accepts files that are completely written.
pub(crate) struct Syncing<F> {
    sync: Arc<ToDisk<F>>,
    files: Mutex<Option<SyncSender<F>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Syncs a file to stable storage and stores its error, because no caller waits for the result.
type ToDisk<F> = dyn Fn(F) + Send + Sync;

impl<F: Send + 'static> Syncing<F> {
    /// Starts threads that call `sync` for each file passed to [`Self::hand_over`].
    pub(crate) fn start(sync: impl Fn(F) + Send + Sync + 'static) -> Self {
        let sync: Arc<ToDisk<F>> = Arc::new(sync);
        let (sender, receiver) = sync_channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let started = (0..THREADS).map(|number| {
            let (receiver, sync) = (Arc::clone(&receiver), Arc::clone(&sync));
            std::thread::Builder::new()
                .name(format!("sync-{number}"))
                .spawn(move || sync_all(&receiver, &*sync))
        });
        // If not all threads can be started, the started threads do the work, or else the caller of
        // `hand_over`.
        let threads = started.filter_map(Result::ok).collect();
        Self {
            sync,
            files: Mutex::new(Some(sender)),
            threads: Mutex::new(threads),
        }
    }

    /// Ensures that the file is synced before [`Self::finish`] returns; blocks while the queue is
    /// full.
    pub(crate) fn hand_over(&self, file: F) {
        let sender = lock(&self.files).clone();
        let left = match sender {
            Some(sender) => sender.send(file).err().map(|SendError(file)| file),
            None => Some(file),
        };
        // No thread is left to sync the file.
        if let Some(file) = left {
            (self.sync)(file);
        }
    }

    /// Returns when `sync` was called for every file.
    ///
    /// # Errors
    /// The panic of a sync; the number of synced files is then unknown.
    pub(crate) fn finish(&self) -> std::thread::Result<()> {
        drop(lock(&self.files).take());
        let threads = std::mem::take(&mut *lock(&self.threads));
        // Join all threads, also after one that panicked.
        let ends: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        ends.into_iter().collect()
    }
}

impl<F> std::fmt::Debug for Syncing<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Syncing").finish_non_exhaustive()
    }
}

fn sync_all<F>(files: &Mutex<Receiver<F>>, sync: &ToDisk<F>) {
    let next = || lock(files).recv().ok();
    while let Some(file) = next() {
        sync(file);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.locked()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn hand_over_does_not_wait_and_finish_does() {
        let (open, gate) = channel::<()>();
        let (gate, done) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&done);
        let syncing = Syncing::start(move |_: usize| {
            // Until the gate is dropped.
            let _ = lock(&gate).recv_timeout(Duration::from_secs(60));
            count.fetch_add(1, Ordering::SeqCst);
        });
        for file in 0..QUEUE {
            syncing.hand_over(file);
        }
        assert_eq!(done.load(Ordering::SeqCst), 0, "hand_over did not wait");
        drop(open);
        syncing.finish().unwrap();
        assert_eq!(done.load(Ordering::SeqCst), QUEUE);
        syncing.hand_over(0);
        assert_eq!(done.load(Ordering::SeqCst), QUEUE + 1, "done by hand");
    }

    #[test]
    fn a_sync_that_panics_fails_finish_and_does_not_stop_the_others() {
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        let syncing = Syncing::start(move |file: usize| {
            assert_ne!(file, 3);
            count.fetch_add(1, Ordering::SeqCst);
        });
        for file in 0..20 {
            syncing.hand_over(file);
        }
        assert!(syncing.finish().is_err());
        assert_eq!(done.load(Ordering::SeqCst), 19);
    }
}
