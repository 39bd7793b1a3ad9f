//! The consolidation: the chain, the files, the manifest.

use super::begin::{begin, refused, wrap_of};
use super::space::{Done, Job};
use super::write::Writer;
use super::{ConsolidateError, ConsolidateOptions, ConsolidateReport};
use crate::innodb::Lsn;
use crate::manifest::{
    BackupKind, BackupName, FileEntry, LsnRange, Manifest, PageCounts, Wrap, packed,
};
use crate::progress::{Phase, Progress};
use crate::reader::counters::Counters;
use crate::reader::fetch::Fetcher;
use crate::reader::layout::Layout;
use crate::reader::source::Source;
use crate::reader::stored::{Stored, heaviest};
use crate::reader::unwrap::Opening;
use crate::reader::{FilePlan, ReadError, SourceKind, chain, layout, unwrap};
use crate::store::{Repository, StoreError, Upload, windows};
use chrono::{DateTime, Utc};
use rayon::prelude::*;

/// Bytes that one worker can use at least: a range, the object that contains it, and both a second
/// time while they are unwrapped, wrapped, received and sent.
const WORKER: u64 = 48 << 20;
/// Bytes of the ranges among them; the rest is for an object of the usual size.
const RANGES: u64 = 16 << 20;

/// Creates a full backup with the content of the member `name` (any name that `Repository::resolve`
/// accepts).
///
/// # Errors
/// [`ConsolidateError`]; the uploaded objects are removed, and there is no new finished backup.
pub fn consolidate(
    repo: &Repository,
    name: &str,
    options: &ConsolidateOptions,
    progress: &dyn Progress,
) -> Result<ConsolidateReport, ConsolidateError> {
    progress.phase(Phase::Preparing, None);
    let choice = repo.choose(name)?;
    let (name, warnings) = (choice.name.clone(), choice.warnings());
    let mut manifests = repo.chain_of(&name)?;
    let names: Vec<_> = manifests.iter().map(|m| m.name.clone()).collect();
    let _reading = repo.announce_reading("consolidate", &names)?;
    admit(repo, options, &name, &manifests)?;
    manifests.reverse();
    let layout = layout::lay_out(&manifests)?;
    let Some(newest) = manifests.first() else {
        return Err(refused(&name, "its chain is empty"));
    };
    let wrap = wrap_of(newest, options)?;
    let upload = begin(repo, newest, options)?;
    progress.note(&format!("creating {} from {}", upload.name(), newest.name));
    let counters = Counters::new(manifests.len());
    let _windows = repo.reading(&manifests, options.memory as u64);
    let run = Run {
        options,
        manifests: &manifests,
        newest,
        layout: &layout,
        wrap,
        packs: options.pack_small_files.packs(layout.files.len()),
        upload: &upload,
        fetcher: Fetcher {
            source: Source::Repository(repo),
            progress,
            phase: Phase::Merge,
            counters: &counters,
            key: options.key.as_ref(),
            limit: options.memory as u64,
            cancel: &options.cancel,
        },
    };
    let made = run.all().and_then(|(manifest, copied)| {
        upload.clone().finish(&manifest)?;
        Ok((manifest, copied))
    });
    let (manifest, sum) = match made {
        Ok(made) => made,
        Err(error) => {
            if let Err(left) = upload.abort() {
                tracing::error!("{left}");
            }
            return Err(error);
        }
    };
    Ok(ConsolidateReport {
        name: manifest.name.clone(),
        of: name,
        chain: manifests.iter().rev().map(|m| m.name.clone()).collect(),
        objects: manifest.objects(),
        stored_bytes: manifest.stored_bytes(),
        copied_objects: sum.copied_objects,
        copied_bytes: sum.copied_bytes,
        fetched_bytes: counters.fetched_total() + sum.moved_bytes,
        checked_pages: manifest.pages.verified + manifest.pages.unverifiable,
        warnings,
        manifest,
    })
}

/// Refuses a chain that can't be merged, or that the key doesn't authenticate.
fn admit(
    repo: &Repository,
    options: &ConsolidateOptions,
    name: &BackupName,
    manifests: &[Manifest],
) -> Result<(), ConsolidateError> {
    chain::check(manifests)?;
    let opening = Opening {
        key: options.key.as_ref(),
        unauthenticated: options.accept_unauthenticated,
    };
    for accepted in unwrap::check(manifests, opening)? {
        tracing::warn!("{accepted}");
    }
    if options.key.is_none() && repo.is_encrypted_only()? {
        let why = "the repository takes encrypted backups only: set ConsolidateOptions::key";
        return Err(refused(name, why));
    }
    Ok(())
}

/// The values that the workers share.
pub(super) struct Run<'a> {
    pub(super) options: &'a ConsolidateOptions,
    /// Newest first.
    manifests: &'a [Manifest],
    pub(super) newest: &'a Manifest,
    layout: &'a Layout,
    pub(super) wrap: Wrap<'a>,
    /// The choice whether small files share objects.
    packs: bool,
    pub(super) upload: &'a Upload,
    pub(super) fetcher: Fetcher<'a>,
}

/// The sum of the results.
#[derive(Default)]
pub(super) struct Sum {
    pages: PageCounts,
    copied_objects: u64,
    copied_bytes: u64,
    moved_bytes: u64,
}

impl Run<'_> {
    fn all(&self) -> Result<(Manifest, Sum), ConsolidateError> {
        let sources = self.layout.files.iter().flat_map(|file| &file.sources);
        let total: u64 = sources.map(|source| source.stored_bytes).sum();
        self.fetcher.progress.phase(Phase::Merge, Some(total));
        let id = uuid::Uuid::new_v4().to_string();
        let heaviest = heaviest(self.manifests);
        let worker = WORKER.max(RANGES.saturating_add(heaviest.saturating_mul(2)));
        let fitting = usize::try_from(self.memory() / worker).unwrap_or(usize::MAX);
        let workers = self.options.threads.min(fitting).max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .thread_name(|number| format!("consolidate-{number}"))
            .build()
            .map_err(|error| ConsolidateError::Threads {
                threads: workers,
                reason: error.to_string(),
            })?;
        let done = pool.install(|| self.spaces(workers))?;
        self.fetcher.progress.phase(Phase::Finish, None);
        let (mut files, mut sum) = (Vec::with_capacity(self.newest.files.len()), Sum::default());
        for done in done {
            sum.add(&done);
            files.push(done.out.finish(done.role, done.bytes)?);
        }
        self.others(&id, &mut files, &mut sum)?;
        let mut manifest = self.manifest(id, files, sum.pages);
        if let Some(key) = self.wrap.key {
            manifest
                .authenticate(&key.mac_key())
                .map_err(StoreError::from)?;
        }
        Ok((manifest, sum))
    }

    /// Returns the memory of all workers in bytes.
    fn memory(&self) -> u64 {
        let memory = self.options.memory as u64;
        memory.saturating_sub(windows::reserved_bytes(self.manifests, memory))
    }

    /// Creates the tablespaces: large files one at a time with their ranges concurrently, small
    /// files concurrently.
    fn spaces(&self, workers: usize) -> Result<Vec<Done<'_>>, ConsolidateError> {
        let large = |file: &FilePlan| file.bytes / (8 << 20) >= 4 * workers as u64;
        let keep = self.memory() / 4;
        let files = || self.layout.files.iter().enumerate();
        let mut done = Vec::with_capacity(self.layout.files.len());
        for (number, file) in files().filter(|(_, file)| workers > 1 && large(file)) {
            done.push((number, self.space(file, workers, keep)?));
        }
        let small: Vec<_> = files()
            .filter(|(_, file)| workers == 1 || !large(file))
            .collect();
        // One file at a time, so that all workers read from the same windows of packs.
        let small = small.into_iter().par_bridge().map(|(number, file)| {
            let made = self.space(file, 1, keep / workers as u64)?;
            Ok((number, made))
        });
        done.extend(small.collect::<Result<Vec<_>, ConsolidateError>>()?);
        done.sort_by_key(|(number, _)| *number);
        Ok(done.into_iter().map(|(_, done)| done).collect())
    }

    fn space(
        &self,
        file: &FilePlan,
        batch: usize,
        cache: u64,
    ) -> Result<Done<'_>, ConsolidateError> {
        self.options.cancel.check()?;
        let (mut deltas, mut image, mut newest) = (Vec::new(), None, None);
        for source in &file.sources {
            let stored = self.stored(source.member, source.entry)?;
            newest.get_or_insert(stored);
            match source.kind {
                SourceKind::Delta => deltas.push(stored),
                SourceKind::Image => image = Some(stored),
            }
        }
        let newest = newest.ok_or_else(|| refused(&self.newest.name, "a file without a source"))?;
        let space = newest.space()?;
        // The pages of an encrypted tablespace are ciphertext.
        let compression = self
            .wrap
            .compression
            .filter(|_| !space.flags.is_encrypted());
        let wrap = Wrap {
            compression,
            key: self.wrap.key,
        };
        let job = Job {
            fetcher: &self.fetcher,
            options: self.options,
            file,
            space,
            newest,
            deltas,
            image,
            batch,
            cache,
        };
        job.run(Writer::new(self.upload, wrap, &space.name, self.packs))
    }

    fn stored(&self, member: usize, entry: usize) -> Result<Stored<'_>, ReadError> {
        let found = self.manifests.get(member).and_then(|manifest| {
            let entry = manifest.files.get(entry)?;
            Some(Stored {
                member,
                manifest,
                entry,
            })
        });
        found.ok_or_else(|| {
            ReadError::damaged(
                &self.newest.name,
                "lsnap_manifest.json",
                format!("file {entry} of member {member} does not exist"),
            )
        })
    }

    fn manifest(&self, id: String, files: Vec<FileEntry>, pages: PageCounts) -> Manifest {
        Manifest {
            lsnap_version: env!("CARGO_PKG_VERSION").to_owned(),
            id,
            name: self.upload.name().clone(),
            kind: BackupKind::Full,
            // The state is as old as the member: a search for the newest backup must not choose an
            // older state because it was written later.
            started_at: self.newest.started_at,
            finished_at: finished_at(self.newest),
            lsn: LsnRange {
                from_lsn: Lsn(0),
                scan_floor: Lsn(0),
                ..self.newest.lsn
            },
            format: packed::format_of(&files),
            files,
            pages,
            ..self.newest.without_files()
        }
    }
}

fn finished_at(newest: &Manifest) -> DateTime<Utc> {
    Utc::now().max(newest.finished_at)
}

impl Sum {
    pub(super) fn written(&mut self, out: &Writer<'_>) {
        self.copied_objects += out.copied_objects;
        self.copied_bytes += out.copied_bytes;
        self.moved_bytes += out.moved_bytes;
    }

    fn add(&mut self, done: &Done<'_>) {
        self.written(&done.out);
        let pages = &mut self.pages;
        pages.verified += done.pages.verified;
        pages.zero += done.pages.zero;
        pages.unverifiable += done.pages.unverifiable;
        // They were copied without being read; their digests prove them.
        pages.skipped += done.pages.skipped + done.copied_pages;
    }
}
