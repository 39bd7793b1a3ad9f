//! The check of every byte of a backup: digests, chunks with their CRC, compression and encryption,
//! and the content. Each object is fetched once; a worker holds one object, so `memory` limits the
//! number of workers.

use super::job::Job;
use super::links::Known;
use super::pages::PageCheck;
use super::report::{MemberReport, PageReport};
use super::work::{Work, locate};
use super::{VerifyError, deltas};
use crate::delta::Meta;
use crate::locked::Locked;
use crate::manifest::{FileEntry, FileRole, Finding, Manifest, SpaceFile};
use crate::progress::Phase;
use crate::reader::bitmap::most_bytes;
use crate::reader::counters::Counters;
use crate::reader::fetch::Fetcher;
use crate::reader::source::Source;
use crate::reader::stored::{Stored, fitting};
use crate::reader::{ReadError, redo_log, spaces};
use crate::restore::run::largest;
use crate::xbstream;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::HashMap;
use std::sync::Mutex;

/// Creates a pool of threads that may hold one object each.
fn pool(threads: usize) -> Result<ThreadPool, VerifyError> {
    ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|number| format!("verify-{number}"))
        .build()
        .map_err(|error| VerifyError::Threads {
            threads,
            reason: error.to_string(),
        })
}

/// Reads and checks all files. `readable`: the key can decrypt them. `base`: the base of the
/// backup.
pub(super) fn check(
    job: &Job<'_>,
    manifest: &Manifest,
    base: Option<&Known>,
    readable: bool,
    report: &mut MemberReport,
) -> Result<(), VerifyError> {
    let counters = Counters::new(1);
    job.progress
        .phase(Phase::Verify, Some(manifest.stored_bytes()));
    let work = Work {
        fetcher: Fetcher {
            source: Source::Repository(job.repo),
            progress: job.progress,
            phase: Phase::Verify,
            counters: &counters,
            key: job.options.key.as_ref(),
            limit: job.options.memory as u64,
            cancel: &job.options.cancel,
        },
        report: Mutex::new(report),
        readable,
        base: base.and_then(Known::spaces),
        settled: base
            .is_some_and(|base| manifest.lsn.start_checkpoint >= base.manifest().lsn.last_lsn),
        spaces: described(manifest),
    };
    // Bytes that were read earlier are not proof.
    let _windows = job.repo.reading([manifest], job.options.memory as u64);
    let sets = largest(manifest.files.iter().map(set_bytes), job.options.threads);
    let memory = (job.options.memory as u64).saturating_sub(sets);
    let threads = job.options.threads.min(fitting([manifest], memory));
    let result = pool(threads)?.install(|| {
        // One file at a time, so that all workers read from the same windows of packs.
        manifest.files.iter().par_bridge().try_for_each(|entry| {
            work.file(Stored {
                member: 0,
                manifest,
                entry,
            })
        })
    });
    let read = counters.fetched_total();
    report.read_bytes += read;
    result.map_err(VerifyError::from)
}

/// Returns the memory in bytes that the set of a delta's pages takes at most.
fn set_bytes(entry: &FileEntry) -> u64 {
    match &entry.role {
        FileRole::Delta(space) => {
            let page = space.page_size.bytes() as u64;
            most_bytes(space.bytes / page, entry.bytes / page)
        }
        _ => 0,
    }
}

impl Work<'_> {
    fn file(&self, stored: Stored<'_>) -> Result<(), ReadError> {
        if let Err(error) = spaces::check_objects(stored.manifest.name.as_str(), stored.entry) {
            return self.record(stored, error);
        }
        let wrapping = stored.entry.wrapping.as_ref();
        if wrapping.is_some_and(|w| w.encryption.is_some()) && !self.readable {
            let mut report = self.report.locked();
            report.sealed_files += 1;
            drop(report);
            return self.objects(stored, |index| self.sealed(stored, index));
        }
        match &stored.entry.role {
            FileRole::Redo => {
                let checked = redo_log::check(&self.fetcher, stored);
                checked.or_else(|error| self.record(stored, error))
            }
            FileRole::Tablespace(_) => self.image(stored),
            FileRole::Delta(_) => deltas::check(self, stored),
            FileRole::DeltaMeta => self.meta(stored),
            _ => self.objects(stored, |index| {
                self.bytes(stored, index, &mut |_, _| Ok(()))
            }),
        }
    }

    /// Checks the digest and the chunks of an object whose content can't be decrypted.
    fn sealed(&self, stored: Stored<'_>, index: usize) -> Result<(), ReadError> {
        let object = stored.object(index)?;
        self.fetcher.cancel.check()?;
        let bytes = self.fetcher.source.read(stored, index)?;
        self.fetcher.counters.fetched(0, object.bytes);
        self.fetcher.progress.advance(Phase::Verify, object.bytes);
        for chunk in xbstream::chunks(bytes) {
            let chunk = chunk.map_err(|error| locate(stored, index, stored.undecodable(error)))?;
            if chunk.path() != stored.entry.path.as_stored() {
                let what = Finding::new(
                    format!("a chunk of {:?}", chunk.path()),
                    format!("one of {:?}", stored.entry.path),
                );
                return Err(locate(stored, index, stored.damaged(what)));
            }
        }
        Ok(())
    }

    fn image(&self, stored: Stored<'_>) -> Result<(), ReadError> {
        let check = match PageCheck::of(&self.fetcher, stored) {
            Ok(check) => check,
            Err(error) => {
                self.record(stored, error)?;
                return self.objects(stored, |index| {
                    self.bytes(stored, index, &mut |_, _| Ok(()))
                });
            }
        };
        let size = check.page_size;
        self.objects(stored, |index| {
            let mut pages = PageReport::default();
            let mut whole = Vec::new();
            let looked = self.bytes(stored, index, &mut |offset, data| {
                if !offset.is_multiple_of(size as u64) {
                    let what =
                        format!("data at offset {offset} begin within a page of {size} bytes");
                    return Err(stored.damaged(what));
                }
                let first = offset / size as u64;
                for (number, page) in (first..).zip(data.chunks(size)) {
                    // The tail of a page can be a hole, i.e. zeros.
                    let page = padded(page, size, &mut whole);
                    self.page(stored, index, check.check(number, page, &mut pages));
                }
                Ok(())
            });
            self.pages(&pages);
            looked
        })
    }

    /// Checks that a `.meta` agrees with the manifest.
    fn meta(&self, stored: Stored<'_>) -> Result<(), ReadError> {
        let mut text = Vec::new();
        for index in 0..stored.entry.objects.len() {
            let looked = self.bytes(stored, index, &mut |_, data| {
                text.extend_from_slice(data);
                Ok(())
            });
            if let Err(error) = looked {
                return self.record(stored, error);
            }
        }
        let delta = stored
            .entry
            .plain_path()
            .strip_suffix(".meta")
            .and_then(|name| self.spaces.get(name));
        let meta = Meta::parse(&String::from_utf8_lossy(&text));
        let wrong = match (meta, delta) {
            (Err(error), _) => error.to_string().into(),
            (Ok(meta), Some(space))
                if meta.space_id != space.space_id || meta.page_size != space.page_size =>
            {
                Finding::new(
                    format!("space {} with pages of {}", meta.space_id, meta.page_size),
                    format!("space {} with pages of {}", space.space_id, space.page_size),
                )
            }
            _ => return Ok(()),
        };
        self.record(stored, stored.damaged(wrong))
    }
}

/// Returns the whole page if its tail is a hole.
fn padded<'p>(page: &'p [u8], size: usize, whole: &'p mut Vec<u8>) -> &'p [u8] {
    if page.len() == size {
        return page;
    }
    whole.clear();
    whole.extend_from_slice(page);
    whole.resize(size, 0);
    whole
}

/// Returns the tablespaces by the names that `.meta` files refer to.
fn described(manifest: &Manifest) -> HashMap<&str, &SpaceFile> {
    let spaces = manifest.files.iter().filter_map(|f| f.role.space());
    spaces.map(|space| (space.name.as_str(), space)).collect()
}
