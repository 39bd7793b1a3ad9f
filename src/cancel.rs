//! Cancellation of a job.
//!
//! A [`Cancel`] is passed to a job with its options. A clone of it can end the job from another
//! thread, from an async task or from a thread that handles signals. Each kind of wait of a job has
//! its own form: [`Cancel::check`] between two steps, [`Cancel::wait`] for a thread that sleeps,
//! [`Cancel::event`] for a thread that waits for a file descriptor, [`Cancel::cancelled`] for an
//! async task.

use crate::locked::{Locked, Waited};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Ends a job early. Clones share one state; a cancelled one stays cancelled.
///
/// # Example
/// ```
/// use lsnap::Cancel;
///
/// let cancel = Cancel::new();
/// let of_the_job = cancel.clone();
/// let job = std::thread::spawn(move || while !of_the_job.wait(std::time::Duration::from_secs(60)) {});
/// cancel.cancel();
/// job.join().expect("the job ends within its sleep");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    /// The children, which are cancelled together with this one. Its lock is also used to wait on
    /// [`Shared::changed`].
    children: Mutex<Vec<Weak<Self>>>,
    changed: Condvar,
    tasks: Notify,
    event: OnceLock<OwnedFd>,
    /// Kept alive, so that cancelling a parent also cancels this one.
    parents: Mutex<Vec<Arc<Self>>>,
}

impl Cancel {
    /// Creates one that isn't cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a child, which is cancelled with this one, and can also be cancelled separately, for
    /// a part of a job that ends the other parts.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        child.follow(self);
        child
    }

    /// Cancels this one together with `parent`, from now on.
    pub(crate) fn follow(&self, parent: &Self) {
        self.0.parents.locked().push(Arc::clone(&parent.0));
        parent.adopt(self);
    }

    fn adopt(&self, child: &Self) {
        let mut children = self.0.children.locked();
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child.0));
        drop(children);
        if self.is_cancelled() {
            child.cancel();
        }
    }

    /// Ends the job. The job returns [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted)
    /// after it has cleaned up. Can be called several times.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Returns whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Fails if the job was cancelled; called between two steps of a job.
    ///
    /// # Errors
    /// [`Cancelled`] after the call of [`cancel`](Self::cancel).
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// Sleeps for `time`, or until it is cancelled; returns whether it is cancelled.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut guard = self.0.children.locked();
        loop {
            let now = Instant::now();
            if self.is_cancelled() || now >= until {
                return self.is_cancelled();
            }
            guard = self.0.changed.waited_for(guard, until - now);
        }
    }

    /// Returns a file descriptor that becomes readable when it is cancelled, for `poll(2)` together
    /// with others. It must not be read from.
    ///
    /// # Errors
    /// The process has reached its limit of open files.
    pub fn event(&self) -> io::Result<BorrowedFd<'_>> {
        if self.0.event.get().is_none() {
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            // If another thread was first, its descriptor is used; both are equivalent.
            let _ = self.0.event.set(event);
            // `cancel` may have run before the descriptor existed.
            if self.is_cancelled() {
                self.0.signal();
            }
        }
        let event = self.0.event.get();
        let event = event.ok_or_else(|| io::Error::other("no event was made"))?;
        Ok(event.as_fd())
    }

    /// Waits in an async task until it is cancelled.
    pub async fn cancelled(&self) {
        let mut told = std::pin::pin!(self.0.tasks.notified());
        loop {
            // From here on, no call of `cancel` is missed.
            told.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            told.as_mut().await;
            told.set(self.0.tasks.notified());
        }
    }
}

impl Shared {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        // The lock is taken after the flag is set, so a waiter has either seen the flag or is
        // woken.
        let children = std::mem::take(&mut *self.children.locked());
        self.changed.notify_all();
        self.tasks.notify_waiters();
        self.signal();
        for child in children.iter().filter_map(Weak::upgrade) {
            child.cancel();
        }
    }

    fn signal(&self) {
        if let Some(event) = self.event.get() {
            // This can't fail: the counter has room for 2^64 calls.
            let _ = rustix::io::write(event, &1u64.to_ne_bytes());
        }
    }
}

/// The error of a job that was cancelled by its [`Cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    const LONG: Duration = Duration::from_secs(600);

    fn readable(cancel: &Cancel) -> bool {
        let fd = cancel.event().unwrap();
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap() == 1
    }

    #[test]
    fn every_form_of_waiting_ends() {
        let cancel = Cancel::new();
        assert!(cancel.check().is_ok() && !readable(&cancel));
        assert!(!cancel.wait(Duration::from_millis(1)));
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| cancel.wait(LONG));
            let poller = scope.spawn(|| {
                let fd = cancel.event().unwrap();
                poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap()
            });
            let task = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                runtime.unwrap().block_on(cancel.cancelled());
            });
            cancel.cancel();
            assert!(sleeper.join().unwrap());
            assert_eq!(poller.join().unwrap(), 1);
            task.join().unwrap();
        });
        assert_eq!(cancel.check(), Err(Cancelled));
    }

    #[test]
    fn a_wait_after_the_cancellation_ends_at_once() {
        let cancel = Cancel::new();
        cancel.clone().cancel();
        cancel.cancel();
        assert!(cancel.wait(LONG) && readable(&cancel));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(cancel.cancelled());
        assert!(cancel.child().is_cancelled(), "also its children");
    }

    #[test]
    fn a_child_is_cancelled_with_its_parent_but_not_the_reverse() {
        let parent = Cancel::new();
        let alone = parent.child();
        alone.cancel();
        assert!(!parent.is_cancelled());
        // No other reference to the middle one exists.
        let (child, grandchild) = (parent.child(), parent.child().child());
        parent.cancel();
        assert!(child.is_cancelled() && grandchild.is_cancelled());
    }
}
