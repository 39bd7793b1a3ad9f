//! A limit on the bytes that transfers hold in memory.

use crate::locked::{Locked, Waited};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(super) use crate::store::each_in_parallel;

/// A number of bytes of which parts can be reserved. Clones share it.
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

/// A reserved part of a budget. It is released on drop.
#[derive(Debug)]
pub(super) struct Reservation {
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

    /// Waits until `bytes` are free and reserves them. More than the whole budget counts as the
    /// whole budget.
    pub(super) fn reserve(&self, bytes: u64) -> Reservation {
        let bytes = bytes.min(self.shared.max);
        let mut used = self
            .shared
            .changed
            .waited_while(self.lock(), |used| *used + bytes > self.shared.max);
        *used += bytes;
        Reservation {
            bytes,
            of: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.shared.used.locked()
    }
}

impl Drop for Reservation {
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
            let reservation = budget.reserve(want);
            assert!(out.fetch_add(want, Ordering::SeqCst) + want <= 100);
            std::thread::yield_now();
            out.fetch_sub(want, Ordering::SeqCst);
            drop(reservation);
        });
        // a request above the limit reserves the whole budget
        drop(budget.reserve(1000));
        assert_eq!(*budget.lock(), 0);
    }
}
