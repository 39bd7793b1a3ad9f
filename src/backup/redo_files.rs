//! The files of `#innodb_redo`, found by LSN.
//!
//! The server recycles, resizes and removes its files (`docs/format/redo.md#rules-for-a-follower`): one that
//! was opened may be renamed and get a
//! new start LSN, or become shorter (`innodb_redo_log_capacity` was lowered), while it is read. So a place is
//! trusted only after its file's header was read again, and what a file no longer has is looked for anew.

use super::error::BackupError;
use crate::innodb::Lsn;
use crate::innodb::redo::{self, BLOCK, BlockState, FileHeader, HEADER};
use crate::store::RedoMark;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Blocks of redo whose contents are recorded, at most.
const MARK_BLOCKS: u64 = 16;
/// A block's records begin after its header and end before its checksum.
const RECORDS: std::ops::Range<usize> = redo::BLOCK_HEADER as usize..BLOCK - 4;

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

    /// Lists the directory again and opens what is there now.
    pub(super) fn reopen(&mut self) -> Result<(), BackupError> {
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
            match RedoFile::open(&entry.path()) {
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

    /// The newest checkpoint over all files (`docs/format/redo.md#checkpoint-blocks`).
    pub(super) fn start_point(&self) -> Result<StartPoint, BackupError> {
        let mut best: Option<StartPoint> = None;
        for f in &self.files {
            let mut header = vec![0; HEADER];
            if f.read(&mut header, 0)? < HEADER {
                continue;
            }
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

    /// The file that holds `lsn`. Of several the one that begins last: a file whose end was cut off may have
    /// been opened before.
    fn holding(&self, lsn: Lsn) -> Option<&RedoFile> {
        let holds = |f: &&RedoFile| f.start <= lsn && lsn < f.end;
        self.files.iter().rev().find(holds)
    }

    /// Reads whole blocks from `lsn` on into `buffer`; 0 if no file holds that LSN now.
    pub(super) fn read(&self, lsn: Lsn, buffer: &mut [u8]) -> Result<usize, BackupError> {
        let Some(f) = self.holding(lsn) else {
            return Ok(0);
        };
        let mut end = f.end;
        if let Some(next) = self.files.iter().find(|other| other.start > f.start) {
            end = end.min(next.start);
        }
        let len = buffer.len().min((end.0 - lsn.0) as usize) & !(BLOCK - 1);
        let read = f.read(&mut buffer[..len], HEADER as u64 + lsn.0 - f.start.0)?;
        Ok(read & !(BLOCK - 1))
    }

    /// Whether the file that holds `lsn` is still the file that it was when opened, of the same length.
    pub(super) fn still_holds(&self, lsn: Lsn) -> bool {
        let Some(f) = self.holding(lsn) else {
            return false;
        };
        let mut block = [0; BLOCK];
        f.read(&mut block, 0).is_ok_and(|n| n == BLOCK)
            && FileHeader::parse(&block).is_ok_and(|h| h.start_lsn == f.start)
            && f.file
                .metadata()
                .is_ok_and(|now| end_of(f.start, now.len()) == f.end)
    }

    /// The LSN of the oldest byte that is there.
    pub(super) fn oldest(&self) -> Option<Lsn> {
        self.files.first().map(|f| f.start)
    }

    /// The end of the log at `to`, as far back as `first`; `None` if it can't be read.
    pub(super) fn mark_before(&self, to: Lsn, first: Lsn) -> Option<RedoMark> {
        let back = Lsn(to
            .block_start()
            .0
            .saturating_sub(MARK_BLOCKS * BLOCK as u64));
        let from = back.max(first.block_start());
        // The last block may be written again, encrypted or not, with more in it.
        let ends = [to, to.block_start()].into_iter();
        ends.filter(|to| *to > from).find_map(|to| {
            let digest = self.digest(from, to)?;
            Some(RedoMark { from, to, digest })
        })
    }

    /// `blake3:<hex>` of the records from the block at `from` to `to`; `None` if they are not there any more, not
    /// there yet, or in a last block that is encrypted.
    pub(super) fn digest(&self, from: Lsn, to: Lsn) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        let mut at = from.block_start();
        while at < to {
            let mut block = [0; BLOCK];
            if self.read(at, &mut block).ok()? < BLOCK {
                return None;
            }
            let there = match redo::classify(&block, at) {
                BlockState::Full => BLOCK,
                BlockState::Partial { data_len } | BlockState::Unproven { data_len } => {
                    usize::from(data_len)
                }
                _ => return None,
            };
            let wanted = ((to.0 - at.0) as usize).min(BLOCK);
            let cut = wanted < BLOCK;
            if there < wanted || (cut && redo::BlockHeader::parse(&block).encrypted) {
                return None;
            }
            let end = wanted.clamp(RECORDS.start, RECORDS.end);
            hasher.update(&block[RECORDS.start..end]);
            at = Lsn(at.0 + BLOCK as u64);
        }
        Some(format!("blake3:{}", hasher.finalize().to_hex()))
    }
}

impl RedoFile {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(BackupError::io(path, "open"))?;
        let mut block = [0; BLOCK];
        file.read_exact_at(&mut block, 0)
            .map_err(BackupError::io(path, "read the header of"))?;
        let header = FileHeader::parse(&block)?;
        let bytes = file
            .metadata()
            .map_err(BackupError::io(path, "stat"))?
            .len();
        Ok(Self {
            end: end_of(header.start_lsn, bytes),
            start: header.start_lsn,
            path: path.to_owned(),
            file,
        })
    }

    /// Fills the buffer as far as the file goes: it may have become shorter.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, BackupError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .file
                .read_at(&mut buffer[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(BackupError::io(&self.path, "read")(e)),
            }
        }
        Ok(filled)
    }
}

/// The LSN behind the last byte of a file of this length.
fn end_of(start: Lsn, bytes: u64) -> Lsn {
    Lsn(start.0 + bytes.saturating_sub(HEADER as u64))
}
