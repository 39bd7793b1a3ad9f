//! Locks that go on after a panic elsewhere.
//!
//! A thread that panics while it holds a lock ends the job by itself (its panic is handed on where it is joined);
//! what waits for the lock meanwhile must be able to tidy up. So poison is passed over, here and nowhere else.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Takes a lock, poisoned or not.
pub(crate) trait Locked<T: ?Sized> {
    /// Waits for the lock.
    fn locked(&self) -> MutexGuard<'_, T>;
    /// What it guarded, when nobody else can have it any more.
    fn unlocked(self) -> T
    where
        T: Sized;
}

impl<T: ?Sized> Locked<T> for Mutex<T> {
    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unlocked(self) -> T
    where
        T: Sized,
    {
        self.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a change, with a lock that may be poisoned.
pub(crate) trait Waited {
    /// Waits until somebody notifies.
    fn waited<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T>;
    /// The same, but no longer than `time`.
    fn waited_for<'a, T>(&self, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T>;
    /// Waits as long as `so_long` holds.
    fn waited_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        so_long: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T>;
}

impl Waited for Condvar {
    fn waited<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    fn waited_for<'a, T>(&self, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T> {
        self.wait_timeout(guard, time)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn waited_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        so_long: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        self.wait_while(guard, so_long)
            .unwrap_or_else(PoisonError::into_inner)
    }
}
