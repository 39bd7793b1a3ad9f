//! The redo follower: copies the server's redo log from a checkpoint on, concurrently with the rest
//! of the backup.
//!
//! Facts: `docs/format/redo.md` (the blocks, the end of the log, an overwritten log). The files are
//! found by [`super::redo_files`].

use super::error::BackupError;
use super::redo_files::{RedoFiles, StartPoint};
use super::spool::Spool;
use crate::innodb::redo::{self, BLOCK, BlockState, HEADER};
use crate::innodb::{EndLsn, Lsn};
use crate::manifest::RedoMark;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Length of one read of redo, in bytes.
const READ_BYTES: usize = 1 << 20;
/// The same at the end of the log, where most reads find nothing new.
const READ_AT_END: usize = 64 << 10;
/// Pause of the follower at the end of the log. The server may reuse a file as soon as its
/// checkpoint has passed it: if `innodb_redo_log_capacity` is lowered, that is milliseconds after
/// it was written.
const POLL: Duration = Duration::from_millis(10);
/// Number of reads without new redo after which the directory is listed again: the server may have
/// continued in a file that did not exist at the last listing.
const IDLE_PASSES: u32 = 100;
/// Number of attempts, with a pause in between, to find redo before it is reported as lost: the
/// server may be renaming files.
const RELOCATE_TRIES: u32 = 6;
const RELOCATE_PAUSE: Duration = Duration::from_millis(20);
/// Time limit for redo up to an LSN to appear after the server has reported that LSN.
const STALL: Duration = Duration::from_secs(60);

/// Copies blocks into a spool. Owned by one thread; see [`Follower::run`].
pub(super) struct Follower {
    files: RedoFiles,
    spool: Arc<Spool>,
    /// The first block of the spool.
    first: Lsn,
    /// The next block to read.
    next: Lsn,
    /// The block at `next`, if it exists but isn't full yet.
    partial: Option<(Box<[u8; BLOCK]>, u16)>,
    buffer: Vec<u8>,
    /// Number of bytes of the buffer that the next read fills.
    window: usize,
    /// Buffer for the second read of encrypted blocks.
    again: Vec<u8>,
    /// Whether the header in the backup contains the key of encrypted blocks.
    has_key: bool,
    /// Number of consecutive passes without new redo.
    idle: u32,
}

/// The result of one pass over the redo.
#[derive(Debug, PartialEq, Eq)]
enum Pass {
    Advanced,
    AtEnd,
}

impl Follower {
    pub(super) fn new(files: RedoFiles, start: &StartPoint, spool: Arc<Spool>) -> Self {
        Self {
            files,
            spool,
            first: start.checkpoint.lsn().block_start(),
            next: start.checkpoint.lsn().block_start(),
            partial: None,
            buffer: vec![0; READ_BYTES],
            window: READ_BYTES,
            again: Vec::new(),
            has_key: redo::has_encryption_info(&start.header),
            idle: 0,
        }
    }

    /// Reads until the end of the log is reached for the first time: after that, the copy of pages
    /// may start.
    pub(super) fn catch_up(&mut self, mut seen: impl FnMut(u64)) -> Result<(), BackupError> {
        loop {
            let before = self.next;
            if self.pass()? == Pass::AtEnd {
                return Ok(());
            }
            seen(self.next.0 - before.0);
        }
    }

    /// Follows the log until an LSN arrives through `stop`, then up to exactly that LSN.
    /// [`Spool::hold`] must be called before that LSN is requested from the server. Returns the
    /// mark that identifies this part of the log.
    pub(super) fn run(mut self, stop: &Receiver<StopAt>) -> Result<Option<RedoMark>, BackupError> {
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

    fn finish(mut self, at: StopAt) -> Result<Option<RedoMark>, BackupError> {
        let mut since = Instant::now();
        let mut reached = self.reached();
        while reached < at.lsn.lsn() {
            let pass = self.pass()?;
            // Tables may be locked until this is done: pause only if there is nothing to read.
            if self.reached() > reached {
                reached = self.reached();
                since = Instant::now();
            } else if pass == Pass::AtEnd {
                if since.elapsed() > STALL {
                    return Err(BackupError::RedoShort {
                        reached,
                        wanted: at.lsn.lsn(),
                        seconds: STALL.as_secs(),
                    });
                }
                std::thread::sleep(POLL);
            }
        }
        self.cut(at)?;
        Ok(self.files.mark_before(at.lsn, self.first))
    }

    /// Truncates the spool to exactly `stop`, which the log has reached: redo after it belongs to
    /// transactions beyond the recorded binary log position.
    fn cut(&mut self, stop: StopAt) -> Result<(), BackupError> {
        let StopAt {
            lsn: stop,
            commits_held,
        } = stop;
        let stop = stop.lsn();
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
        // Without the key an encrypted block can't be cut: its rest must not contain a commit.
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

    /// Reads from `next` up to the end of the log, or up to one buffer.
    fn pass(&mut self) -> Result<Pass, BackupError> {
        let before = self.reached();
        // An open file can still be read after the server has removed it.
        if self.files.is_outdated()
            && let Err(error) = self.files.reopen(self.next)
        {
            tracing::debug!("the redo log's directory has changed: {error}");
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let window = self.window;
        let result = self.pass_into(&mut buffer[..window]);
        self.buffer = buffer;
        self.window = match &result {
            Ok(Pass::Advanced) => READ_BYTES,
            _ => READ_AT_END,
        };
        self.idle = if self.reached() > before {
            0
        } else {
            self.idle + 1
        };
        if self.idle >= IDLE_PASSES && result.is_ok() {
            self.idle = 0;
            return self.relocate();
        }
        result
    }

    /// Reads into `buffer`, and appends the full blocks to the spool.
    fn pass_into(&mut self, buffer: &mut [u8]) -> Result<Pass, BackupError> {
        let len = self.files.read(self.next, buffer)?;
        let (full, stop) = self.scan_proven(buffer, len)?;
        if matches!(stop, Some(BlockState::Overwritten { .. }))
            || (full == 0 && !self.files.still_holds(self.next))
        {
            return self.relocate();
        }
        if full > 0 {
            // The block numbers of these bytes are right, and after the read the file's header was
            // unchanged: the file was not recycled during the read.
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

    /// Returns the length of the run of full blocks, and the state of the block that ends it.
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

    /// The same as [`Self::scan`], but accepts encrypted blocks if a second read of them is equal:
    /// without the key their checksum can't be verified (`docs/format/redo.md#encrypted-blocks`).
    fn scan_proven(
        &mut self,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<(usize, Option<BlockState>), BackupError> {
        let (full, stop) = self.scan(&buffer[..len]);
        let at = Lsn(self.next.0 + full as u64);
        if stop == Some(BlockState::Torn) && is_unchecked(&buffer[full..full + BLOCK], at) {
            return Err(BackupError::NoLogChecksum { at });
        }
        if !matches!(stop, Some(BlockState::Unproven { .. })) {
            return Ok((full, stop));
        }
        if !self.has_key {
            return Err(BackupError::RedoKey { at });
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

    /// Finds `next` again after the files have changed, or reports how much redo was lost.
    fn relocate(&mut self) -> Result<Pass, BackupError> {
        for attempt in 1..=RELOCATE_TRIES {
            match self.files.reopen(self.next) {
                Err(error) if attempt == RELOCATE_TRIES => return Err(error),
                Err(_) => {}
                Ok(()) => match self.lost()? {
                    None => return Ok(Pass::AtEnd),
                    Some(oldest) if attempt == RELOCATE_TRIES => {
                        return Err(BackupError::RedoOverwritten {
                            needed: self.next,
                            oldest,
                            behind: format!(
                                "{:.1} MiB",
                                oldest.0.saturating_sub(self.next.0) as f64 / 1048576.0
                            ),
                        });
                    }
                    Some(_) => {}
                },
            }
            std::thread::sleep(RELOCATE_PAUSE);
        }
        Ok(Pass::AtEnd)
    }

    /// Returns `None` if the block at `next` can be read now or will be written; otherwise the
    /// oldest available LSN.
    fn lost(&self) -> Result<Option<Lsn>, BackupError> {
        let mut block = [0; BLOCK];
        let read = self.files.read(self.next, &mut block)?;
        let state = (read == BLOCK).then(|| redo::classify(&block, self.next));
        // The server starts a file at the end of the previous one: if a file starts after `next`,
        // the block at `next` has been written.
        let oldest = self.files.oldest().filter(|oldest| *oldest > self.next);
        Ok(match state {
            Some(BlockState::Full | BlockState::Unproven { data_len: 512 }) => None,
            Some(BlockState::Overwritten { found_lsn }) => oldest.or(Some(found_lsn)),
            _ => oldest,
        })
    }
}

/// Returns whether this is the block of this LSN, written without a checksum. A torn block has the
/// checksum of the block before or after the write.
fn is_unchecked(block: &[u8], at: Lsn) -> bool {
    redo::has_no_checksum(block) && redo::BlockHeader::parse(block).lsn() == Some(at)
}

/// The end of the redo of a backup.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopAt {
    /// `LSN` of `performance_schema.log_status`.
    pub lsn: EndLsn,
    /// Whether the global read lock kept commits out of the redo after that LSN.
    pub commits_held: bool,
}

/// Creates the channel that sends the end of the redo to a follower.
pub(super) fn stop_channel() -> (Sender<StopAt>, Receiver<StopAt>) {
    mpsc::channel()
}

#[cfg(test)]
#[path = "redo_tests.rs"]
pub(super) mod tests;
