//! A tablespace file during the copy: its reader, its delta, and the number of its pending ranges.

use super::RANGE_BYTES;
use super::error::BackupError;
use super::page_set::Pages;
use super::plain;
use super::sink::Sink;
use super::spaces::{CopiedSpace, CopyCounts, SpaceToCopy};
use super::waiting::Waiting;
use super::wrap::{self, WrapMode};
use crate::datadir::{PageReader, ReadMode, ReadReport, Tablespace};
use crate::delta::{self, DeltaWriter};
use crate::innodb::{Lsn, PageNo, ScanFloor, page};
use crate::locked::Locked;
use crate::manifest::packed::SMALL;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

/// A tablespace file to copy; its counts are set when it is copied completely.
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

    /// Returns the file with its counts.
    ///
    /// # Errors
    /// [`BackupError::Panicked`] if the copy of the file did not end.
    pub(super) fn copied(self) -> Result<CopiedSpace, BackupError> {
        let counts = self.counts.into_inner();
        let counts = counts.ok_or(BackupError::Panicked("page worker"))?;
        Ok(self.file.copied(counts))
    }
}

/// An open tablespace file.
pub(super) struct OpenFile<'a> {
    entry: &'a FileInCopy,
    pub reader: PageReader,
    /// Length in whole pages, in bytes.
    pub bytes: u64,
    pub path: String,
    pub wrap_mode: WrapMode,
    /// `Some` for an incremental.
    pub delta: Option<Delta>,
    /// Number of ranges in work, and whether more will follow.
    pending: Mutex<Pending>,
}

/// The delta of a file, which receives the pages from the floor on.
pub(super) struct Delta {
    pub floor: ScanFloor,
    writer: Mutex<DeltaWriter>,
    /// Its pieces, if they must be put in order.
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
        if floor.is_some() {
            // Before the delta: readers that apply a delta while it arrives need the page size.
            let name = format!("{}.meta", space.name);
            plain::put_bytes(sink, &name, WrapMode::Plain, meta_text(space))?;
        }
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
            wrap_mode: wrap_mode(space),
            delta,
            pending: Mutex::default(),
        })
    }

    /// Returns the next range of data at or after `offset`, or an empty one at the end of the file.
    pub(super) fn data_after(&self, offset: u64) -> Result<std::ops::Range<u64>, BackupError> {
        let data = self.reader.next_data(offset)?;
        Ok(data.unwrap_or(self.bytes..self.bytes))
    }

    pub(super) const fn page_bytes(&self) -> usize {
        self.entry.file.space.page_size.bytes()
    }

    /// Returns the pages to read; `None`: all.
    pub(super) const fn pages_to_read(&self) -> Option<&'a Pages> {
        self.entry.file.pages.as_ref()
    }

    /// Counts a range that was assigned to a worker. `last`: it is the last one of the file.
    pub(super) fn range_begins(&self, last: bool) {
        let mut pending = self.pending.locked();
        pending.ranges += 1;
        pending.cut = last;
    }

    /// Counts a range as done; after the last one of the file, completes its delta and sets its
    /// counts.
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
            // Only a delta that is one piece can be packed.
            let most = if sink.packs() { SMALL } else { 0 };
            let stats = writer.finish_whole(most, &mut |piece| pieces.push(piece));
            self.put_pieces(sink, delta, pieces)?;
            counts.delta_pages = stats.pages;
            counts.stored_bytes = stats.bytes;
        }
        // Only the last range reaches this line.
        let _ = self.entry.counts.set(counts);
        Ok(())
    }

    /// Adds pages to the delta. `changed` are their indices in `run`, which starts with the page
    /// `first`.
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
        // Released before the upload: a slow store must not block the file's other ranges.
        drop(writer);
        self.put_pieces(sink, delta, pieces)
    }

    /// Stores pieces of the delta, in order if that is required.
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
                sink.put(&self.path, self.wrap_mode, piece)?;
                continue;
            };
            let wrapped = sink.wrap(self.wrap_mode, piece)?;
            let mut waiting = waiting.locked();
            waiting.hold(wrapped)?;
            while let Some(piece) = waiting.next()? {
                sink.put_wrapped(&self.path, self.wrap_mode, piece)?;
            }
        }
        Ok(())
    }
}

/// Returns the text of the `.meta` of a tablespace's delta.
pub(super) fn meta_text(ts: &Tablespace) -> String {
    delta::Meta::of(ts.space_id, ts.flags, ts.page_size).encode()
}

/// Returns the wrap mode of a tablespace. The pages of an encrypted tablespace are ciphertext; its
/// flags record that it is encrypted.
pub(super) const fn wrap_mode(ts: &Tablespace) -> WrapMode {
    if ts.flags.is_encrypted() {
        WrapMode::Ciphertext
    } else {
        WrapMode::All
    }
}

/// Returns the indices of the pages of `run` that belong into a delta.
pub(crate) fn changed_pages(run: &[u8], page_bytes: usize, floor: ScanFloor) -> Vec<u32> {
    (0..)
        .zip(run.chunks_exact(page_bytes))
        .filter(|(_, page)| changed(page, floor))
        .map(|(index, _)| index)
        .collect()
}

/// Returns whether a page belongs into a delta. The server writes the first page of a new file with
/// LSN 0 and sets its LSN at the next flush; its redo can only be applied to an existing page. A
/// page of zeros is restored from the length of the file alone.
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
            "a first page whose LSN is not set yet"
        );
    }
}
