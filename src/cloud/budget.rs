//! A bound on the bytes that are on their way.

use crate::locked::{Locked, Waited};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(super) use crate::store::each_in_parallel;

/// A bounded number of bytes. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: u64,
    used: Mutex<u64>,
    changed: Condvar,
}

/// A part of a budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    bytes: u64,
    of: Budget,
}

impl Budget {
    pub(super) fn new(max: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                max,
                used: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
    }

    /// Waits until `bytes`, at most the whole budget, are free.
    pub(super) fn take(&self, bytes: u64) -> Share {
        let bytes = bytes.min(self.shared.max);
        let mut used = self
            .shared
            .changed
            .waited_while(self.lock(), |used| *used + bytes > self.shared.max);
        *used += bytes;
        Share {
            bytes,
            of: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.shared.used.locked()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.of.lock() -= self.bytes;
        self.of.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn no_more_is_given_out_than_there_is() {
        let (budget, out) = (Budget::new(100), AtomicU64::new(0));
        each_in_parallel(0..2000u64, 8, |n| {
            let want = 1 + n * 37 % 100;
            let share = budget.take(want);
            assert!(out.fetch_add(want, Ordering::SeqCst) + want <= 100);
            std::thread::yield_now();
            out.fetch_sub(want, Ordering::SeqCst);
            drop(share);
        });
        // more than all of it is all of it
        drop(budget.take(1000));
        assert_eq!(*budget.lock(), 0);
    }
}
