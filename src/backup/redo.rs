//! The redo follower: copies the server's redo log from a checkpoint on, ahead of everything else.
//!
//! Facts: spec 4 (the files of `#innodb_redo`, the blocks, how an end and how an overwritten log
//! look). The server recycles its files: a file that was opened may be renamed and get a new start
//! LSN while it is read, so a place is trusted only after its file's header was read again.

use super::error::BackupError;
use super::spool::Spool;
use crate::innodb::Lsn;
use crate::innodb::redo::{self, BLOCK, BlockState, FileHeader, HEADER};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Bytes of redo read at once.
const READ_BYTES: usize = 1 << 20;
/// How long the follower rests when it has reached the end.
const POLL: Duration = Duration::from_millis(50);
/// How long redo up to a named LSN may take to appear once the server has named it.
const STALL: Duration = Duration::from_secs(60);

/// One open file of the redo log.
#[derive(Debug)]
struct RedoFile {
    file: File,
    path: PathBuf,
    start: Lsn,
    end: Lsn,
}

/// The redo files as they were at one moment.
#[derive(Debug)]
pub(super) struct RedoFiles {
    dir: PathBuf,
    files: Vec<RedoFile>,
}

/// Where a backup's redo starts.
#[derive(Debug, Clone)]
pub(super) struct StartPoint {
    /// The newest checkpoint of the server at this moment.
    pub checkpoint: Lsn,
    /// The raw 2,048-byte header of the file that holds it.
    pub header: Vec<u8>,
    /// The parsed first block of that header.
    pub file: FileHeader,
}

impl RedoFiles {
    /// Opens every `#ib_redo<N>` in `dir`.
    pub(super) fn open(dir: &Path) -> Result<Self, BackupError> {
        let mut this = Self {
            dir: dir.to_owned(),
            files: Vec::new(),
        };
        this.reopen()?;
        Ok(this)
    }

    fn reopen(&mut self) -> Result<(), BackupError> {
        self.files.clear();
        let mut seen = Vec::new();
        let entries =
            fs::read_dir(&self.dir).map_err(BackupError::io(&self.dir, "list the redo log"))?;
        for entry in entries {
            let entry = entry.map_err(BackupError::io(&self.dir, "list the redo log"))?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(|n| n.strip_prefix("#ib_redo")) else {
                continue;
            };
            if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            match Self::open_one(&entry.path()) {
                Ok(file) => self.files.push(file),
                Err(why) => seen.push(format!("{}: {why}", name.to_string_lossy())),
            }
        }
        self.files.sort_by_key(|f| f.start);
        if self.files.is_empty() {
            return Err(BackupError::NoRedo {
                dir: self.dir.clone(),
                detail: if seen.is_empty() {
                    "none".into()
                } else {
                    seen.join("; ")
                },
            });
        }
        Ok(())
    }

    fn open_one(path: &Path) -> Result<RedoFile, BackupError> {
        let file = File::open(path).map_err(BackupError::io(path, "open"))?;
        let mut block = [0; BLOCK];
        file.read_exact_at(&mut block, 0)
            .map_err(BackupError::io(path, "read the header of"))?;
        let header = FileHeader::parse(&block)?;
        let bytes = file
            .metadata()
            .map_err(BackupError::io(path, "stat"))?
            .len();
        Ok(RedoFile {
            end: Lsn(header.start_lsn.0 + bytes.saturating_sub(HEADER as u64)),
            start: header.start_lsn,
            path: path.to_owned(),
            file,
        })
    }

    /// The newest checkpoint over all files (spec 4.3).
    pub(super) fn start_point(&self) -> Result<StartPoint, BackupError> {
        let mut best: Option<StartPoint> = None;
        for f in &self.files {
            let mut header = vec![0; HEADER];
            f.file
                .read_exact_at(&mut header, 0)
                .map_err(BackupError::io(&f.path, "read the header of"))?;
            let Ok(parsed) = FileHeader::parse(&header[..BLOCK]) else {
                continue;
            };
            for at in [BLOCK, 3 * BLOCK] {
                let Some(lsn) = redo::parse_checkpoint(&header[at..at + BLOCK]) else {
                    continue;
                };
                let inside = lsn >= parsed.start_lsn && lsn < f.end && parsed.start_lsn == f.start;
                if inside && best.as_ref().is_none_or(|b| b.checkpoint < lsn) {
                    best = Some(StartPoint {
                        checkpoint: lsn,
                        header: header.clone(),
                        file: parsed.clone(),
                    });
                }
            }
        }
        best.ok_or_else(|| BackupError::NoRedo {
            dir: self.dir.clone(),
            detail: format!("{} files, none with a valid checkpoint", self.files.len()),
        })
    }

    /// Reads whole blocks from `lsn` on into `buffer`; 0 when no file holds that LSN yet.
    fn read(&self, lsn: Lsn, buffer: &mut [u8]) -> Result<usize, BackupError> {
        let Some(f) = self.files.iter().find(|f| f.start <= lsn && lsn < f.end) else {
            return Ok(0);
        };
        let len = buffer.len().min((f.end.0 - lsn.0) as usize) & !(BLOCK - 1);
        f.file
            .read_exact_at(&mut buffer[..len], HEADER as u64 + lsn.0 - f.start.0)
            .map_err(BackupError::io(&f.path, "read"))?;
        Ok(len)
    }

    /// Whether the file that holds `lsn` is still the file that it was when opened.
    fn still_holds(&self, lsn: Lsn) -> bool {
        let Some(f) = self.files.iter().find(|f| f.start <= lsn && lsn < f.end) else {
            return false;
        };
        let mut block = [0; BLOCK];
        f.file.read_exact_at(&mut block, 0).is_ok()
            && FileHeader::parse(&block).is_ok_and(|h| h.start_lsn == f.start)
    }

    fn oldest(&self) -> Option<Lsn> {
        self.files.first().map(|f| f.start)
    }
}

/// Copies blocks into a spool. One thread owns it; see [`Follower::run`].
pub(super) struct Follower<'a> {
    files: RedoFiles,
    spool: &'a Spool,
    /// The first block of the spool.
    first: Lsn,
    /// The next block to read.
    next: Lsn,
    /// The block at `next`, when it is there but not full yet.
    partial: Option<(Box<[u8; BLOCK]>, u16)>,
    buffer: Vec<u8>,
    /// A second read of encrypted blocks.
    again: Vec<u8>,
    /// Whether the header that the backup carries holds the key of encrypted blocks.
    has_key: bool,
}

/// What one pass over the redo found.
#[derive(Debug, PartialEq, Eq)]
enum Pass {
    Advanced,
    AtEnd,
}

impl<'a> Follower<'a> {
    pub(super) fn new(files: RedoFiles, start: &StartPoint, spool: &'a Spool) -> Self {
        Self {
            files,
            spool,
            first: start.checkpoint.block_start(),
            next: start.checkpoint.block_start(),
            partial: None,
            buffer: vec![0; READ_BYTES],
            again: Vec::new(),
            has_key: redo::has_encryption_info(&start.header),
        }
    }

    /// Reads until the end of the log is reached once: from then on the copy of pages may start.
    pub(super) fn catch_up(&mut self, mut seen: impl FnMut(u64)) -> Result<(), BackupError> {
        loop {
            let before = self.next;
            if self.pass()? == Pass::AtEnd {
                return Ok(());
            }
            seen(self.next.0 - before.0);
        }
    }

    /// Follows the log until an LSN arrives through `stop`, then up to exactly that LSN. The spool must
    /// be held back before the server is asked for that LSN.
    pub(super) fn run(mut self, stop: &Receiver<StopAt>) -> Result<Lsn, BackupError> {
        loop {
            let pass = self.pass()?;
            let wait = if pass == Pass::AtEnd {
                POLL
            } else {
                Duration::ZERO
            };
            match stop.recv_timeout(wait) {
                Ok(at) => return self.finish(at),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(BackupError::Interrupted),
            }
        }
    }

    fn finish(mut self, at: StopAt) -> Result<Lsn, BackupError> {
        let mut since = Instant::now();
        let mut reached = self.reached();
        while reached < at.lsn {
            let pass = self.pass()?;
            // Tables may be locked until this is done: no pause where there is something to do.
            if self.reached() > reached {
                reached = self.reached();
                since = Instant::now();
            } else if pass == Pass::AtEnd {
                if since.elapsed() > STALL {
                    return Err(BackupError::RedoShort {
                        reached,
                        wanted: at.lsn,
                        seconds: STALL.as_secs(),
                    });
                }
                std::thread::sleep(POLL);
            }
        }
        self.cut(at)?;
        Ok(reached)
    }

    /// Makes the spool end at exactly `stop`, which the log has reached: what the server wrote since
    /// belongs to transactions beyond the recorded binary log position.
    fn cut(&mut self, stop: StopAt) -> Result<(), BackupError> {
        let StopAt {
            lsn: stop,
            commits_held,
        } = stop;
        let at = HEADER as u64 + stop.block_start().0 - self.first.0;
        let mut block = [0; BLOCK];
        match &self.partial {
            Some((partial, _)) if self.next == stop.block_start() => {
                block.copy_from_slice(&partial[..])
            }
            _ if self.next > stop.block_start() => self.spool.read_back(at, &mut block)?,
            _ => return Ok(()),
        }
        self.spool.truncate(at);
        let data_len = (stop.0 - stop.block_start().0) as u16;
        if data_len < redo::BLOCK_HEADER {
            return Ok(());
        }
        // Without the key an encrypted block can't be cut: no commit may lie in the rest of it.
        match redo::BlockHeader::parse(&block).encrypted {
            false => redo::cut_block(&mut block, data_len),
            true if commits_held => {}
            true => return Err(BackupError::RedoKey { at: stop }),
        }
        self.spool.append(&block)
    }

    fn reached(&self) -> Lsn {
        let partial = self.partial.as_ref().map_or(0, |(_, len)| u64::from(*len));
        Lsn(self.next.0 + partial)
    }

    /// Reads on from `next` to the end of what is there, or of one buffer.
    fn pass(&mut self) -> Result<Pass, BackupError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.pass_into(&mut buffer);
        self.buffer = buffer;
        result
    }

    fn pass_into(&mut self, buffer: &mut [u8]) -> Result<Pass, BackupError> {
        let len = self.files.read(self.next, buffer)?;
        let (full, stop) = self.scan_proven(buffer, len)?;
        if matches!(stop, Some(BlockState::Overwritten { .. }))
            || (full == 0 && !self.files.still_holds(self.next))
        {
            return self.relocate();
        }
        if full > 0 {
            // Bytes read from a file that was recycled in the meantime are not trusted: the block
            // numbers were right, but the header must still say so after the read.
            self.spool.append(&buffer[..full])?;
            self.next = Lsn(self.next.0 + full as u64);
            self.partial = None;
        }
        if let Some(BlockState::Partial { data_len }) = stop {
            let mut block = Box::new([0; BLOCK]);
            block.copy_from_slice(&buffer[full..full + BLOCK]);
            self.partial = Some((block, data_len));
        }
        Ok(if full > 0 && stop.is_none() {
            Pass::Advanced
        } else {
            Pass::AtEnd
        })
    }

    /// The length of the run of full blocks, and what ended it.
    fn scan(&self, bytes: &[u8]) -> (usize, Option<BlockState>) {
        let mut full = 0;
        for block in bytes.chunks_exact(BLOCK) {
            match redo::classify(block, Lsn(self.next.0 + full as u64)) {
                BlockState::Full => full += BLOCK,
                other => return (full, Some(other)),
            }
        }
        (full, None)
    }

    /// As [`Self::scan`], with encrypted blocks taken when a second read of them is equal: without the
    /// key their checksum says nothing (spec 4.2 and `innodb::redo`).
    fn scan_proven(
        &mut self,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<(usize, Option<BlockState>), BackupError> {
        let (full, stop) = self.scan(&buffer[..len]);
        if !matches!(stop, Some(BlockState::Unproven { .. })) {
            return Ok((full, stop));
        }
        if !self.has_key {
            return Err(BackupError::RedoKey {
                at: Lsn(self.next.0 + full as u64),
            });
        }
        let mut again = std::mem::take(&mut self.again);
        again.resize(len, 0);
        let same = self.files.read(self.next, &mut again)?;
        let mut at = full;
        let mut end = None;
        while at < len.min(same) {
            let block = &buffer[at..at + BLOCK];
            let equal = block == &again[at..at + BLOCK];
            match redo::classify(block, Lsn(self.next.0 + at as u64)) {
                BlockState::Full => at += BLOCK,
                BlockState::Unproven { data_len: 512 } if equal => at += BLOCK,
                BlockState::Unproven { data_len } if equal => {
                    end = Some(BlockState::Partial { data_len });
                    break;
                }
                BlockState::Unproven { .. } => {
                    end = Some(BlockState::Torn);
                    break;
                }
                other => {
                    end = Some(other);
                    break;
                }
            }
        }
        self.again = again;
        Ok((at, end))
    }

    /// The files changed under us: find `next` again, or say how much was lost.
    fn relocate(&mut self) -> Result<Pass, BackupError> {
        self.files.reopen()?;
        let oldest = self.files.oldest().unwrap_or_default();
        let held = self.files.still_holds(self.next);
        if oldest > self.next {
            return Err(BackupError::RedoOverwritten {
                needed: self.next,
                oldest,
                behind: format!("{:.1} MiB", (oldest.0 - self.next.0) as f64 / 1048576.0),
            });
        }
        if held {
            let mut block = [0; BLOCK];
            let len = self.files.read(self.next, &mut block)?;
            if let (BLOCK, BlockState::Overwritten { found_lsn }) =
                (len, redo::classify(&block, self.next))
            {
                return Err(BackupError::RedoOverwritten {
                    needed: self.next,
                    oldest: found_lsn,
                    behind: format!("{:.1} MiB", (found_lsn.0 - self.next.0) as f64 / 1048576.0),
                });
            }
        }
        Ok(Pass::AtEnd)
    }
}

/// The end of the redo of this backup.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopAt {
    /// `LSN` of `performance_schema.log_status`.
    pub lsn: Lsn,
    /// Whether the global read lock kept every commit from the redo behind that LSN.
    pub commits_held: bool,
}

/// A way to tell a follower where to stop.
pub(super) fn stop_channel() -> (Sender<StopAt>, Receiver<StopAt>) {
    mpsc::channel()
}

#[cfg(test)]
#[path = "redo_tests.rs"]
mod tests;
