//! Locks that ignore poison.
//!
//! If a thread panics while it holds a lock, the job ends anyway, because the panic is propagated
//! where the thread is joined. The threads that wait for the lock must be able to clean up until
//! then. So poison is ignored, and only in this module.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Takes a lock, poisoned or not.
pub(crate) trait Locked<T: ?Sized> {
    /// Waits for the lock.
    fn locked(&self) -> MutexGuard<'_, T>;
    /// Returns the value, when no other thread can hold the lock any more.
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

/// Waits on a condition variable, with a lock that may be poisoned.
pub(crate) trait Waited {
    /// Waits for a notification.
    fn waited<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T>;
    /// Waits for a notification, at most `time`.
    fn waited_for<'a, T>(&self, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T>;
    /// Waits while `so_long` returns true.
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
