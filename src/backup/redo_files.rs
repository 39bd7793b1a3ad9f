//! The files of `#innodb_redo`, found by LSN.
//!
//! The server recycles, resizes and removes its files (`docs/format/redo.md#rules-for-a-follower`):
//! while a file is read, it may be renamed and get a new start LSN, or become shorter
//! (`innodb_redo_log_capacity` was lowered). So redo is trusted only after the file's header was
//! read again, and redo that is no longer in a file is searched again in the directory.
//!
//! A listing of a directory whose files are being renamed may miss some of them. And a file that
//! the server no longer needs still has its contents: a renamed one (`#ib_redo<N>_tmp`) until the
//! server writes a new header into it, a removed one for a process that has it open. So three kinds
//! of files are kept open here: listed ones, spare ones, and formerly listed ones, until `next` has
//! passed their end.

use super::error::BackupError;
use crate::counted::count;
use crate::innodb::redo::{self, BLOCK, BlockState, FileHeader, HEADER};
use crate::innodb::{EndLsn, Lsn, StartCheckpoint};
use crate::manifest::RedoMark;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Maximum number of blocks of redo whose contents are recorded.
const MARK_BLOCKS: u64 = 16;
/// The records of a block: after its header and before its checksum.
const RECORDS: std::ops::Range<usize> = redo::BLOCK_HEADER as usize..BLOCK - 4;

/// One open file of the redo log.
#[derive(Debug)]
struct RedoFile {
    file: File,
    path: PathBuf,
    start: Lsn,
    end: Lsn,
    /// Device and inode.
    id: (u64, u64),
    /// Whether the name of the file makes it part of the log; otherwise it is a spare file, or was
    /// removed.
    listed: bool,
}

/// The redo files at one time.
#[derive(Debug)]
pub(super) struct RedoFiles {
    dir: PathBuf,
    /// Sorted by start LSN; of two with the same start, the listed one is last.
    files: Vec<RedoFile>,
    /// Modification time of the directory before it was listed.
    changed: Option<SystemTime>,
}

/// The files found in the directory.
#[derive(Debug, Default)]
struct Found {
    listed: Vec<RedoFile>,
    spare: Vec<RedoFile>,
    /// The names of unusable files, with the reasons.
    unusable: Vec<String>,
}

/// The start of a backup's redo.
#[derive(Debug, Clone)]
pub(super) struct StartPoint {
    /// The newest checkpoint of the server.
    pub checkpoint: StartCheckpoint,
    /// The raw 2,048-byte header of the file that contains it.
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
            changed: None,
        };
        this.reopen(Lsn(u64::MAX))?;
        Ok(this)
    }

    /// Lists the directory again and opens its files. Of spare files and of files that are already
    /// open, those with redo at or after `next` are kept. After an error nothing has changed.
    pub(super) fn reopen(&mut self, next: Lsn) -> Result<(), BackupError> {
        let changed = self.modified();
        let Found {
            listed: mut files,
            spare,
            unusable,
        } = self.find()?;
        if files.is_empty() {
            return Err(BackupError::NoRedo {
                dir: self.dir.clone(),
                detail: if unusable.is_empty() {
                    "none".into()
                } else {
                    unusable.join("; ")
                },
            });
        }
        let once = std::mem::take(&mut self.files);
        for mut file in spare.into_iter().chain(once) {
            file.listed = false;
            let known = files.iter().any(|other| other.id == file.id);
            if !known && file.update_end() && file.end > next {
                files.push(file);
            }
        }
        files.sort_by_key(|f| (f.start, f.listed));
        self.files = files;
        self.changed = changed;
        Ok(())
    }

    /// Returns whether the directory was changed since it was listed. Changes within the resolution
    /// of the file system's clock can't be distinguished.
    pub(super) fn is_outdated(&self) -> bool {
        self.modified() != self.changed
    }

    fn modified(&self) -> Option<SystemTime> {
        fs::metadata(&self.dir).ok()?.modified().ok()
    }

    fn find(&self) -> Result<Found, BackupError> {
        let mut found = Found::default();
        let failed = || BackupError::io(&self.dir, "list the redo log");
        for entry in fs::read_dir(&self.dir).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(|n| n.strip_prefix("#ib_redo")) else {
                continue;
            };
            let spare = number.strip_suffix("_tmp");
            let number = spare.unwrap_or(number);
            if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            match (RedoFile::open(&entry.path()), spare) {
                (Ok(file), None) => found.listed.push(file),
                (Ok(file), Some(_)) => found.spare.push(file),
                (Err(why), None) => found
                    .unusable
                    .push(format!("{}: {why}", name.to_string_lossy())),
                // A file that is being created has no header yet.
                (Err(_), Some(_)) => {}
            }
        }
        Ok(found)
    }

    /// Returns the newest checkpoint of all files (`docs/format/redo.md#checkpoint-blocks`).
    pub(super) fn start_point(&self) -> Result<StartPoint, BackupError> {
        let mut best: Option<StartPoint> = None;
        for f in self.files.iter().filter(|f| f.listed) {
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
                if inside && best.as_ref().is_none_or(|b| b.checkpoint.lsn() < lsn) {
                    best = Some(StartPoint {
                        checkpoint: StartCheckpoint::at(lsn),
                        header: header.clone(),
                        file: parsed.clone(),
                    });
                }
            }
        }
        best.ok_or_else(|| BackupError::NoRedo {
            dir: self.dir.clone(),
            detail: format!(
                "{}, none with a valid checkpoint",
                count(self.files.len(), "file")
            ),
        })
    }

    /// Returns the file that contains `lsn`: a listed one, if there is one, and of several the one
    /// with the highest start: an older file may have been opened before its end was cut off.
    fn holding(&self, lsn: Lsn) -> Option<&RedoFile> {
        let holds = |f: &&RedoFile| f.start <= lsn && lsn < f.end;
        let files = self.files.iter().filter(holds);
        files.max_by_key(|f| (f.listed, f.start))
    }

    /// Reads whole blocks from `lsn` on into `buffer`; returns 0 if no file contains that LSN now.
    pub(super) fn read(&self, lsn: Lsn, buffer: &mut [u8]) -> Result<usize, BackupError> {
        let Some(f) = self.holding(lsn) else {
            return Ok(0);
        };
        // A file that was created in advance and removed again doesn't end a file of the log.
        let bounds = |other: &&RedoFile| other.start > f.start && (other.listed || !f.listed);
        let next = self.files.iter().find(bounds);
        let end = next.map_or(f.end, |next| f.end.min(next.start));
        if end <= lsn {
            return Ok(0);
        }
        let len = buffer.len().min((end.0 - lsn.0) as usize) & !(BLOCK - 1);
        let read = f.read(&mut buffer[..len], HEADER as u64 + lsn.0 - f.start.0)?;
        Ok(read & !(BLOCK - 1))
    }

    /// Returns whether the file that contains `lsn` has the same header and the same length as when
    /// it was opened.
    pub(super) fn still_holds(&self, lsn: Lsn) -> bool {
        let Some(f) = self.holding(lsn) else {
            return false;
        };
        f.end_now() == Some(f.end)
    }

    /// Returns the start LSN of the oldest listed file.
    pub(super) fn oldest(&self) -> Option<Lsn> {
        let mut listed = self.files.iter().filter(|f| f.listed);
        listed.next().map(|f| f.start)
    }

    /// Returns the mark of the redo before `end`, not further back than `first`; `None` if it can't
    /// be read.
    pub(super) fn mark_before(&self, end: EndLsn, first: Lsn) -> Option<RedoMark> {
        let to = end.lsn();
        let back = Lsn(to
            .block_start()
            .0
            .saturating_sub(MARK_BLOCKS * BLOCK as u64));
        let from = back.max(first.block_start());
        // The last block may be written again, encrypted or not, with more records.
        let ends = [to, to.block_start()].into_iter();
        ends.filter(|to| *to > from).find_map(|to| {
            let digest = self.digest(from, to)?;
            Some(RedoMark { from, to, digest })
        })
    }

    /// Returns `blake3:<hex>` of the records from the block at `from` up to `to`; `None` if they
    /// are no longer available, not available yet, or end in an encrypted block.
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
        let meta = file.metadata().map_err(BackupError::io(path, "stat"))?;
        Ok(Self {
            end: end_of(header.start_lsn, meta.len()),
            start: header.start_lsn,
            id: (meta.dev(), meta.ino()),
            listed: true,
            path: path.to_owned(),
            file,
        })
    }

    /// Returns its end LSN by its present length; `None` if its header has changed since it was
    /// opened.
    fn end_now(&self) -> Option<Lsn> {
        let mut block = [0; BLOCK];
        let whole = self.read(&mut block, 0).is_ok_and(|n| n == BLOCK);
        let header = FileHeader::parse(&block).ok().filter(|_| whole)?;
        let bytes = self.file.metadata().ok()?.len();
        (header.start_lsn == self.start).then(|| end_of(self.start, bytes))
    }

    /// Updates the end LSN; returns `false` if the file has become another file of the log.
    fn update_end(&mut self) -> bool {
        let end = self.end_now();
        self.end = end.unwrap_or(self.end);
        end.is_some()
    }

    /// Fills the buffer up to the end of the file, which may have become shorter.
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

/// Returns the LSN after the last byte of a file of this length.
fn end_of(start: Lsn, bytes: u64) -> Lsn {
    Lsn(start.0 + bytes.saturating_sub(HEADER as u64))
}
