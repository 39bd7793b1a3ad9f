//! The destination of a chunk: the thread that has it writes it to its file, or it is passed to the thread that
//! unwraps its file.

use super::entry::Entry;
use super::error::ArchiveError;
use super::input::Found;
use super::shared::{File, Shared, Task};
use super::unwrapped::{self, Layers};
use crate::codec::suffixes;
use crate::xbstream::Unchecked;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

/// Maximum number of files that are unwrapped at the same time.
const UNWRAPPED_MAX: usize = 1024;

/// The destination of a chunk.
#[derive(Debug)]
pub(super) enum Destination {
    /// The thread that has the chunk writes it.
    Entry(Arc<Entry>),
    /// The thread that unwraps the file.
    Thread(SyncSender<Task>),
}

impl Shared {
    /// Waits until there is memory for a chunk, and returns its destination; `None` if it is not requested, or
    /// was applied here.
    pub(super) fn admit(
        self: &Arc<Self>,
        path: &str,
        chunk: Found,
    ) -> Result<Option<(Destination, Task)>, ArchiveError> {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        let head = chunk.head();
        if head.is_unknown() {
            self.ignored.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        let wanted = self.options.only.as_ref();
        if wanted.is_some_and(|only| !only.contains(path)) {
            return Ok(None);
        }
        if head.is_order() {
            return self.order(chunk.check()?).map(|()| None);
        }
        if wanted.is_some() {
            self.lock().unseen.remove(path);
        }
        if head.is_rewrite() {
            self.prepare_rewrite(path)?;
        }
        let unwraps = self.options.decompress || self.options.key.is_some();
        let permit = self.permit(chunk.held(unwraps))?;
        let place = self.place_of(path, chunk.head())?;
        Ok(Some((place, Task { chunk, permit })))
    }

    /// Returns the name of a file after unwrapping, and the layers to remove.
    fn layers<'a>(&self, path: &'a str) -> Result<(&'a str, Layers), ArchiveError> {
        let found = suffixes(path);
        let decrypt = found.encrypted && self.options.key.is_some();
        let open = decrypt || !found.encrypted;
        if found.quicklz && open && self.options.decompress {
            return Err(ArchiveError::Unsupported {
                path: path.to_owned(),
                what: "quicklz is not read here: extract without ExtractOptions::decompress, then `qpress -d` it"
                    .to_owned(),
            });
        }
        let layers = Layers {
            encrypted: decrypt,
            compression: found
                .compression
                .filter(|_| open && self.options.decompress),
        };
        let mut name = path;
        if layers.encrypted {
            name = name.strip_suffix(".xbcrypt").unwrap_or(name);
        }
        if layers.compression.is_some() {
            name = found.inner;
        }
        Ok((name, layers))
    }

    /// Returns the destination of the next chunk of a file; creates the state of a new file.
    fn place_of(
        self: &Arc<Self>,
        path: &str,
        head: &Unchecked,
    ) -> Result<Destination, ArchiveError> {
        let (end, range) = (head.is_end(), head.range());
        let mut state = self.lock();
        match state.open.get_mut(path) {
            Some(File::Placed(entry)) if entry.expect(end, range)? => {
                return Ok(Destination::Entry(Arc::clone(entry)));
            }
            Some(File::Unwrapped { sender, .. }) => {
                let to = if end { sender.take() } else { sender.clone() };
                return to
                    .map(Destination::Thread)
                    .ok_or_else(|| ArchiveError::File {
                        path: path.to_owned(),
                        what: "it goes on after its end".to_owned(),
                    });
            }
            _ => {}
        }
        let (name, layers) = self.layers(path)?;
        if state.whole.contains(&*self.options.written(name)) {
            let path = path.to_owned();
            return Err(ArchiveError::Ended { path });
        }
        if let Some(on_file) = &self.options.on_file {
            on_file.call(path);
        }
        if !layers.any() {
            let entry = Arc::new(Entry::named(path, &self.options.written(path)));
            entry.expect(end, range)?;
            state
                .open
                .insert(path.to_owned(), File::Placed(Arc::clone(&entry)));
            return Ok(Destination::Entry(entry));
        }
        if state.threads >= UNWRAPPED_MAX {
            return Err(ArchiveError::Unsupported {
                path: path.to_owned(),
                what: format!(
                    "more than {UNWRAPPED_MAX} files are open in the stream at once: extract without ExtractOptions::decompress \
                     and ExtractOptions::key, then run `lsnap decrypt` and `lsnap decompress`"
                ),
            });
        }
        drop(state);
        let sender = unwrapped::start(self, path, name, layers)?;
        let mut state = self.lock();
        let kept = (!end).then(|| sender.clone());
        // The thread may already have added the file.
        match state.open.get_mut(path) {
            Some(File::Unwrapped { sender, .. }) => *sender = kept,
            _ => {
                let file = File::Unwrapped {
                    made: None,
                    sender: kept,
                };
                state.open.insert(path.to_owned(), file);
            }
        }
        Ok(Destination::Thread(sender))
    }

    /// Records that the thread of a file created it, as `name`.
    pub(super) fn made(&self, path: &str, name: &str) {
        let mut state = self.lock();
        match state.open.get_mut(path) {
            Some(File::Unwrapped { made, .. }) => *made = Some(name.to_owned()),
            _ => {
                let file = File::Unwrapped {
                    made: Some(name.to_owned()),
                    sender: None,
                };
                state.open.insert(path.to_owned(), file);
            }
        }
    }
}
