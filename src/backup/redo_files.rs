//! The files of `#innodb_redo`, found by LSN.
//!
//! The server recycles, resizes and removes its files (`docs/format/redo.md#rules-for-a-follower`): one that
//! was opened may be renamed and get a
//! new start LSN, or become shorter (`innodb_redo_log_capacity` was lowered), while it is read. So a place is
//! trusted only after its file's header was read again, and what a file no longer has is looked for anew.
//!
//! A listing of a directory whose files are renamed at the same time may miss some of them. And a file that the
//! server has no use for any more still has its contents: until the server writes a new header into it where it
//! was renamed (`#ib_redo<N>_tmp`), and for whoever has it open where it was removed. So three kinds of files are
//! open here: those that are listed, spare ones, and those that were listed once, until `next` has passed their end.

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
    /// Device and inode.
    id: (u64, u64),
    /// Whether it is a file of the log by its name; else it is a spare one, or was removed.
    listed: bool,
}

/// The redo files as they were at one moment.
#[derive(Debug)]
pub(super) struct RedoFiles {
    dir: PathBuf,
    /// In the order of their starts; of two with one start the listed one is the later.
    files: Vec<RedoFile>,
    /// When the directory was changed last before it was listed.
    changed: Option<SystemTime>,
}

/// Files that were found in the directory.
#[derive(Debug, Default)]
struct Found {
    listed: Vec<RedoFile>,
    spare: Vec<RedoFile>,
    /// What is wrong with others, for people.
    unusable: Vec<String>,
}

/// Where a backup's redo starts.
#[derive(Debug, Clone)]
pub(super) struct StartPoint {
    /// The newest checkpoint of the server at this moment.
    pub checkpoint: StartCheckpoint,
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
            changed: None,
        };
        this.reopen(Lsn(u64::MAX))?;
        Ok(this)
    }

    /// Lists the directory again and opens the files that are there now. Of spare files and of those that are open
    /// it keeps the ones that have redo from `next` on. After an error it is as it was.
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
            if !known && file.look_again() && file.end > next {
                files.push(file);
            }
        }
        files.sort_by_key(|f| (f.start, f.listed));
        self.files = files;
        self.changed = changed;
        Ok(())
    }

    /// Whether the directory was changed since it was listed. Changes that follow each other within the resolution
    /// of the file system's clock are not told apart.
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
                // One that is being made has no header yet.
                (Err(_), Some(_)) => {}
            }
        }
        Ok(found)
    }

    /// The newest checkpoint over all files (`docs/format/redo.md#checkpoint-blocks`).
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

    /// The file that holds `lsn`: a listed one, if there is one. Of several the one that begins last: a file whose
    /// end was cut off may have been opened before.
    fn holding(&self, lsn: Lsn) -> Option<&RedoFile> {
        let holds = |f: &&RedoFile| f.start <= lsn && lsn < f.end;
        let files = self.files.iter().filter(holds);
        files.max_by_key(|f| (f.listed, f.start))
    }

    /// Reads whole blocks from `lsn` on into `buffer`; 0 if no file holds that LSN now.
    pub(super) fn read(&self, lsn: Lsn, buffer: &mut [u8]) -> Result<usize, BackupError> {
        let Some(f) = self.holding(lsn) else {
            return Ok(0);
        };
        // A file that was made ahead and removed again bounds none of the log's.
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

    /// Whether the file that holds `lsn` is still the file that it was when opened, of the same length.
    pub(super) fn still_holds(&self, lsn: Lsn) -> bool {
        let Some(f) = self.holding(lsn) else {
            return false;
        };
        f.end_now() == Some(f.end)
    }

    /// The LSN of the oldest byte that the server has.
    pub(super) fn oldest(&self) -> Option<Lsn> {
        let mut listed = self.files.iter().filter(|f| f.listed);
        listed.next().map(|f| f.start)
    }

    /// The redo before `end`, as far back as `first`; `None` if it can't be read.
    pub(super) fn mark_before(&self, end: EndLsn, first: Lsn) -> Option<RedoMark> {
        let to = end.lsn();
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

    /// Its end, by its length now; `None` if its header is no longer the one that it had when it was opened.
    fn end_now(&self) -> Option<Lsn> {
        let mut block = [0; BLOCK];
        let whole = self.read(&mut block, 0).is_ok_and(|n| n == BLOCK);
        let header = FileHeader::parse(&block).ok().filter(|_| whole)?;
        let bytes = self.file.metadata().ok()?.len();
        (header.start_lsn == self.start).then(|| end_of(self.start, bytes))
    }

    /// Takes the end that it has now; `false` if it is another file of the log by now.
    fn look_again(&mut self) -> bool {
        let end = self.end_now();
        self.end = end.unwrap_or(self.end);
        end.is_some()
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
