//! A generated data directory: its files, and the distribution of their parts to writer threads.

use super::pages::{Kind, Random, Space, Sum};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Marks a directory as generated, with its parameters; the program never writes into any other
/// directory.
const MARK: &str = "lsnap-made-up.json";
/// Bytes that a thread writes at a time.
const PIECE: u64 = 4 << 20;
/// Tables of one schema.
const TABLES: u32 = 1000;
/// The smallest number of pages of a table that a server creates.
const FEWEST: u32 = 7;
const MIB: u64 = 1 << 20;

/// The parameters of a data directory.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Total size of all tables, in bytes.
    pub bytes: u64,
    /// Number of tables, of equal size.
    pub files: u32,
    /// Page size in bytes.
    pub page_size: usize,
    /// Seed of the contents.
    pub seed: u64,
    /// The LSN that all pages are below.
    pub lsn: u64,
    /// The checksum algorithm of pages.
    pub sum: Sum,
    /// Number of writer threads.
    pub threads: usize,
}

/// Totals of a run.
#[derive(Debug, Serialize)]
pub struct Written {
    /// Number of tablespace files in the directory.
    pub files: usize,
    /// Their total size, in bytes.
    pub bytes: u64,
    /// Number of pages written by this run.
    pub pages: u64,
    /// Duration in seconds.
    pub seconds: f64,
}

/// The contents of [`MARK`].
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    page_size: usize,
    files: u32,
    pages: u32,
    sum: String,
    seed: u64,
    lsn: u64,
}

impl Mark {
    fn space(&self, id: u32, kind: Kind, pages: u32) -> Space {
        let sum = match self.sum.as_str() {
            "innodb" => Sum::Innodb,
            "none" => Sum::None,
            _ => Sum::Crc32,
        };
        Space {
            id,
            kind,
            page_size: self.page_size,
            pages,
            sum,
        }
    }

    /// Returns every tablespace file with its path.
    fn files(&self) -> Vec<(PathBuf, Space)> {
        let whole = |bytes: u64| (bytes / self.page_size as u64) as u32;
        let system = self.space(0, Kind::Shared, whole(12 * MIB));
        let dictionary = self.space(0xFFFF_FFFE, Kind::Shared, whole(2 * MIB));
        let undo = |id| self.space(id, Kind::Undo, whole(2 * MIB));
        let tables = (0..self.files).map(|n| {
            let path = format!("made{:03}/t{:06}.ibd", n / TABLES, n);
            // servers use ids below 10 for their own tables
            (path.into(), self.space(n + 10, Kind::Table, self.pages))
        });
        [
            ("ibdata1".into(), system),
            ("mysql.ibd".into(), dictionary),
            ("undo_001".into(), undo(0xFFFF_FFEF)),
            ("undo_002".into(), undo(0xFFFF_FFEE)),
        ]
        .into_iter()
        .chain(tables)
        .collect()
    }
}

/// Creates a data directory; `dir` must be empty or missing.
///
/// # Errors
/// The error of the operating system, or `dir` is not empty.
pub fn create(dir: &Path, shape: &Shape) -> io::Result<Written> {
    fs::create_dir_all(dir)?;
    if fs::read_dir(dir)?.next().is_some() {
        return Err(io::Error::other(format!(
            "{}: is not empty; name a directory that is",
            dir.display()
        )));
    }
    let each = shape.bytes / u64::from(shape.files.max(1)) / shape.page_size as u64;
    let pages = u32::try_from(each).map_err(|_| {
        io::Error::other(format!(
            "{each} pages in a file, at most 4294967295 are possible: use more files"
        ))
    })?;
    let mark = Mark {
        page_size: shape.page_size,
        files: shape.files,
        pages: pages.max(FEWEST),
        sum: format!("{:?}", shape.sum).to_lowercase(),
        seed: shape.seed,
        lsn: shape.lsn,
    };
    fs::write(dir.join(MARK), serde_json::to_vec_pretty(&mark)?)?;
    for schema in 0..shape.files.div_ceil(TABLES) {
        fs::create_dir(dir.join(format!("made{schema:03}")))?;
    }
    // The newest third of the LSNs is left out, as if it had been written after the last
    // checkpoint.
    let lsn = |random: u64| shape.lsn - 1 - random % (shape.lsn - 1).max(1);
    write(dir, &mark, shape.threads, |random| Some(lsn(random.next())))
}

/// Rewrites about this share (0 to 1) of all pages, each with an LSN in `lsn..lsn + 1 MiB`. The
/// choice depends on `seed`.
///
/// # Errors
/// The error of the operating system, or `dir` was not created by [`create`].
pub fn change(dir: &Path, share: f64, lsn: u64, seed: u64, threads: usize) -> io::Result<Written> {
    let text = fs::read(dir.join(MARK)).map_err(|e| {
        let why = "only a directory that this program made is changed";
        io::Error::new(
            e.kind(),
            format!("{}: {e}; {why}", dir.join(MARK).display()),
        )
    })?;
    let mut mark: Mark = serde_json::from_slice(&text)?;
    mark.seed = seed ^ lsn;
    let below = (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
    write(dir, &mark, threads, |random| {
        (random.next() <= below && below > 0).then(|| lsn + random.next() % MIB)
    })
}

/// Writes the pages for which `lsn` returns an LSN.
fn write(
    dir: &Path,
    mark: &Mark,
    threads: usize,
    lsn: impl Fn(&mut Random) -> Option<u64> + Sync,
) -> io::Result<Written> {
    let start = Instant::now();
    let files = mark.files();
    let page = mark.page_size as u64;
    let per_piece = (PIECE / page) as u32;
    let work: Vec<(usize, u32)> = files
        .iter()
        .enumerate()
        .flat_map(|(i, (_, space))| {
            (0..space.pages)
                .step_by(per_piece as usize)
                .map(move |at| (i, at))
        })
        .collect();
    let (next, pages) = (AtomicUsize::new(0), AtomicU64::new(0));
    let worker = || -> io::Result<()> {
        let mut buffer = vec![0; PIECE as usize];
        while let Some(&(file, first)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (path, space) = &files[file];
            let count = per_piece.min(space.pages - first);
            let written = piece(
                &dir.join(path),
                space,
                first,
                count,
                mark.seed,
                &lsn,
                &mut buffer,
            )?;
            pages.fetch_add(written, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().try_for_each(|t| {
            t.join()
                .map_err(|_| io::Error::other("a thread panicked"))?
        })
    })?;
    Ok(Written {
        bytes: files.iter().map(|(_, s)| u64::from(s.pages) * page).sum(),
        files: files.len(),
        pages: pages.into_inner(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Writes the pages `first..first + count` that get an LSN, with one call for each run of pages.
fn piece(
    path: &Path,
    space: &Space,
    first: u32,
    count: u32,
    seed: u64,
    lsn: &impl Fn(&mut Random) -> Option<u64>,
    buffer: &mut [u8],
) -> io::Result<u64> {
    let size = space.page_size;
    let mut file: Option<File> = None;
    let (mut run, mut total) = (0, 0);
    for no in first..=first + count {
        let mut random = Random(seed ^ u64::from(space.id) << 32 ^ u64::from(no));
        let new = if no < first + count {
            lsn(&mut random)
        } else {
            None
        };
        if let Some(new) = new {
            space.write(no, new, seed, &mut buffer[run * size..][..size]);
            run += 1;
            continue;
        }
        if run > 0 {
            let file = match &mut file {
                Some(file) => file,
                None => file.insert(
                    OpenOptions::new()
                        .write(true)
                        .create(true)
                        .truncate(false)
                        .open(path)?,
                ),
            };
            let at = u64::from(no - run as u32) * size as u64;
            file.write_all_at(&buffer[..run * size], at)?;
            total += run as u64;
            run = 0;
        }
    }
    Ok(total)
}
