//! Writes a delta in pieces, without holding a whole cluster in memory.
//!
//! The header of a cluster precedes its pages and lists them, so it is complete only after the last
//! page; a cluster of 64 KiB pages takes a gigabyte. The writer therefore emits pages as pieces as
//! they arrive, and the header as a separate piece when the cluster is complete. A sink that stores
//! pieces by offset (a repository of numbered objects) needs memory for one piece only.

use super::{END, LAST, MORE, pages_per_cluster};
use crate::innodb::{PageNo, PageSize};
use bytes::{Bytes, BytesMut};

/// A range of the bytes of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Number of the piece. Pieces sorted by this number are sorted by offset, contiguous and
    /// numbered without gaps from 0.
    pub index: u64,
    /// Offset of the piece in the delta, in bytes.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
    /// True for the piece with the highest index, which is emitted last.
    pub last: bool,
}

/// Totals of a finished delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeltaStats {
    /// Number of pages.
    pub pages: u64,
    /// Length of the delta, in bytes.
    pub bytes: u64,
}

/// Writes one delta.
#[derive(Debug)]
pub struct DeltaWriter {
    size: PageSize,
    /// Number of pages in a piece.
    piece_pages: u32,
    cluster: u64,
    /// The page numbers of the open cluster.
    listed: Vec<PageNo>,
    /// Images of the last listed pages that were not emitted yet.
    pending: BytesMut,
    stats: DeltaStats,
}

impl DeltaWriter {
    /// Creates a writer for a delta with pages of `size`, emitted in pieces of about `piece_bytes`.
    #[must_use]
    pub fn new(size: PageSize, piece_bytes: usize) -> Self {
        let full = pages_per_cluster(size);
        let fit = u32::try_from(piece_bytes / size.bytes()).unwrap_or(u32::MAX);
        Self {
            size,
            piece_pages: fit.clamp(1, full),
            cluster: 0,
            listed: Vec::new(),
            pending: BytesMut::new(),
            stats: DeltaStats::default(),
        }
    }

    /// Adds a page of exactly the page size. The pages may come in any order, each page once.
    pub fn push(&mut self, number: PageNo, page: &[u8], emit: &mut dyn FnMut(Piece)) {
        debug_assert_eq!(page.len(), self.size.bytes());
        // A full cluster stays open until another page is pushed: only then is it certain not to be
        // the last one, and readers expect the last cluster to be marked.
        if self.listed.len() == pages_per_cluster(self.size) as usize {
            self.flush(false, emit);
            emit(self.header(MORE, false));
            self.listed.clear();
            self.cluster += 1;
        } else if self.pending.len() == self.piece_pages as usize * self.size.bytes() {
            self.flush(false, emit);
        }
        self.listed.push(number);
        self.pending.extend_from_slice(page);
        self.stats.pages += 1;
    }

    /// Ends the delta and emits the last pieces.
    pub fn finish(mut self, emit: &mut dyn FnMut(Piece)) -> DeltaStats {
        let empty = self.pending.is_empty();
        emit(self.header(LAST, empty));
        self.flush(true, emit);
        let mut stats = self.stats;
        stats.bytes = self.cluster_offset() + (1 + self.listed.len() as u64) * self.page_bytes();
        stats
    }

    /// Same as [`Self::finish`], but a whole delta of at most `most` bytes is emitted as one piece:
    /// for so few bytes, separate objects for the header and the pages don't pay.
    pub fn finish_whole(self, most: usize, emit: &mut dyn FnMut(Piece)) -> DeltaStats {
        let nothing_out = self.pending.len() == self.listed.len() * self.size.bytes();
        let bytes = self.size.bytes() + self.pending.len();
        if self.cluster > 0 || !nothing_out || bytes > most {
            return self.finish(emit);
        }
        let mut whole = BytesMut::with_capacity(bytes);
        let stats = self.finish(&mut |piece| whole.extend_from_slice(&piece.data));
        emit(Piece {
            index: 0,
            offset: 0,
            data: whole.freeze(),
            last: true,
        });
        stats
    }

    fn page_bytes(&self) -> u64 {
        self.size.bytes() as u64
    }

    /// Returns the offset of the open cluster: every cluster before it is full, with P/4 pages and
    /// a header.
    fn cluster_offset(&self) -> u64 {
        self.cluster * (self.page_bytes() / 4) * self.page_bytes()
    }

    fn pieces_per_cluster(&self) -> u64 {
        1 + u64::from(pages_per_cluster(self.size).div_ceil(self.piece_pages))
    }

    fn flush(&mut self, last: bool, emit: &mut dyn FnMut(Piece)) {
        if self.pending.is_empty() {
            return;
        }
        let pages = self.pending.len() as u64 / self.page_bytes();
        let first = self.listed.len() as u64 - pages;
        emit(Piece {
            index: self.cluster * self.pieces_per_cluster()
                + 1
                + first / u64::from(self.piece_pages),
            offset: self.cluster_offset() + (1 + first) * self.page_bytes(),
            data: self.pending.split().freeze(),
            last,
        });
    }

    fn header(&self, magic: &[u8; 4], last: bool) -> Piece {
        let mut page = vec![0; self.size.bytes()];
        page[..4].copy_from_slice(magic);
        let end = std::iter::once(END);
        let numbers = self.listed.iter().map(|n| n.0).chain(end);
        for (slot, number) in page[4..].chunks_exact_mut(4).zip(numbers) {
            slot.copy_from_slice(&number.to_be_bytes());
        }
        Piece {
            index: self.cluster * self.pieces_per_cluster(),
            offset: self.cluster_offset(),
            data: Bytes::from(page),
            last,
        }
    }
}
