//! One file of a tablespace: objects without a page in a delta are copied, other pages are merged.

use super::cache::Cache;
use super::segments::Segments;
use super::window::Window;
use super::write::Writer;
use super::{ConsolidateError, ConsolidateOptions};
use crate::innodb::{SpaceFlags, page};
use crate::manifest::{FileRole, ObjectEntry, SpaceFile};
use crate::reader::fetch::Fetcher;
use crate::reader::stored::Stored;
use crate::reader::{FilePlan, ReadError, first_page};
use crate::verify::PageReport;
use crate::verify::pages::PageCheck;
use std::ops::Range;

/// The work on one file.
pub(super) struct Job<'a> {
    pub(super) fetcher: &'a Fetcher<'a>,
    pub(super) options: &'a ConsolidateOptions,
    pub(super) file: &'a FilePlan,
    pub(super) space: &'a SpaceFile,
    /// The newest version, whose entry determines the checks of pages.
    pub(super) newest: Stored<'a>,
    /// Deltas, newest first.
    pub(super) deltas: Vec<Stored<'a>>,
    /// The whole file, which is older.
    pub(super) image: Option<Stored<'a>>,
    /// How many ranges of this file are processed concurrently.
    pub(super) batch: usize,
    /// Bytes of fetched objects that are kept for the next batches.
    pub(super) cache: u64,
}

/// A run of the file.
pub(super) struct Piece {
    pub(super) pages: Range<u64>,
    /// The object of the image that contains these pages.
    pub(super) image: Option<usize>,
    /// True if the piece is that object, completely, without a newer page.
    whole: bool,
}

/// The result for one file.
pub(super) struct Done<'a> {
    /// The writer, to which all pieces were passed.
    pub(super) out: Writer<'a>,
    pub(super) role: FileRole,
    pub(super) bytes: u64,
    pub(super) pages: PageReport,
    pub(super) copied_pages: u64,
}

impl Job<'_> {
    pub(super) const fn size(&self) -> u64 {
        self.file.page_size.bytes() as u64
    }

    /// Creates the file.
    pub(super) fn run<'w>(&self, mut out: Writer<'w>) -> Result<Done<'w>, ConsolidateError> {
        let check = PageCheck::of(self.fetcher, self.image.unwrap_or(self.newest))?
            .up_to(self.newest.manifest.lsn.last_lsn);
        let (mut report, mut copied_pages) = (PageReport::default(), 0);
        let mut segments = Segments::of(
            self.image,
            self.size(),
            self.file.bytes,
            self.options.window_pages,
        )
        .peekable();
        while segments.peek().is_some() {
            let mut pieces: Vec<(Range<u64>, Option<usize>)> = Vec::new();
            let begin = segments.peek().map_or(0, |(pages, _)| pages.start);
            let mut end = begin;
            while let Some((pages, image)) = segments.next_if(|(pages, _)| {
                end == begin || pages.end - begin <= self.options.window_pages
            }) {
                end = pages.end;
                pieces.push((pages, image));
            }
            let mut window =
                Window::of(self.fetcher, &self.deltas, self.file.page_size, begin..end)?;
            let pieces = self.pieces(&mut window, &out, pieces);
            let mut cache = Cache::default();
            let mut rest = &pieces[..];
            while !rest.is_empty() {
                self.options.cancel.check()?;
                let copies = rest.iter().take_while(|piece| piece.whole).count();
                for piece in &rest[..copies] {
                    copied_pages += self.copy(&mut out, piece, &check, &mut report)?;
                }
                rest = &rest[copies..];
                let built = rest.iter().take_while(|piece| !piece.whole);
                let count = built.take(self.batch).count();
                let batch = &rest[..count];
                self.build(
                    &mut window,
                    &mut cache,
                    batch,
                    &check,
                    &mut report,
                    &mut out,
                )?;
                rest = &rest[count..];
            }
        }
        out.end(self.file.bytes)?;
        Ok(Done {
            out,
            role: FileRole::Tablespace(SpaceFile {
                floor: None,
                ..self.space.clone()
            }),
            bytes: self.file.bytes,
            pages: report,
            copied_pages,
        })
    }

    /// Divides segments into ranges that are copied or built.
    fn pieces(
        &self,
        window: &mut Window,
        out: &Writer<'_>,
        segments: Vec<(Range<u64>, Option<usize>)>,
    ) -> Vec<Piece> {
        let range = (self.options.range_bytes as u64 / self.size()).max(1);
        let mut pieces = Vec::new();
        for (pages, image) in segments {
            let whole = image.is_some_and(|index| self.is_whole(out, &pages, index))
                && !window.changed(pages.clone());
            if whole {
                pieces.push(Piece {
                    pages,
                    image,
                    whole,
                });
                continue;
            }
            let mut from = pages.start;
            while from < pages.end {
                let to = (from + range).min(pages.end);
                if let Some(index) = image {
                    *window.wanted.entry((self.deltas.len(), index)).or_default() += 1;
                }
                pieces.push(Piece {
                    pages: from..to,
                    image,
                    whole,
                });
                from = to;
            }
        }
        pieces
    }

    /// Returns whether an object of the image can be copied for these pages.
    fn is_whole(&self, out: &Writer<'_>, pages: &Range<u64>, index: usize) -> bool {
        let Some(image) = self.image else {
            return false;
        };
        let Some(object) = image.entry.objects.get(index) else {
            return false;
        };
        let last = index + 1 == image.entry.objects.len();
        let end = pages.end * self.size();
        image.entry.path.as_stored() == out.path()
            && image.entry.wrapping == out.wrap().wrapping()
            // Without a digest the copied bytes would not be proven.
            && object.digest.is_some()
            && object.offset == pages.start * self.size()
            && image.end_of(index) == end
            // The object that ends its file must end this one too.
            && (!last || end == self.file.bytes)
    }

    /// Copies a range. If it doesn't fit, because ranges before it have other lengths now (a
    /// wrapped file), it is fetched and uploaded instead. Returns the number of pages that were not
    /// checked.
    fn copy(
        &self,
        out: &mut Writer<'_>,
        piece: &Piece,
        check: &PageCheck,
        report: &mut PageReport,
    ) -> Result<u64, ConsolidateError> {
        let (Some(image), Some(index)) = (self.image, piece.image) else {
            return Ok(0);
        };
        let object = image.object(index)?;
        let last = index + 1 == image.entry.objects.len();
        if out.fits(object) {
            let stored = stored_bytes(image, index, object);
            if let Some(stored) = stored {
                out.copy(&image.manifest.name, object, stored, last)?;
                self.fetcher
                    .progress
                    .advance(self.fetcher.phase, object.bytes);
                return Ok(piece.pages.end - piece.pages.start);
            }
        }
        let mut window = Window::of(self.fetcher, &[], self.file.page_size, piece.pages.clone())?;
        let piece = Piece {
            pages: piece.pages.clone(),
            image: piece.image,
            whole: false,
        };
        let batch = std::slice::from_ref(&piece);
        self.build(
            &mut window,
            &mut Cache::default(),
            batch,
            check,
            report,
            out,
        )?;
        Ok(0)
    }

    /// Checks every page of a built range; returns `None` if all are zero. Page 0 is created if a
    /// restore would create it.
    pub(super) fn prove(
        &self,
        window: &Window,
        piece: &Piece,
        mut data: Vec<u8>,
        check: &PageCheck,
        report: &mut PageReport,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let size = self.file.page_size.bytes();
        let count = piece.pages.end - piece.pages.start;
        if piece.pages.start == 0 && self.file.node == 0 {
            let head = data.get(..size).is_none_or(page::is_zero);
            if head && self.image.is_none() && window.newest(0).is_none() {
                let first = first_page::make(self.file, self.flags())
                    .map_err(|what| self.newest.damaged(what))?;
                data.resize(count as usize * size, 0);
                data[..size].copy_from_slice(&first);
            } else if head && !self.file.undo {
                return Err(self
                    .newest
                    .damaged("its first page is zero, expected one of its tablespace"));
            }
        }
        if data.is_empty() {
            report.zero += count;
            return Ok(None);
        }
        for (number, bytes) in piece.pages.clone().zip(data.chunks(size)) {
            check.check(number, bytes, report).map_err(|what| {
                let source = window
                    .newest(number)
                    .and_then(|(delta, _)| self.deltas.get(delta));
                let stored = source.copied().or(self.image).unwrap_or(self.newest);
                stored.damaged(what)
            })?;
        }
        Ok(Some(data))
    }

    const fn flags(&self) -> SpaceFlags {
        self.space.flags
    }
}

/// Returns the length of the payload of an object: in a wrapped file, the distance to the next one.
/// For the last object of such a file it is 0, because no object follows that would need it.
fn stored_bytes(image: Stored<'_>, index: usize, object: &ObjectEntry) -> Option<u64> {
    match image.entry.objects.get(index + 1) {
        _ if image.entry.wrapping.is_none() => Some(0),
        None => Some(0),
        Some(next) => next.at?.since(object.at?),
    }
}
