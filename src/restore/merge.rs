//! The merge: each page of each file is written once, from the newest member that has it.
//!
//! The members of a file are read one after the other, because a page's bit must be set by the
//! newer member before an older one is read; within a member all objects are independent. Files are
//! processed concurrently, and so are the objects of a large file: a worker without a file helps
//! with the objects of another worker's file. Files come first, because two threads that write to
//! the same file wait for each other in the kernel. A worker holds at most one object, and few
//! files are open. Small files are processed in the order of their positions in packs, so that all
//! workers read from the same windows of the packs (`store::windows`).

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
    /// True if the objects of this file are processed concurrently.
    pub(super) parallel: bool,
    /// Pages that newer members had.
    pub(super) done: PageMap,
    /// Pages that the current member had so far.
    current: PageMap,
    out: SparseFile,
    /// Checks the pages of a member without digests.
    proof: Option<PageProof>,
}

impl Job<'_> {
    pub(super) const fn page_size(&self) -> usize {
        self.file.page_size.bytes()
    }

    /// Returns whether a page is within the file and no newer member had it.
    pub(super) fn wants(&self, page: u64) -> bool {
        page < self.done.pages() && !self.done.has(page)
    }

    /// Marks a page as taken from the current member; returns false if it is not wanted.
    ///
    /// # Errors
    /// The member has the page twice: it is unknown which of the two is right.
    pub(super) fn take(&self, stored: Stored<'_>, page: u64) -> Result<bool, RestoreError> {
        if !self.wants(page) {
            return Ok(false);
        }
        if self.current.add(page) {
            return Err(stored.damaged(format!("it holds page {page} twice")).into());
        }
        Ok(true)
    }

    /// Writes pages of `stored` that were marked.
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

    /// Starts writeback of a part of the file, in bytes, which will not be written again.
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

/// How the files of a merge are opened.
#[derive(Clone, Copy)]
pub(crate) enum Output<'a> {
    /// They are created.
    New,
    /// They are changed in place; files that are missing are created, and this function is called
    /// with their path. The other function is called before each file is opened.
    InPlace {
        before: &'a (dyn Fn() -> Result<(), RestoreError> + Sync),
        created: &'a (dyn Fn(&Path) -> Result<(), RestoreError> + Sync),
    },
}

impl Output<'_> {
    fn open(self, path: &Path, file: &FilePlan) -> Result<SparseFile, RestoreError> {
        let page_size = file.page_size.bytes();
        match self {
            Self::New => SparseFile::create(path, file.bytes, page_size),
            Self::InPlace { before, created } => {
                before()?;
                let (out, is_new) = SparseFile::update(path, file.bytes, page_size)?;
                if is_new {
                    created(path)?;
                }
                Ok(out)
            }
        }
    }
}

/// Writes all tablespace files of a plan below `root`, in existing directories, and passes them on
/// to be synced.
pub(crate) fn merge(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    root: &Path,
    workers: usize,
    syncing: &Syncing,
    output: Output<'_>,
) -> Result<(), RestoreError> {
    let large = |objects: usize| objects >= 4 * workers;
    let mut files: Vec<_> = plan.files.iter().map(|f| (load(plan, f), f)).collect();
    // The longest first: its objects keep all workers busy when the other files are done.
    files.sort_by_key(|((objects, packed), _)| {
        let small = *packed && !large(*objects);
        (small, std::cmp::Reverse(if small { 0 } else { *objects }))
    });
    let _windows = fetcher.source.reading(plan.chain.iter(), fetcher.limit);
    // One file at a time: if the list were split in halves, the files of each worker would be in
    // different packs.
    let files = files.into_iter().par_bridge();
    files.try_for_each(|((objects, _), file)| {
        let parallel = workers > 1 && large(objects);
        syncing.sync(merge_file(fetcher, plan, file, root, parallel, output)?)
    })
}

/// Returns how many objects of its own a file has in all members, and whether any part of it is in
/// packs.
fn load(plan: &RestorePlan, file: &FilePlan) -> (usize, bool) {
    let sources = file.sources.iter();
    let entries = sources.filter_map(|s| stored(plan, s.member, s.entry).ok());
    let objects = entries.flat_map(|stored| &stored.entry.objects);
    objects.fold((0, false), |(own, packed), object| match object.pack {
        None => (own + 1, packed),
        Some(_) => (own, true),
    })
}

/// Returns the stored file of a plan's source.
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
                format!("the plan has file {entry} of member {member}, which does not exist"),
            ))
        })
}

/// Writes one file; it is not synced yet.
fn merge_file(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    file: &FilePlan,
    root: &Path,
    parallel: bool,
    output: Output<'_>,
) -> Result<SparseFile, RestoreError> {
    let path = root.join(&file.path);
    let pages = file.bytes / file.page_size.bytes() as u64;
    let mut job = Job {
        fetcher,
        file,
        parallel,
        done: PageMap::new(pages),
        current: PageMap::new(pages),
        out: output.open(&path, file)?,
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

/// Returns the tablespace files of a plan.
fn parts(files: &[FilePlan]) -> impl Iterator<Item = SpacePart> {
    let pages = |file: &FilePlan| file.bytes / file.page_size.bytes() as u64;
    files
        .iter()
        .map(move |file| (file.space_id, file.node, pages(file)))
}

/// Checks the first page, which contains the space id: the cheapest check that the right bytes were
/// written to the right file. A tablespace that was being created when it was copied may have no
/// first page yet.
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
                    "no member from {older} on has its first page, although {older} contained the file and the deltas since \
                     then claim to have each page"
                ).into()));
            }
            let page =
                first_page::make(file, flags(plan, file)).map_err(|why| damaged(why.into()))?;
            return job.write(0, 0, &page);
        }
        // The redo log contains the first page of an undo tablespace.
        if file.undo {
            return Ok(());
        }
    }
    let (space, number) = (page::space_id(&head), page::number(&head));
    if space == file.space_id && number == PageNo(0) {
        return Ok(());
    }
    Err(damaged(Finding::new(
        format!("its first page is page {number} of space {space}"),
        format!("page 0 of space {}", file.space_id),
    )))
}

/// Returns the member before the oldest source of the file's pages, if it contained the file.
fn held_before<'p>(plan: &'p RestorePlan, file: &FilePlan) -> Option<&'p BackupName> {
    let oldest = file.sources.iter().map(|source| source.member).max()?;
    let older = plan.chain.get(oldest + 1)?;
    let mut spaces = older.files.iter().filter_map(|entry| entry.role.space());
    let held = spaces.any(|space| (space.space_id, space.node) == (file.space_id, file.node));
    held.then_some(&older.name)
}

/// Returns the flags that the newest member has for a file.
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
