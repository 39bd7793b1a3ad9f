//! A tablespace file while it is copied: its reader, its delta, and the count of its ranges.

use super::RANGE_BYTES;
use super::error::BackupError;
use super::page_set::Pages;
use super::sink::Sink;
use super::spaces::{CopiedSpace, CopyCounts, SpaceToCopy};
use super::waiting::Waiting;
use super::wrap::{self, Treat};
use crate::datadir::{PageReader, ReadMode, ReadReport, Tablespace};
use crate::delta::{self, DeltaWriter};
use crate::innodb::{Lsn, PageNo, ScanFloor, page};
use crate::locked::Locked;
use crate::manifest::packed::SMALL;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

/// A tablespace file of the copy, with its counts as soon as all of it is copied.
pub(super) struct FileInCopy {
    file: SpaceToCopy,
    counts: OnceLock<CopyCounts>,
}

impl FileInCopy {
    pub(super) const fn new(file: SpaceToCopy) -> Self {
        Self {
            file,
            counts: OnceLock::new(),
        }
    }

    /// # Errors
    /// [`BackupError::Panicked`] if the copy of the file didn't end.
    pub(super) fn copied(self) -> Result<CopiedSpace, BackupError> {
        let counts = self.counts.into_inner();
        let counts = counts.ok_or(BackupError::Panicked("page worker"))?;
        Ok(self.file.copied(counts))
    }
}

/// One tablespace file that is open.
pub(super) struct OpenFile<'a> {
    entry: &'a FileInCopy,
    pub reader: PageReader,
    /// Length in whole pages, in bytes.
    pub bytes: u64,
    pub path: String,
    pub treat: Treat,
    /// Of an incremental.
    pub delta: Option<Delta>,
    /// Ranges handed out and not done, plus one while more will come.
    pending: Mutex<Pending>,
}

/// The delta of a file, to which the pages from the floor on go.
pub(super) struct Delta {
    pub floor: ScanFloor,
    writer: Mutex<DeltaWriter>,
    /// Its pieces, if they must be given on in order.
    waiting: Option<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Pending {
    ranges: u64,
    cut: bool,
    counts: CopyCounts,
}

impl<'a> OpenFile<'a> {
    pub(super) fn open(
        entry: &'a FileInCopy,
        mode: ReadMode,
        sink: &Sink,
        spool_dir: &Path,
    ) -> Result<Self, BackupError> {
        let SpaceToCopy { space, floor, .. } = &entry.file;
        let reader = PageReader::open(space, mode)?;
        let page = space.page_size.bytes() as u64;
        let delta = floor.map(|floor| Delta {
            floor,
            writer: Mutex::new(DeltaWriter::new(space.page_size, RANGE_BYTES)),
            waiting: (sink.ordered())
                .then(|| Mutex::new(Waiting::new(RANGE_BYTES, spool_dir.to_owned()))),
        });
        Ok(Self {
            entry,
            reader,
            bytes: space.bytes / page * page,
            path: match delta {
                Some(_) => format!("{}.delta", space.name),
                None => space.name.clone(),
            },
            treat: treat(space),
            delta,
            pending: Mutex::default(),
        })
    }

    /// The next run of data, or an empty one at the end of the file.
    pub(super) fn data_after(&self, offset: u64) -> Result<std::ops::Range<u64>, BackupError> {
        let data = self.reader.next_data(offset)?;
        Ok(data.unwrap_or(self.bytes..self.bytes))
    }

    pub(super) const fn page_bytes(&self) -> usize {
        self.entry.file.space.page_size.bytes()
    }

    /// The pages that are read; `None`: all.
    pub(super) const fn pages_to_read(&self) -> Option<&'a Pages> {
        self.entry.file.pages.as_ref()
    }

    /// Counts a range that is handed out; `last`: no more of the file follows.
    pub(super) fn range_begins(&self, last: bool) {
        let mut pending = self.pending.locked();
        pending.ranges += 1;
        pending.cut = last;
    }

    /// Counts a range as done; the last one of the file ends the file and sets its counts.
    pub(super) fn range_done(&self, sink: &Sink, report: &ReadReport) -> Result<(), BackupError> {
        let mut pending = self.pending.locked();
        pending.counts.report.merge(report);
        pending.ranges -= 1;
        if pending.ranges > 0 || !pending.cut {
            return Ok(());
        }
        let mut counts = pending.counts.clone();
        drop(pending);
        counts.stored_bytes = self.bytes;
        if let Some(delta) = &self.delta {
            let fresh = DeltaWriter::new(self.entry.file.space.page_size, RANGE_BYTES);
            let writer = std::mem::replace(&mut *delta.writer.locked(), fresh);
            let mut pieces = Vec::new();
            // In a pack lies what is one piece.
            let most = if sink.packs() { SMALL } else { 0 };
            let stats = writer.finish_whole(most, &mut |piece| pieces.push(piece));
            self.put_pieces(sink, delta, pieces)?;
            counts.delta_pages = stats.pages;
            counts.stored_bytes = stats.bytes;
        }
        // Only the last range gets here.
        let _ = self.entry.counts.set(counts);
        Ok(())
    }

    /// Gives the pages at these places of a run, which begins with the page `first`, to the delta.
    pub(super) fn put_changed(
        &self,
        sink: &Sink,
        delta: &Delta,
        changed: Vec<u32>,
        first: PageNo,
        run: &[u8],
    ) -> Result<(), BackupError> {
        if changed.is_empty() {
            return Ok(());
        }
        let page_bytes = self.page_bytes();
        let mut pieces = Vec::new();
        let mut writer = delta.writer.locked();
        for index in changed {
            let (at, number) = (index as usize * page_bytes, PageNo(first.0 + index));
            writer.push(number, &run[at..at + page_bytes], &mut |piece| {
                pieces.push(piece);
            });
        }
        // A store that is slow must not keep the others from the file's delta.
        drop(writer);
        self.put_pieces(sink, delta, pieces)
    }

    /// Stores pieces of the delta, in order if that is needed.
    fn put_pieces(
        &self,
        sink: &Sink,
        delta: &Delta,
        pieces: Vec<delta::Piece>,
    ) -> Result<(), BackupError> {
        for piece in pieces {
            let piece = wrap::Piece {
                index: piece.index,
                offset: piece.offset,
                hole: 0,
                data: piece.data,
                last: piece.last,
            };
            let Some(waiting) = &delta.waiting else {
                sink.put(&self.path, self.treat, piece)?;
                continue;
            };
            let wrapped = sink.wrap(self.treat, piece)?;
            let mut waiting = waiting.locked();
            waiting.hold(wrapped)?;
            while let Some(piece) = waiting.next()? {
                sink.put_wrapped(&self.path, self.treat, piece)?;
            }
        }
        Ok(())
    }
}

/// The pages of an encrypted tablespace are ciphertext; mysqld says which are by the flags.
pub(super) const fn treat(ts: &Tablespace) -> Treat {
    if ts.flags.is_encrypted() {
        Treat::Ciphertext
    } else {
        Treat::All
    }
}

/// Which pages of a run belong into a delta, counted from its first.
pub(crate) fn changed_pages(run: &[u8], page_bytes: usize, floor: ScanFloor) -> Vec<u32> {
    (0..)
        .zip(run.chunks_exact(page_bytes))
        .filter(|(_, page)| changed(page, floor))
        .map(|(index, _)| index)
        .collect()
}

/// Whether a page belongs into a delta. The server writes the first page of a new file with LSN 0 and
/// stamps it when it is next flushed; its redo can be applied only to a page that is there. A page of
/// zeros needs only the length of the file.
fn changed(page: &[u8], floor: ScanFloor) -> bool {
    let lsn = page::lsn(page);
    if lsn == Lsn(0) {
        return !page::is_zero(page);
    }
    floor.takes(lsn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lsn: u64) -> Vec<u8> {
        let mut page = vec![0; 1024];
        page[16..24].copy_from_slice(&lsn.to_be_bytes());
        page
    }

    #[test]
    fn pages_from_the_floor_on_are_changed_and_zeros_never_are() {
        let floor = ScanFloor::at(Lsn(100));
        assert!(!changed(&page(99), floor));
        assert!(changed(&page(100), floor));
        assert!(!changed(&page(0), floor));
        assert!(!changed(&page(0), ScanFloor::WHOLE));
        assert!(changed(&page(1), ScanFloor::WHOLE));
        let mut first = page(0);
        first[38] = 1;
        assert!(
            changed(&first, floor),
            "a first page that was not stamped yet"
        );
    }
}
