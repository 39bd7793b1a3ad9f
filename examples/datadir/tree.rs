//! A made-up data directory: which files there are, and who writes which part of them.

use super::pages::{Kind, Random, Space, Sum};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Says that a directory was made up, and how: no other one is ever written into.
const MARK: &str = "lsnap-made-up.json";
/// What a thread writes at once, in bytes.
const PIECE: u64 = 4 << 20;
/// Tables of one schema.
const TABLES: u32 = 1000;
/// The fewest pages of a table that a server makes.
const FEWEST: u32 = 7;
const MIB: u64 = 1 << 20;

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Bytes of all tables.
    pub bytes: u64,
    /// Tables, of equal size.
    pub files: u32,
    /// Bytes of a page.
    pub page_size: usize,
    /// What the contents depend on.
    pub seed: u64,
    /// The LSN that all pages are below.
    pub lsn: u64,
    /// The checksum of pages.
    pub sum: Sum,
    /// Threads that write.
    pub threads: usize,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct Written {
    /// Tablespace files there.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Pages that were written now.
    pub pages: u64,
    /// How long that took.
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

    /// Every tablespace file with its path.
    fn files(&self) -> Vec<(PathBuf, Space)> {
        let whole = |bytes: u64| (bytes / self.page_size as u64) as u32;
        let system = self.space(0, Kind::Shared, whole(12 * MIB));
        let dictionary = self.space(0xFFFF_FFFE, Kind::Shared, whole(2 * MIB));
        let undo = |id| self.space(id, Kind::Undo, whole(2 * MIB));
        let tables = (0..self.files).map(|n| {
            let path = format!("made{:03}/t{:06}.ibd", n / TABLES, n);
            // below 10 are ids that servers give to tables of their own
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

/// Makes a data directory; `dir` must be empty or not there.
///
/// # Errors
/// What the system says; that there is something already.
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
            "{each} pages a file: at most 4294967295 are possible; ask for more files"
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
    // Two thirds of the way below, as if the newest third had been written after the last checkpoint.
    let lsn = |random: u64| shape.lsn - 1 - random % (shape.lsn - 1).max(1);
    write(dir, &mark, shape.threads, |random| Some(lsn(random.next())))
}

/// Rewrites about that share (0 to 1) of all pages, each with an LSN in `lsn..lsn + 1 MiB`. Which ones
/// depends on `seed`.
///
/// # Errors
/// What the system says; that `dir` was not made by [`create`].
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

/// Writes those pages for which `lsn` gives one.
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

/// Writes the pages `first..first + count` that get an LSN; runs of them with one call.
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
