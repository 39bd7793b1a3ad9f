//! Where a chunk goes: into its file by the thread that has it, or to the thread of the file where that is unwrapped.

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

/// Files that may be unwrapped at the same time.
const UNWRAPPED_MAX: usize = 1024;

/// Where a chunk goes.
#[derive(Debug)]
pub(super) enum Destination {
    /// The thread that has the chunk carries it out.
    Entry(Arc<Entry>),
    /// The thread that unwraps the file.
    Thread(SyncSender<Task>),
}

impl Shared {
    /// Waits until there is room for a chunk, and says where it goes; nowhere if it is not wanted, or
    /// was carried out at once.
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
            self.begin_anew(path)?;
        }
        let unwraps = self.options.decompress || self.options.key.is_some();
        let permit = self.permit(chunk.held(unwraps))?;
        let place = self.place_of(path, chunk.head())?;
        Ok(Some((place, Task { chunk, permit })))
    }

    /// What of a file's wrapping is to be taken off.
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

    /// Where the next chunk of a file goes; a file that is new is begun.
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
        if state.whole.contains(name) {
            let path = path.to_owned();
            return Err(ArchiveError::Ended { path });
        }
        if !layers.any() {
            let entry = Arc::new(Entry::new(path));
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
        // The thread may have come here first.
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

    /// The thread of a file has made it, under `name`.
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
