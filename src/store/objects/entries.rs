//! Lists the objects under a directory, key by key.

use crate::store::backend::bounded_list::Repeats;
use crate::store::error::StoreError;
use crate::store::objects::key;
use crate::store::objects::own::Belongs;
use crate::store::objects::repository::Repository;
use chrono::{DateTime, Utc};
use futures::{SinkExt, StreamExt};
use object_store::path::Path;
use std::sync::Arc;

/// Number of keys that a listing may be ahead of its reader.
const LISTED_AHEAD: usize = 1024;

impl Repository {
    /// Calls `each` with the key after `<directory>/` and the length of every object below it,
    /// until it returns `false`.
    pub(in crate::store) fn each_object(
        &self,
        directory: &str,
        mut each: impl FnMut(&str, u64) -> bool,
    ) -> Result<(), StoreError> {
        self.each_entry(directory, |rest, size, _| each(rest, size))
    }

    /// As [`Self::each_object`], with the store's time of the object too. Directory markers are
    /// skipped ([`Belongs::DirectoryMarker`]).
    pub(in crate::store) fn each_entry(
        &self,
        directory: &str,
        mut each: impl FnMut(&str, u64, DateTime<Utc>) -> bool,
    ) -> Result<(), StoreError> {
        self.each_key(directory, |rest, size, time| {
            Belongs::is_directory_marker(rest, size) || each(rest, size, time)
        })
    }

    /// As [`Self::each_entry`], for every key.
    pub(in crate::store) fn each_key(
        &self,
        directory: &str,
        mut each: impl FnMut(&str, u64, DateTime<Utc>) -> bool,
    ) -> Result<(), StoreError> {
        self.check_format()?;
        let prefix = key::prefix(directory)?;
        let start = format!("{prefix}/");
        let store = Arc::clone(self.store()?);
        let (mut sender, receiver) = futures::channel::mpsc::channel(LISTED_AHEAD);
        self.runtime().spawn(async move {
            let mut listing = store.list(Some(&prefix));
            let mut repeats = Repeats::default();
            while let Some(item) = listing.next().await {
                let item =
                    item.and_then(|m| repeats.next(&m.location).map(|()| m).map_err(Into::into));
                let step = Step::Item(item.map(|m| (m.location, m.size, m.last_modified)));
                // the reader has stopped
                if sender.send(step).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(Step::End).await;
        });
        for step in futures::executor::block_on_stream(receiver) {
            let (location, size, time) = match step {
                Step::Item(item) => item.map_err(|e| StoreError::backend("listing", &start, e))?,
                Step::End => return Ok(()),
            };
            let rest = location.as_ref().strip_prefix(&start);
            if let Some(rest) = rest
                && !each(rest, size, time)
            {
                return Ok(());
            }
        }
        Err(StoreError::TaskDied {
            what: format!("listing {start}"),
        })
    }

    /// Waits until the store responds. Does nothing for a directory.
    ///
    /// # Errors
    /// An error of the store.
    pub fn reach(&self) -> Result<(), StoreError> {
        if self.directory().is_some() {
            return Ok(());
        }
        self.each_object(".lsnap", |_, _| false)
    }
}

/// A message of the listing task. The end is a message of its own, because a task that died would
/// otherwise look like the end: a truncated listing would be a silent loss.
enum Step {
    Item(Result<(Path, u64, DateTime<Utc>), object_store::Error>),
    End,
}
