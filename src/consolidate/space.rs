//! One file of a tablespace: what no delta touches is copied, the rest is laid together.

use super::segments::Segments;
use super::window::{Window, object_at};
use super::write::{Writer, wrapped};
use super::{ConsolidateError, ConsolidateOptions};
use crate::innodb::{SpaceFlags, page};
use crate::locked::Locked;
use crate::manifest::{FileRole, ObjectEntry, SpaceFile};
use crate::reader::fetch::Fetcher;
use crate::reader::stored::Stored;
use crate::reader::{FilePlan, ReadError, first_page};
use crate::verify::PageReport;
use crate::verify::pages::PageCheck;
use bytes::Bytes;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a page comes from: the number of the source, and the object in it. The image is the last.
type Key = (usize, usize);
/// Pieces of an unwrapped object, with their offsets in its file.
type Parts = Vec<(u64, Bytes)>;

/// The work on one file.
pub(super) struct Job<'a> {
    pub(super) fetcher: &'a Fetcher<'a>,
    pub(super) options: &'a ConsolidateOptions,
    pub(super) file: &'a FilePlan,
    pub(super) space: &'a SpaceFile,
    /// The newest version, by whose description pages are judged.
    pub(super) newest: Stored<'a>,
    /// Deltas, newest first.
    pub(super) deltas: Vec<Stored<'a>>,
    /// The whole file below them.
    pub(super) image: Option<Stored<'a>>,
    /// Whether ranges of this file are worked on beside each other, and how many at once.
    pub(super) batch: usize,
    /// Bytes of fetched objects that are kept for the next batches.
    pub(super) cache: u64,
}

/// A run of the file.
struct Piece {
    pages: Range<u64>,
    /// The object of the image that holds these pages.
    image: Option<usize>,
    /// It is that object, whole, and nothing newer.
    whole: bool,
}

/// Objects that later batches of the window need again.
#[derive(Default)]
struct Cache {
    parts: HashMap<Key, Parts>,
    bytes: AtomicU64,
}

impl Cache {
    /// Takes room for so many bytes, when there is.
    fn reserve(&self, bytes: u64, most: u64) -> bool {
        self.bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
                held.checked_add(bytes).filter(|sum| *sum <= most)
            })
            .is_ok()
    }
}

fn bytes_of(parts: &Parts) -> u64 {
    parts.iter().map(|(_, data)| data.len() as u64).sum()
}

/// What was done to one file.
pub(super) struct Done<'a> {
    /// All of it was put.
    pub(super) out: Writer<'a>,
    pub(super) role: FileRole,
    pub(super) bytes: u64,
    pub(super) pages: PageReport,
    pub(super) copied_pages: u64,
}

impl Job<'_> {
    const fn size(&self) -> u64 {
        self.file.page_size.bytes() as u64
    }

    /// Makes the file.
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

    /// Cuts segments into ranges that are copied or built.
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

    /// Whether an object of the image may stand for these pages as it is.
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
            // Without a digest nobody could tell what was copied.
            && object.digest.is_some()
            && object.offset == pages.start * self.size()
            && image.end_of(index) == end
            // The object that ends its file ends this one too.
            && (!last || end == self.file.bytes)
    }

    /// Copies a range; one that does not fit because ranges before it have other lengths now (a wrapped
    /// file) is fetched and put instead. Gives the number of pages that were not looked at.
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

    /// Lays the pages of a batch together and puts them.
    fn build(
        &self,
        window: &mut Window,
        cache: &mut Cache,
        batch: &[Piece],
        check: &PageCheck,
        report: &mut PageReport,
        out: &mut Writer<'_>,
    ) -> Result<(), ConsolidateError> {
        let needed = self.needed(window, batch);
        let buffers: Vec<Mutex<Vec<u8>>> = batch.iter().map(|_| Mutex::default()).collect();
        let before = &*cache;
        let fetched = self.each(needed.iter().collect(), |(key, pages)| {
            if let Some(parts) = before.parts.get(key) {
                self.place(window, batch, &buffers, *key, pages, parts)?;
                return Ok((*key, None));
            }
            let parts = self.fetch(*key)?;
            self.place(window, batch, &buffers, *key, pages, &parts)?;
            let again = window
                .wanted
                .get(key)
                .is_some_and(|n| *n > pages.len() as u64);
            let kept = again && before.reserve(bytes_of(&parts), self.cache);
            Ok((*key, kept.then_some(parts)))
        })?;
        for (key, parts) in fetched {
            let taken = needed.get(&key).map_or(0, |pages| pages.len() as u64);
            let wanted = window.wanted.entry(key).or_default();
            *wanted = wanted.saturating_sub(taken);
            cache.parts.extend(parts.map(|parts| (key, parts)));
            if *wanted == 0
                && let Some(old) = cache.parts.remove(&key)
            {
                *cache.bytes.get_mut() -= bytes_of(&old);
            }
        }
        let wrap = out.wrap();
        let path = out.path().to_owned();
        let ready = self.each(batch.iter().zip(buffers).collect(), |(piece, buffer)| {
            let mut pages = PageReport::default();
            let data = buffer.unlocked();
            let data = self.prove(window, piece, data, check, &mut pages)?;
            let data = match data {
                Some(data) => Some(wrapped(wrap, &path, Bytes::from(data))?),
                None if wrap.is_none() => None,
                None => {
                    let length = (piece.pages.end - piece.pages.start) * self.size();
                    let zeros = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
                    Some(wrapped(wrap, &path, Bytes::from(zeros))?)
                }
            };
            Ok((data, pages))
        })?;
        for (piece, (data, pages)) in batch.iter().zip(ready) {
            report.merge(&pages);
            let offset = piece.pages.start * self.size();
            match data {
                None => out.hole(offset),
                Some(data) => {
                    let last = piece.pages.end * self.size() == self.file.bytes;
                    out.put(offset, data, last)?;
                }
            }
        }
        Ok(())
    }

    /// The objects that a batch needs, with the pages out of each (of the image: where each range begins).
    fn needed(&self, window: &Window, batch: &[Piece]) -> BTreeMap<Key, Vec<u64>> {
        let mut needed: BTreeMap<Key, Vec<u64>> = BTreeMap::new();
        for piece in batch {
            let mut below = false;
            for page in piece.pages.clone() {
                match window.newest(page) {
                    None => below = true,
                    Some((delta, slot)) => {
                        let Some(stored) = self.deltas.get(delta) else {
                            continue;
                        };
                        let object = object_at(stored, u64::from(slot) * self.size());
                        needed.entry((delta, object)).or_default().push(page);
                    }
                }
            }
            if let (true, Some(index)) = (below, piece.image) {
                let image = (self.deltas.len(), index);
                needed.entry(image).or_default().push(piece.pages.start);
            }
        }
        needed
    }

    fn source(&self, key: Key) -> Option<Stored<'_>> {
        let delta = self.deltas.get(key.0).copied();
        delta.or(self.image)
    }

    fn fetch(&self, key: Key) -> Result<Parts, ReadError> {
        let Some(stored) = self.source(key) else {
            return Ok(Vec::new());
        };
        let mut parts = Vec::new();
        self.fetcher
            .each::<ReadError>(stored, key.1, &mut |offset, data| {
                parts.push((offset, data));
                Ok(())
            })?;
        Ok(parts)
    }

    /// Copies the wanted pages of a fetched object into the batch's ranges.
    fn place(
        &self,
        window: &Window,
        batch: &[Piece],
        buffers: &[Mutex<Vec<u8>>],
        key: Key,
        pages: &[u64],
        parts: &Parts,
    ) -> Result<(), ReadError> {
        let Some(stored) = self.source(key) else {
            return Ok(());
        };
        let size = self.file.page_size.bytes();
        if key.0 < self.deltas.len() {
            for page in pages {
                let Some((_, slot)) = window.newest(*page) else {
                    continue;
                };
                let at = u64::from(slot) * self.size();
                let bytes = parts
                    .iter()
                    .find_map(|(offset, data)| {
                        let from = usize::try_from(at.checked_sub(*offset)?).ok()?;
                        data.get(from..from + size)
                    })
                    .ok_or_else(|| {
                        stored.damaged(format!("object {} does not hold page {page}", key.1))
                    })?;
                self.write(batch, buffers, *page, bytes);
            }
            return Ok(());
        }
        for (offset, data) in parts {
            if !offset.is_multiple_of(self.size()) {
                return Err(stored.damaged(format!(
                    "data at offset {offset} begin within a page of {size} bytes"
                )));
            }
            for (page, bytes) in (offset / self.size()..).zip(data.chunks(size)) {
                if window.newest(page).is_none() {
                    self.write(batch, buffers, page, bytes);
                }
            }
        }
        Ok(())
    }

    /// Writes a page, or the head of one, to its place in the batch; elsewhere nothing.
    fn write(&self, batch: &[Piece], buffers: &[Mutex<Vec<u8>>], page: u64, bytes: &[u8]) {
        if page::is_zero(bytes) {
            return;
        }
        let number = batch.partition_point(|piece| piece.pages.end <= page);
        let (Some(piece), Some(buffer)) = (batch.get(number), buffers.get(number)) else {
            return;
        };
        if !piece.pages.contains(&page) {
            return;
        }
        let size = self.file.page_size.bytes();
        let mut buffer = buffer.locked();
        if buffer.is_empty() {
            buffer.resize((piece.pages.end - piece.pages.start) as usize * size, 0);
        }
        let at = (page - piece.pages.start) as usize * size;
        buffer[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Checks every page of a built range; `None`: they are all zero. Page 0 is made where a restore
    /// would make it.
    fn prove(
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

    /// Works on items beside each other, where this file may; results in their order.
    fn each<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> Result<R, ConsolidateError> + Sync + Send,
    ) -> Result<Vec<R>, ConsolidateError> {
        if self.batch > 1 {
            items.into_par_iter().map(work).collect()
        } else {
            items.into_iter().map(work).collect()
        }
    }
}

/// Length of the payload of an object: of a wrapped file the distance to the next one. The last one of
/// such a file has none: nothing follows that would need to know.
fn stored_bytes(image: Stored<'_>, index: usize, object: &ObjectEntry) -> Option<u64> {
    match image.entry.objects.get(index + 1) {
        _ if image.entry.wrapping.is_none() => Some(0),
        None => Some(0),
        Some(next) => next.at?.since(object.at?),
    }
}
