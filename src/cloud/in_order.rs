//! Passes objects that arrive in any order on in the order of their indices, file by file. The
//! thread that brings the next object passes it on; two threads never do so for the same file.

use crate::locked::Locked;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use super::whole::Coverage;

/// The waiting objects, by file (a number) and index.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    /// `None` after [`Self::give_up`].
    files: Mutex<Option<HashMap<usize, File<T>>>>,
}

#[derive(Debug)]
struct File<T> {
    next: u64,
    ready: BTreeMap<u64, T>,
    /// `None` while a thread passes objects on.
    coverage: Option<Coverage>,
}

impl<T> InOrder<T> {
    pub(super) fn new() -> Self {
        Self {
            files: Mutex::new(Some(HashMap::new())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<usize, File<T>>>> {
        self.files.locked()
    }

    /// Drops the waiting objects and those that arrive from now on. After a failure they would
    /// never be passed on, and they hold memory that other threads wait for.
    pub(super) fn give_up(&self) {
        drop(self.lock().take());
    }

    /// Adds object `index` of a file with `count` objects, and passes on all objects that are next
    /// in order. If `hand_on` fails, the caller must call [`Self::give_up`].
    pub(super) fn bring<E>(
        &self,
        file: usize,
        (index, count): (u64, u64),
        object: T,
        mut hand_on: impl FnMut(T, u64, &mut Coverage) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut files = self.lock();
        let Some(open) = files.as_mut() else {
            return Ok(());
        };
        let entry = open.entry(file).or_insert_with(|| File {
            next: 0,
            ready: BTreeMap::new(),
            coverage: Some(Coverage::default()),
        });
        entry.ready.insert(index, object);
        let Some(mut coverage) = entry.coverage.take() else {
            return Ok(());
        };
        loop {
            let Some(open) = files.as_mut() else {
                return Ok(());
            };
            let Some(entry) = open.get_mut(&file) else {
                return Ok(());
            };
            let Some(object) = entry.ready.remove(&entry.next) else {
                if entry.next == count {
                    open.remove(&file);
                } else {
                    entry.coverage = Some(coverage);
                }
                return Ok(());
            };
            let at = entry.next;
            entry.next += 1;
            drop(files);
            hand_on(object, at, &mut coverage)?;
            files = self.lock();
        }
    }
}
