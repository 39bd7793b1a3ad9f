//! Objects that arrive in any order are handed on in the order of their indices, file by file: by
//! whichever thread brought the next one, never by two for one file.

use crate::locked::Locked;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use super::whole::Coverage;

/// What waits for its turn, by file (a number) and index.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    /// `None` after [`Self::give_up`].
    files: Mutex<Option<HashMap<usize, File<T>>>>,
}

#[derive(Debug)]
struct File<T> {
    next: u64,
    ready: BTreeMap<u64, T>,
    /// `None` while a thread hands on.
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

    /// Drops what waits and whatever is brought from now on: after a failure its turn never comes, and
    /// it holds memory that others wait for.
    pub(super) fn give_up(&self) {
        drop(self.lock().take());
    }

    /// Brings object `index` of a file that has `count`, and hands on all whose turn has come. After
    /// an error of `hand_on` the caller gives up.
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
