//! Ranges of a file that are not copied: their pages are merged and uploaded.

use super::ConsolidateError;
use super::cache::{Cache, Key, Parts, bytes_of};
use super::space::{Job, Piece};
use super::window::{Window, object_at};
use super::write::{Writer, wrapped};
use crate::innodb::page;
use crate::locked::Locked;
use crate::reader::ReadError;
use crate::reader::stored::Stored;
use crate::verify::PageReport;
use crate::verify::pages::PageCheck;
use bytes::Bytes;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Mutex;

impl Job<'_> {
    /// Merges the pages of a batch and uploads them.
    pub(super) fn build(
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

    /// Returns the objects that a batch needs, with the pages from each (of the image: the first
    /// page of each range).
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
                        stored.damaged(format!("object {} does not contain page {page}", key.1))
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

    /// Writes a page, or the head of one, into the batch; ignores pages outside of it.
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

    /// Processes items, concurrently if this file allows it; returns the results in their order.
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
