//! How files end, and how an extraction does: what is not whole is removed, the rest reaches the disk.

use super::entry::Whole;
use super::error::ArchiveError;
use super::options::ExtractReport;
use super::shared::{File, Shared};
use super::unsynced::Unsynced;
use crate::locked::Waited;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

impl Shared {
    /// A file is whole.
    pub(super) fn finished(&self, path: &str, name: &str, whole: Whole) {
        let mut state = self.lock();
        state.open.remove(path);
        state.whole.insert(name.to_owned());
        state.report.files += 1;
        state.report.bytes += whole.bytes;
        drop(state);
        let path = self.root.shown(name);
        self.syncing.hand_over(Unsynced::file(whole.file, path));
    }

    /// Waits until all that was written, and every name that was given to it, is on the disk.
    fn reach_the_disk(&self) -> Result<(), ArchiveError> {
        for name in self.root.take_changed() {
            if self.has_failed() {
                break;
            }
            let directory = self.root.directory(&name)?;
            let path = self.root.shown(&name);
            self.syncing.hand_over(Unsynced::directory(directory, path));
        }
        let synced = self.syncing.finish();
        synced.map_err(|_| ArchiveError::Panicked("syncs files"))
    }

    /// Waits for the threads of single files, removes what is not whole, and has the rest reach the disk.
    pub(super) fn finish(&self) -> Result<ExtractReport, ArchiveError> {
        let mut state = self.lock();
        for file in state.open.values_mut() {
            if let File::Unwrapped { sender, .. } = file {
                *sender = None;
            }
        }
        let mut state = self.changed.waited_while(state, |state| state.threads > 0);
        let open = std::mem::take(&mut state.open);
        let mut report = state.report.clone();
        let unseen = std::mem::take(&mut state.unseen);
        drop(state);
        report.chunks = self.chunks.load(Ordering::Relaxed);
        report.ignored_chunks = self.ignored.load(Ordering::Relaxed);
        let incomplete = self.remove(open);
        if incomplete.is_none()
            && let Err(error) = self.reach_the_disk()
        {
            self.fail(error);
        }
        let failure = self.lock().failure.take();
        // What it ended is no failure of its own; and whoever found it did not go on to the end.
        let failure = match (failure, self.options.cancel.check()) {
            (None | Some(ArchiveError::Stopped), Err(cancelled)) => Some(cancelled.into()),
            (failure, _) => failure,
        };
        let not_there = || ArchiveError::not_there(unseen);
        match failure.or(incomplete).or_else(not_there) {
            Some(error) => Err(error),
            None => Ok(report),
        }
    }

    /// Removes files that we made and that are not whole; says why they are not.
    fn remove(&self, open: HashMap<String, File>) -> Option<ArchiveError> {
        let count = open.len();
        let first = open.keys().min().cloned()?;
        let mut reason = None;
        for (path, file) in open {
            let name = match file {
                File::Placed(entry) => {
                    if let Some(what) = entry.missing() {
                        reason = Some(ArchiveError::File {
                            path: path.clone(),
                            what,
                        });
                    }
                    entry.is_made().then_some(path)
                }
                File::Unwrapped { made, .. } => made,
            };
            if let Some(name) = name
                && let Err(error) = self.root.remove(&name)
            {
                tracing::error!("{error}");
            }
        }
        reason.or(Some(ArchiveError::Incomplete { count, first }))
    }
}
