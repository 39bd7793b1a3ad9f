//! The end of files and of an extraction: incomplete files are removed, the others are synced.

use super::entry::Whole;
use super::error::{ArchiveError, io};
use super::options::ExtractReport;
use super::shared::{File, Shared};
use super::unsynced::Unsynced;
use crate::locked::Waited;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

impl Shared {
    /// Records that a file is complete, and passes it on to be synced.
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

    /// Waits until all files and the directories with their names are synced.
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

    /// Gives the last file its name, now that all others are on the disk.
    fn show_last(&self) -> Result<(), ArchiveError> {
        let Some(last) = &self.options.last else {
            return Ok(());
        };
        let written = self.options.written(last);
        let is_there = self.lock().whole.contains(&*written);
        if self.has_failed() || self.options.cancel.is_cancelled() || !is_there {
            return Ok(());
        }
        self.root.rename(&written, last, false)?;
        let root = self.root.directory("")?;
        root.sync_all().map_err(io("sync", &self.root.shown("")))
    }

    /// Waits for the threads of single files, removes incomplete files, and syncs the others.
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
            && let Err(error) = self.reach_the_disk().and_then(|()| self.show_last())
        {
            self.fail(error);
        }
        let failure = self.lock().failure.take();
        // After a cancellation, `Stopped` or no failure means that the job was cancelled.
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

    /// Removes the created incomplete files, and returns the reason.
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
                    entry.is_made().then(|| entry.name().to_owned())
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
