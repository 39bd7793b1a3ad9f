//! The redo follower: copies the server's redo log from a checkpoint on, ahead of everything else.
//!
//! Facts: `docs/format/redo.md` (the blocks, how an end and how an overwritten log look). Where the files are is the
//! matter of [`super::redo_files`].

use super::error::BackupError;
use super::redo_files::{RedoFiles, StartPoint};
use super::spool::Spool;
use crate::innodb::redo::{self, BLOCK, BlockState, HEADER};
use crate::innodb::{EndLsn, Lsn};
use crate::manifest::RedoMark;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Bytes of redo read at once.
const READ_BYTES: usize = 1 << 20;
/// The same at the end of the log, where a read is in vain most of the time.
const READ_AT_END: usize = 64 << 10;
/// How long the follower rests when it has reached the end. The server may reuse a file as soon as its checkpoint
/// has passed it: where `innodb_redo_log_capacity` is lowered that is milliseconds after it was written.
const POLL: Duration = Duration::from_millis(10);
/// After so many looks in vain the files are looked for anew: the server may have gone on in a file that was not
/// there when the directory was listed.
const IDLE_PASSES: u32 = 100;
/// Redo that is not found is looked for so many times, with a pause in between, before it is lost: the server may
/// just be renaming files.
const LOOKS: u32 = 6;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long redo up to a named LSN may take to appear once the server has named it.
const STALL: Duration = Duration::from_secs(60);

/// Copies blocks into a spool. One thread owns it; see [`Follower::run`].
pub(super) struct Follower {
    files: RedoFiles,
    spool: Arc<Spool>,
    /// The first block of the spool.
    first: Lsn,
    /// The next block to read.
    next: Lsn,
    /// The block at `next`, when it is there but not full yet.
    partial: Option<(Box<[u8; BLOCK]>, u16)>,
    buffer: Vec<u8>,
    /// How much of the buffer the next read fills.
    window: usize,
    /// A second read of encrypted blocks.
    again: Vec<u8>,
    /// Whether the header that the backup carries holds the key of encrypted blocks.
    has_key: bool,
    /// Looks in a row that found nothing new.
    idle: u32,
}

/// What one pass over the redo found.
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
    /// be held back before the server is asked for that LSN. Returns by what that place of the log can be
    /// known again.
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
            // Tables may be locked until this is done: no pause where there is something to do.
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

    /// Makes the spool end at exactly `stop`, which the log has reached: what the server wrote since
    /// belongs to transactions beyond the recorded binary log position.
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
        let before = self.reached();
        // A file that is open can be read after the server has removed it.
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
    /// key their checksum says nothing (`docs/format/redo.md#encrypted-blocks`).
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

    /// The files changed under us: find `next` again, or say how much was lost.
    fn relocate(&mut self) -> Result<Pass, BackupError> {
        for look in 1..=LOOKS {
            match self.files.reopen(self.next) {
                Err(error) if look == LOOKS => return Err(error),
                Err(_) => {}
                Ok(()) => match self.lost()? {
                    None => return Ok(Pass::AtEnd),
                    Some(oldest) if look == LOOKS => {
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
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(Pass::AtEnd)
    }

    /// `None` if the block at `next` can be read now or will come; else the oldest LSN that is left.
    fn lost(&self) -> Result<Option<Lsn>, BackupError> {
        let mut block = [0; BLOCK];
        let read = self.files.read(self.next, &mut block)?;
        let state = (read == BLOCK).then(|| redo::classify(&block, self.next));
        // The server begins a file at the end of the one before: where one is behind `next`, the block at `next`
        // has been written.
        let oldest = self.files.oldest().filter(|oldest| *oldest > self.next);
        Ok(match state {
            Some(BlockState::Full | BlockState::Unproven { data_len: 512 }) => None,
            Some(BlockState::Overwritten { found_lsn }) => oldest.or(Some(found_lsn)),
            _ => oldest,
        })
    }
}

/// Whether it is the block of this LSN, written without a checksum. One that is only torn has the checksum of the
/// block before or after the write.
fn is_unchecked(block: &[u8], at: Lsn) -> bool {
    redo::has_no_checksum(block) && redo::BlockHeader::parse(block).lsn() == Some(at)
}

/// The end of the redo of this backup.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopAt {
    /// `LSN` of `performance_schema.log_status`.
    pub lsn: EndLsn,
    /// Whether the global read lock kept every commit from the redo behind that LSN.
    pub commits_held: bool,
}

/// A way to tell a follower where to stop.
pub(super) fn stop_channel() -> (Sender<StopAt>, Receiver<StopAt>) {
    mpsc::channel()
}

#[cfg(test)]
#[path = "redo_tests.rs"]
pub(super) mod tests;
