//! Runs the page workers on a data directory without a server, for benchmarks (`tools/bench`,
//! `benches/`). It doesn't follow the redo and writes no metadata, so no server can start on the
//! result; the pages are copied by `copy::copy_all`, as in every backup.
//!
//! For benchmarks only: the API is not stable.

use super::copy;
use super::copy_job::CopyJob;
use super::error::BackupError;
use super::metadata::LOGFILE;
use super::open_file::wrap_mode;
use super::sink::Sink;
use super::space_entries::space_entries;
use super::spaces::{CopiedSpace, CopyCounts, SpaceToCopy};
use super::stream::Streams;
use super::wrap::WrapMode;
use super::{Priority, RANGE_BYTES, plain};
use crate::cancel::Cancel;
use crate::codec::Compression;
use crate::datadir::{ReadMode, ReadReport, ServerPaths, Spaces, Tablespace, survey};
use crate::innodb::{Lsn, PageSize, ScanFloor, redo};
use crate::manifest::{
    BackupKind, BackupName, BaseRef, FileEntry, FileRole, LsnRange, Manifest, ServerIdentity,
    packed,
};
use crate::mem::BufferPool;
use crate::progress::Silent;
use crate::store::{Repository, Upload};
use chrono::Utc;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

/// A copy of a data directory without a server.
#[derive(Debug, Clone)]
pub struct Offline {
    /// The data directory, with the layout of the server's defaults.
    pub datadir: PathBuf,
    /// `innodb_page_size`.
    pub page_size: PageSize,
    /// `Some`: an incremental with the pages from this LSN on.
    pub floor: Option<Lsn>,
    /// Threads that read and check pages.
    pub threads: usize,
    /// Memory for pages between read and upload, in bytes.
    pub memory: usize,
    /// How files are read.
    pub mode: ReadMode,
    /// How files are compressed.
    pub compression: Option<Compression>,
    /// Whether small files share objects.
    pub pack: bool,
}

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Number of tablespace files.
    pub files: usize,
    /// Length of these files in bytes.
    pub bytes: u64,
    /// The result of the page checks.
    pub report: ReadReport,
    /// Pages written into deltas.
    pub delta_pages: u64,
    /// Bytes of the files (or deltas) before compression.
    pub copied_bytes: u64,
    /// Bytes of all objects; 0 if none were made.
    pub stored_bytes: u64,
}

impl Offline {
    /// Creates a full copy with one thread a core and 256 MiB of memory.
    #[must_use]
    pub fn new(datadir: &Path) -> Self {
        Self {
            datadir: datadir.to_owned(),
            page_size: PageSize::DEFAULT,
            floor: None,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            memory: 256 << 20,
            mode: ReadMode::Auto,
            compression: None,
            pack: false,
        }
    }

    /// Reads the pages and discards the stream.
    ///
    /// # Errors
    /// Errors of the page workers.
    pub fn scan(&self) -> Result<Counts, BackupError> {
        let nowhere = Streams::new(vec![Box::new(std::io::sink())]);
        self.run(&Sink::streams(nowhere, self.compression, None), false)
    }

    /// Stores the tablespaces as objects under the name of a backup, with `uploads` concurrent
    /// uploads. No manifest is written; the caller removes the objects.
    ///
    /// # Errors
    /// Errors of the page workers and of the repository.
    pub fn copy(
        &self,
        repo: &Repository,
        name: &BackupName,
        uploads: usize,
    ) -> Result<Counts, BackupError> {
        let upload = repo.begin(name, uploads)?;
        self.run(&self.sink(upload), true)
    }

    /// Stores a member of a chain, with a manifest and without redo, so that the merge of a restore
    /// can be measured; no server can start on the result. It contains the pages from the previous
    /// member's start checkpoint on, independent of [`Self::floor`]; its own start checkpoint is
    /// `at`.
    ///
    /// # Errors
    /// The same as [`Self::copy`].
    pub fn member(
        &self,
        repo: &Repository,
        previous: Option<&Manifest>,
        at: Lsn,
    ) -> Result<Manifest, BackupError> {
        let name = match previous {
            None => "made-up-full".to_owned(),
            Some(member) => format!("{}.incr/made-up-{at}", member.name.base()),
        };
        let name = BackupName::parse(&name).map_err(crate::store::StoreError::from)?;
        let floor = previous.map(|member| member.lsn.start_checkpoint);
        let job = Self {
            floor,
            ..self.clone()
        };
        let upload = repo.begin(&name, job.threads.max(4))?;
        let sink = self.sink(upload);
        let survey = survey(&job.paths(), Spaces::OnDisk)?;
        let copied = job.copy_pages(survey.tablespaces, &sink)?;
        let mut files = space_entries(&sink, &copied)?;
        let none = "no redo: a made-up backup for benchmarks\n";
        plain::put_bytes(&sink, LOGFILE, WrapMode::All, none)?;
        let bytes = none.len() as u64;
        files.push(sink.entry(LOGFILE, WrapMode::All, FileRole::Redo, bytes)?);
        let manifest = synthetic_manifest(name, previous, at, files, self.page_size);
        sink.finish(&manifest)?;
        Ok(manifest)
    }

    fn sink(&self, upload: Upload) -> Sink {
        let sink = Sink::objects(upload, self.compression, None);
        if self.pack {
            sink.pack_small_files();
        }
        sink
    }

    fn run(&self, sink: &Sink, stored: bool) -> Result<Counts, BackupError> {
        let survey = survey(&self.paths(), Spaces::OnDisk)?;
        let mut counts = Counts::default();
        for file in self.copy_pages(survey.tablespaces, sink)? {
            let space = &file.space;
            counts.files += 1;
            counts.bytes += space.bytes;
            counts.add(&file.counts);
            if stored {
                let delta = format!("{}.delta", space.name);
                let name = self.floor.map_or(&space.name, |_| &delta);
                let bytes = file.counts.stored_bytes;
                let entry = sink.entry(name, wrap_mode(space), FileRole::Plain, bytes)?;
                counts.stored_bytes += entry.objects.iter().map(|object| object.bytes).sum::<u64>();
            }
        }
        Ok(counts)
    }

    fn copy_pages(
        &self,
        spaces: Vec<Tablespace>,
        sink: &Sink,
    ) -> Result<Vec<CopiedSpace>, BackupError> {
        let floor = self.floor.map(ScanFloor::at);
        let whole = |space| SpaceToCopy {
            space,
            floor,
            pages: None,
        };
        let spaces = spaces.into_iter().map(whole).collect();
        let job = CopyJob {
            mode: self.mode,
            pool: &BufferPool::new(self.memory.max(2 * RANGE_BYTES), RANGE_BYTES),
            threads: self.threads,
            priority: Priority::default(),
            limiter: None,
            sink,
            spool_dir: &std::env::temp_dir(),
            progress: &Silent,
            read: &AtomicU64::new(0),
            cancel: &Cancel::new(),
        };
        copy::copy_all(&job, spaces)
    }

    /// Returns the paths of the server's defaults. The system tablespace is one file of any size.
    fn paths(&self) -> ServerPaths {
        ServerPaths {
            datadir: self.datadir.clone(),
            data_home: PathBuf::new(),
            data_file_path: "ibdata1:1M:autoextend".to_owned(),
            undo_dir: ".".into(),
            redo_dir: ".".into(),
            doublewrite_dir: None,
            temp_dir: "#innodb_temp".into(),
            page_size: self.page_size,
        }
    }
}

impl Counts {
    fn add(&mut self, file: &CopyCounts) {
        self.report.merge(&file.report);
        self.delta_pages += file.delta_pages;
        self.copied_bytes += file.stored_bytes;
    }
}

/// Builds the manifest of a backup for benchmarks, without a server.
fn synthetic_manifest(
    name: BackupName,
    previous: Option<&Manifest>,
    at: Lsn,
    files: Vec<FileEntry>,
    page_size: PageSize,
) -> Manifest {
    Manifest {
        format: packed::format_of(&files),
        lsnap_version: env!("CARGO_PKG_VERSION").into(),
        id: uuid::Uuid::new_v4().to_string(),
        kind: match previous {
            None => BackupKind::Full,
            Some(_) => BackupKind::Incremental,
        },
        base: previous.map(|member| BaseRef {
            name: member.name.clone(),
            id: member.id.clone(),
            to_lsn: member.lsn.to_lsn,
        }),
        started_at: Utc::now(),
        finished_at: Utc::now(),
        server: ServerIdentity {
            uuid: "00000000-0000-0000-0000-000000000000".into(),
            version: "made up".into(),
            flavor: "none".into(),
            hostname: "none".into(),
            page_size,
            redo_format: redo::FORMAT,
            redo_creator: "made up".into(),
            redo_log_uuid: 0,
            data_file_path: "ibdata1:1M:autoextend".into(),
            lower_case_table_names: 0,
            settings: None,
        },
        lsn: LsnRange {
            from_lsn: previous.map_or(Lsn(0), |member| member.lsn.to_lsn),
            scan_floor: previous.map_or(Lsn(0), |member| member.lsn.start_checkpoint),
            start_checkpoint: at,
            to_lsn: at,
            last_lsn: at,
        },
        files,
        ..Manifest::blank(name)
    }
}
