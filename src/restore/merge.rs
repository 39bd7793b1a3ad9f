//! Newest wins: each page of each file is written once, from the newest member that has it.
//!
//! The members of a file are gone through one after the other, because a page's bit must be set by
//! the newer member before an older one is looked at; within a member all objects are independent.
//! Files run beside each other, and the objects of a large one too: a worker that finds no file left helps with
//! the objects of another's. In this order, because two that write to one file wait for each other in the
//! kernel. A worker never holds more than one object, and few files are open. Small files come in the order in
//! which they lie in their packs, so that all workers read from the same windows of them (`store::windows`).

use super::error::RestoreError;
use super::plan::RestorePlan;
use super::sparse::SparseFile;
use super::syncing::Syncing;
use crate::innodb::{PageNo, SpaceFlags, page};
use crate::manifest::{BackupName, FileRole, Finding};
use crate::reader::bitmap::PageMap;
use crate::reader::fetch::Fetcher;
use crate::reader::proof::{PageProof, SpacePart};
use crate::reader::stored::Stored;
use crate::reader::{FilePlan, ReadError, SourceKind, first_page};
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;

/// The merge of one file.
pub(super) struct Job<'a> {
    pub(super) fetcher: &'a Fetcher<'a>,
    pub(super) file: &'a FilePlan,
    /// Whether objects of this file are worked on beside each other.
    pub(super) parallel: bool,
    /// Pages that newer members had.
    pub(super) done: PageMap,
    /// Pages that the present member had so far.
    current: PageMap,
    out: SparseFile,
    /// Looks at pages of a member that has no digests.
    proof: Option<PageProof>,
}

impl Job<'_> {
    pub(super) const fn page_size(&self) -> usize {
        self.file.page_size.bytes()
    }

    /// Whether a page lies in the file and no newer member had it.
    pub(super) fn wants(&self, page: u64) -> bool {
        page < self.done.pages() && !self.done.has(page)
    }

    /// Claims a page for the present member: false when it is not wanted.
    ///
    /// # Errors
    /// The member has the page twice: which of the two is right, nobody knows.
    pub(super) fn take(&self, stored: Stored<'_>, page: u64) -> Result<bool, RestoreError> {
        if !self.wants(page) {
            return Ok(false);
        }
        if self.current.add(page) {
            return Err(stored.damaged(format!("it holds page {page} twice")).into());
        }
        Ok(true)
    }

    /// Writes claimed pages of `stored`.
    pub(super) fn put(
        &self,
        stored: Stored<'_>,
        first: u64,
        data: &[u8],
    ) -> Result<(), RestoreError> {
        if let Some(proof) = &self.proof {
            proof
                .check(first, data)
                .map_err(|what| stored.damaged(what))?;
        }
        self.write(stored.member, first, data)
    }

    /// Says that no more will be written to a part of the file, in bytes.
    pub(super) fn written(&self, part: Range<u64>) {
        self.out.begin_writing(part);
    }

    fn write(&self, member: usize, first: u64, data: &[u8]) -> Result<(), RestoreError> {
        let written = self.out.write(first, data)?;
        let counters = self.fetcher.counters;
        counters.wrote(written);
        counters.pages(member, data.len().div_ceil(self.page_size()) as u64);
        Ok(())
    }
}

/// Writes all tablespace files of a plan below `root`, where their directories exist, and hands them over to be
/// synced.
pub(crate) fn merge(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    root: &Path,
    workers: usize,
    syncing: &Syncing,
) -> Result<(), RestoreError> {
    let large = |objects: usize| objects >= 4 * workers;
    let mut files: Vec<_> = plan.files.iter().map(|f| (load(plan, f), f)).collect();
    // The longest first: its objects keep everybody busy when the other files are done.
    files.sort_by_key(|((objects, packed), _)| {
        let small = *packed && !large(*objects);
        (small, std::cmp::Reverse(if small { 0 } else { *objects }))
    });
    let _windows = fetcher.source.reading(plan.chain.iter(), fetcher.limit);
    // Handed out one by one; cut in halves, each worker's files would lie in other packs.
    let files = files.into_iter().par_bridge();
    files.try_for_each(|((objects, _), file)| {
        let parallel = workers > 1 && large(objects);
        syncing.sync(merge_file(fetcher, plan, file, root, parallel)?)
    })
}

/// How many objects of its own a file has in all members, and whether any of it lies in packs.
fn load(plan: &RestorePlan, file: &FilePlan) -> (usize, bool) {
    let sources = file.sources.iter();
    let entries = sources.filter_map(|s| stored(plan, s.member, s.entry).ok());
    let objects = entries.flat_map(|stored| &stored.entry.objects);
    objects.fold((0, false), |(own, packed), object| match object.pack {
        None => (own + 1, packed),
        Some(_) => (own, true),
    })
}

/// The file that a plan's source means.
pub(crate) fn stored(
    plan: &RestorePlan,
    member: usize,
    entry: usize,
) -> Result<Stored<'_>, RestoreError> {
    plan.chain
        .get(member)
        .and_then(|manifest| {
            let entry = manifest.files.get(entry)?;
            Some(Stored {
                member,
                manifest,
                entry,
            })
        })
        .ok_or_else(|| {
            RestoreError::Read(ReadError::damaged(
                &plan.target,
                "lsnap_manifest.json",
                format!("the plan names file {entry} of member {member}, which is not there"),
            ))
        })
}

/// Writes one file; it is not on the disk yet.
fn merge_file(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    file: &FilePlan,
    root: &Path,
    parallel: bool,
) -> Result<SparseFile, RestoreError> {
    let path = root.join(&file.path);
    let pages = file.bytes / file.page_size.bytes() as u64;
    let mut job = Job {
        fetcher,
        file,
        parallel,
        done: PageMap::new(pages),
        current: PageMap::new(pages),
        out: SparseFile::create(&path, file.bytes, file.page_size.bytes())?,
        proof: None,
    };
    for source in &file.sources {
        let stored = stored(plan, source.member, source.entry)?;
        job.proof = match stored.is_proven() {
            true => None,
            false => Some(PageProof::of(fetcher, parts(&plan.files), stored)?),
        };
        match source.kind {
            SourceKind::Image => job.image(stored)?,
            SourceKind::Delta => job.delta(stored)?,
        }
        job.done.absorb(&mut job.current);
    }
    first_page(plan, &job)?;
    Ok(job.out)
}

/// The tablespace files of a plan.
fn parts(files: &[FilePlan]) -> impl Iterator<Item = SpacePart> {
    let pages = |file: &FilePlan| file.bytes / file.page_size.bytes() as u64;
    files
        .iter()
        .map(move |file| (file.space_id, file.node, pages(file)))
}

/// The first page says which tablespace the file is: the cheapest proof that the right bytes came to
/// the right file. A tablespace that was being made when it was copied may have no first page yet.
fn first_page(plan: &RestorePlan, job: &Job<'_>) -> Result<(), RestoreError> {
    let file = job.file;
    if file.node != 0 {
        return Ok(());
    }
    let damaged =
        |what: Finding| RestoreError::Read(ReadError::damaged(&plan.target, &file.path, what));
    let mut head = [0u8; 64];
    job.out.head(&mut head)?;
    if page::is_zero(&head) {
        let appeared = file
            .sources
            .iter()
            .all(|source| source.kind == SourceKind::Delta);
        if appeared && !job.done.has(0) {
            if let Some(older) = held_before(plan, file) {
                return Err(damaged(format!(
                    "no member from {older} on holds its first page, although the file was in {older} and each page \
                     since is said to be there"
                ).into()));
            }
            let page =
                first_page::make(file, flags(plan, file)).map_err(|why| damaged(why.into()))?;
            return job.write(0, 0, &page);
        }
        // The redo log fills that of an undo tablespace.
        if file.undo {
            return Ok(());
        }
    }
    let (space, number) = (page::space_id(&head), page::number(&head));
    if space == file.space_id && number == PageNo(0) {
        return Ok(());
    }
    Err(damaged(Finding::new(
        format!("its first page says page {number} of space {space}"),
        format!("page 0 of space {}", file.space_id),
    )))
}

/// The member that held the file before the oldest one from which its pages are taken.
fn held_before<'p>(plan: &'p RestorePlan, file: &FilePlan) -> Option<&'p BackupName> {
    let oldest = file.sources.iter().map(|source| source.member).max()?;
    let older = plan.chain.get(oldest + 1)?;
    let mut spaces = older.files.iter().filter_map(|entry| entry.role.space());
    let held = spaces.any(|space| (space.space_id, space.node) == (file.space_id, file.node));
    held.then_some(&older.name)
}

/// The flags that the newest member gives for a file.
fn flags(plan: &RestorePlan, file: &FilePlan) -> SpaceFlags {
    let entry = file
        .sources
        .first()
        .and_then(|source| stored(plan, source.member, source.entry).ok())
        .map(|stored| &stored.entry.role);
    match entry {
        Some(FileRole::Tablespace(space) | FileRole::Delta(space)) => space.flags,
        _ => SpaceFlags(0),
    }
}
