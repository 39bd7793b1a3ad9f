//! The whole consolidation: the chain, the files, the manifest.

use super::space::{Done, Job};
use super::write::{Wrap, Writer};
use super::{Compress, ConsolidateError, ConsolidateOptions, ConsolidateReport, metadata};
use crate::codec::Compression;
use crate::codec::xbcrypt::Key;
use crate::innodb::Lsn;
use crate::progress::{Phase, Progress};
use crate::restore::fetch::{Fetcher, Stored, heaviest};
use crate::restore::layout::{self, Layout};
use crate::restore::report::Counters;
use crate::restore::source::Source;
use crate::restore::{FilePlan, RestoreError, SourceKind, chain, plain, unwrap};
use crate::store::{
    BackupKind, BackupName, CHECKPOINTS, FileEntry, FileRole, LsnRange, Manifest, PageCounts,
    Repository, StoreError, Upload, packed, windows,
};
use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, Utc};
use rayon::prelude::*;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The last file but the manifest: xbcloud takes it as the sign that a backup is whole.
const TABLESPACES: &str = "xtrabackup_tablespaces";
const INFO: &str = "xtrabackup_info";
/// Bytes that one worker may hold at least: a range, the object it comes from, and both once more while
/// they are unwrapped, wrapped, received and sent.
const WORKER: u64 = 48 << 20;
/// The ranges among them; the rest is for an object of the usual size.
const RANGES: u64 = 16 << 20;

/// Makes a full backup that equals the member `name` (anything that `Repository::resolve` takes).
///
/// # Errors
/// [`ConsolidateError`]; nothing looks finished then, and what was put is removed.
pub fn consolidate(
    repo: &Repository,
    name: &str,
    options: &ConsolidateOptions,
    progress: &dyn Progress,
) -> Result<ConsolidateReport, ConsolidateError> {
    progress.phase(Phase::Preparing, None);
    let name = repo.resolve(name)?;
    let mut manifests = repo.chain_of(&name)?;
    chain::check(&manifests)?;
    unwrap::check(&manifests, options.key.as_ref())?;
    manifests.reverse();
    let layout = layout::lay_out(&manifests)?;
    let Some(newest) = manifests.first() else {
        return Err(refused(&name, "its chain is empty"));
    };
    let wrap = wrap_of(newest, options)?;
    let upload = begin(repo, newest, options)?;
    progress.note(&format!("{} is made of {}", upload.name(), newest.name));
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
    })
}

fn refused(backup: &BackupName, why: impl Into<String>) -> ConsolidateError {
    ConsolidateError::Refused {
        backup: backup.to_string(),
        why: why.into(),
    }
}

/// Takes the new name. Names have a resolution of a second.
fn begin(
    repo: &Repository,
    newest: &Manifest,
    options: &ConsolidateOptions,
) -> Result<Upload, ConsolidateError> {
    if let Some(name) = &options.name {
        if name.is_incremental() {
            return Err(refused(
                name,
                "a full backup lies outside of .incr directories: give a name without `/`",
            ));
        }
        return Ok(repo.begin(name, options.uploads)?);
    }
    let cluster = cluster_of(&newest.name.base()).ok_or_else(|| {
        refused(
            &newest.name,
            "the name of its chain is not <cluster>-YYYY-MM-DD-HH:MM:SS-full: give the new one with --to-name",
        )
    })?;
    let mut tries = 0;
    loop {
        let now = Utc::now();
        match repo.begin(&BackupName::full(&cluster, now)?, options.uploads) {
            Err(StoreError::Exists { .. }) if tries < 3 => tries += 1,
            other => return Ok(other?),
        }
        let rest = 1001 - u64::from(now.timestamp_subsec_millis().min(1000));
        std::thread::sleep(Duration::from_millis(rest));
    }
}

/// The cluster that a full backup's name begins with.
fn cluster_of(full: &BackupName) -> Option<String> {
    let rest = full.as_str().strip_suffix("-full")?;
    let at = rest.len().checked_sub("-YYYY-MM-DD-HH:MM:SS".len())?;
    let (cluster, stamp) = rest.split_at_checked(at)?;
    NaiveDateTime::parse_from_str(stamp, "-%Y-%m-%d-%H:%M:%S").ok()?;
    Some(cluster.to_owned())
}

/// How the new backup is wrapped.
fn wrap_of<'a>(
    newest: &Manifest,
    options: &'a ConsolidateOptions,
) -> Result<Wrap<'a>, ConsolidateError> {
    let wrappings = || newest.files.iter().filter_map(|f| f.wrapping.as_ref());
    let encrypted = newest.mac.is_some() || wrappings().any(|w| w.encryption.is_some());
    let compression = match options.compress {
        Compress::Not => None,
        Compress::With(how) => Some(how),
        Compress::Keep => {
            let name = wrappings().find_map(|w| w.compression.as_deref());
            let parsed = name.map(str::parse::<Compression>).transpose();
            parsed.map_err(|source| ConsolidateError::Codec {
                path: newest.name.to_string(),
                source,
            })?
        }
    };
    Ok(Wrap {
        compression,
        key: options.key.as_ref().filter(|_| encrypted),
    })
}

/// What the workers share.
struct Run<'a> {
    options: &'a ConsolidateOptions,
    /// Newest first.
    manifests: &'a [Manifest],
    newest: &'a Manifest,
    layout: &'a Layout,
    wrap: Wrap<'a>,
    /// Whether small files share objects.
    packs: bool,
    upload: &'a Upload,
    fetcher: Fetcher<'a>,
}

/// What was done, added up.
#[derive(Default)]
struct Sum {
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
        let mut others: Vec<&FileEntry> = self
            .newest
            .files
            .iter()
            .filter(|f| f.role.space().is_none() && f.role != FileRole::DeltaMeta)
            .collect();
        others.sort_by_key(|entry| entry.plain_path() == TABLESPACES);
        let mut open = Vec::new();
        for entry in others {
            if entry.plain_path() == TABLESPACES {
                // It is stored when everything else is.
                finish(&mut open, &mut files, &mut sum)?;
            }
            open.push(self.other(entry, &id)?);
        }
        finish(&mut open, &mut files, &mut sum)?;
        Ok((self.manifest(id, files, sum.pages), sum))
    }

    /// What the workers may hold, in bytes.
    fn memory(&self) -> u64 {
        let memory = self.options.memory as u64;
        memory.saturating_sub(windows::room(self.manifests, memory))
    }

    /// The tablespaces: large files one at a time with their ranges beside each other, small ones
    /// beside each other.
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
        // Handed out one by one, so that all workers read from the same windows of packs.
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
        if self.options.stop.load(Ordering::Acquire) {
            return Err(ConsolidateError::Interrupted);
        }
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
        let space = newest
            .entry
            .role
            .space()
            .ok_or_else(|| newest.damaged("it is no file of a tablespace"))?;
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

    fn stored(&self, member: usize, entry: usize) -> Result<Stored<'_>, RestoreError> {
        let found = self.manifests.get(member).and_then(|manifest| {
            let entry = manifest.files.get(entry)?;
            Some(Stored {
                member,
                manifest,
                entry,
            })
        });
        found.ok_or_else(|| RestoreError::Damaged {
            backup: self.newest.name.to_string(),
            path: "lsnap_manifest.json".to_owned(),
            what: format!("file {entry} of member {member} is not there"),
        })
    }

    /// A file that is no tablespace's: as it is in the newest member, or rewritten.
    fn other<'w>(
        &'w self,
        entry: &'w FileEntry,
        id: &str,
    ) -> Result<(Writer<'w>, &'w FileEntry, u64), ConsolidateError> {
        let stored = Stored {
            member: 0,
            manifest: self.newest,
            entry,
        };
        let name = entry.plain_path();
        let wrap = self.wrap_other(entry);
        let mut out = Writer::new(self.upload, wrap, name, false);
        let rewritten = match name {
            CHECKPOINTS => {
                let text = plain::content(&self.fetcher, stored)?;
                let full = metadata::checkpoints(&text).map_err(|what| stored.damaged(what))?;
                Some(full)
            }
            INFO => {
                let text = plain::content(&self.fetcher, stored)?;
                let text = String::from_utf8_lossy(&text);
                Some(metadata::info(&text, id, self.upload.name().as_str()))
            }
            _ => None,
        };
        if let Some(text) = rewritten {
            let bytes = text.len() as u64;
            let data = wrap.wrap(out.path(), Bytes::from(text))?;
            out.put(0, data, true)?;
            return Ok((out, entry, bytes));
        }
        layout::check_objects(self.newest.name.as_str(), entry)?;
        let same = entry.path == out.path() && entry.wrapping == wrap.wrapping();
        let count = entry.objects.len();
        for (index, object) in entry.objects.iter().enumerate() {
            if same && !object.digest.is_empty() {
                let next = entry.objects.get(index + 1);
                let length = next.and_then(|next| next.at?.checked_sub(object.at?));
                out.copy(
                    &self.newest.name,
                    object,
                    length.unwrap_or(0),
                    index + 1 == count,
                )?;
                continue;
            }
            let mut data = Vec::new();
            self.fetcher.each(stored, index, &mut |offset, piece| {
                // A plain file may have holes, which take no bytes.
                let at = usize::try_from(offset - object.offset).unwrap_or(usize::MAX);
                if at > data.len() {
                    data.resize(at, 0);
                }
                data.extend_from_slice(&piece);
                Ok(())
            })?;
            let last = index + 1 == count;
            let data = match data.is_empty() {
                true if index > 0 => Bytes::new(),
                _ => wrap.wrap(out.path(), Bytes::from(data))?,
            };
            out.put(object.offset, data, last)?;
        }
        Ok((out, entry, entry.bytes))
    }

    /// Files keep their wrapping; when another compression is wanted, those that had one get it.
    fn wrap_other(&self, entry: &FileEntry) -> Wrap<'_> {
        let wrapping = entry.wrapping.clone().unwrap_or_default();
        let name = entry.plain_path();
        let compression = match self.options.compress {
            _ if name == CHECKPOINTS => None,
            Compress::Keep => wrapping.compression.and_then(|how| how.parse().ok()),
            Compress::Not => None,
            Compress::With(how) => Some(how),
        };
        Wrap {
            compression,
            key: self.wrap.key.filter(|_| wrapping.encryption.is_some()),
        }
    }

    fn manifest(&self, id: String, files: Vec<FileEntry>, pages: PageCounts) -> Manifest {
        let mut manifest = Manifest {
            digest: String::new(),
            lsnap_version: env!("CARGO_PKG_VERSION").to_owned(),
            id,
            name: self.upload.name().clone(),
            kind: BackupKind::Full,
            base: None,
            // The state is as old as the member: what asks for the newest must not take an older
            // state for it because it was written later.
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
            mac: None,
            ..without_files(self.newest)
        };
        let key: Option<&Key> = self.wrap.key;
        manifest.mac = key.map(|key| manifest.mac(&key.mac_key()));
        manifest
    }
}

fn finished_at(newest: &Manifest) -> DateTime<Utc> {
    Utc::now().max(newest.finished_at)
}

/// A manifest grows with the database: its files are not copied to be thrown away.
fn without_files(manifest: &Manifest) -> Manifest {
    Manifest {
        digest: String::new(),
        format: manifest.format,
        lsnap_version: String::new(),
        id: String::new(),
        name: manifest.name.clone(),
        kind: manifest.kind,
        base: None,
        started_at: manifest.started_at,
        finished_at: manifest.finished_at,
        server: manifest.server.clone(),
        lsn: manifest.lsn,
        binlog: manifest.binlog.clone(),
        files: Vec::new(),
        left_out: manifest.left_out.clone(),
        pages: PageCounts::default(),
        layout: manifest.layout,
        mac: None,
        page_tracking: manifest.page_tracking.clone(),
    }
}

/// Waits for files that were put.
fn finish(
    open: &mut Vec<(Writer<'_>, &FileEntry, u64)>,
    files: &mut Vec<FileEntry>,
    sum: &mut Sum,
) -> Result<(), ConsolidateError> {
    for (writer, entry, bytes) in open.drain(..) {
        sum.copied_objects += writer.copied_objects;
        sum.copied_bytes += writer.copied_bytes;
        files.push(writer.finish(entry.role.clone(), bytes)?);
    }
    Ok(())
}

impl Sum {
    fn add(&mut self, done: &Done<'_>) {
        self.copied_objects += done.out.copied_objects;
        self.copied_bytes += done.out.copied_bytes;
        self.moved_bytes += done.out.moved_bytes;
        let pages = &mut self.pages;
        pages.verified += done.pages.verified;
        pages.zero += done.pages.zero;
        pages.unverifiable += done.pages.unverifiable;
        // Copied unread: their digests stand for them.
        pages.skipped += done.pages.skipped + done.copied_pages;
    }
}
