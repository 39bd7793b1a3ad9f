//! The redo log of the newest member, checked block by block, laid down as the applier wants it.
//!
//! Every block from the checkpoint to `last_lsn` must be there, with its number and CRC: a log that
//! ends early would recover to an earlier state without a word. Bytes behind `last_lsn` are cut off
//! for `mysqld`, whose recovery goes on as long as blocks are valid.

use super::error::{RestoreError, io};
use super::fetch::{Fetcher, Stored};
use super::layout::check_objects;
use super::merge::stored;
use super::plain::{self, DIRECTORY_MODE};
use super::plan::RestorePlan;
use crate::counted::count;
use crate::innodb::Lsn;
use crate::innodb::redo::{self, BLOCK, BlockState, HEADER};
use bytes::Bytes;
use rayon::prelude::*;
use std::borrow::Cow;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;

/// Bytes of a block before its payload.
const BLOCK_HEADER: u64 = 12;
/// Where the payload of a block ends, in bytes: its checksum follows.
const PAYLOAD_END: u64 = BLOCK as u64 - 4;

/// The stored log.
struct Log<'a> {
    stored: Stored<'a>,
    /// LSN of the first block.
    base: Lsn,
    /// Where recovery shall end.
    last: Lsn,
}

/// Which blocks are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// All, as they are stored.
    Nowhere,
    /// Only up to `last_lsn`.
    AtLast,
}

/// Writes `#innodb_redo/#ib_redo0` for a server. Its `log_uuid` is a new one, so that the restored
/// server's redo log is told apart from the source's, whose LSNs it goes on from.
pub(crate) fn for_mysqld(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    root: &Path,
    log_uuid: u32,
) -> Result<(), RestoreError> {
    let (log, head) = open(fetcher, stored(plan, 0, plan.redo)?)?;
    let server = &log.stored.manifest.server;
    let creator = creator(&server.redo_creator).ok_or_else(|| {
        log.stored.damaged(format!(
            "the manifest's redo creator {:?} does not fit into 32 bytes",
            server.redo_creator
        ))
    })?;
    let named = |source| RestoreError::Innodb {
        what: format!("{}/{}", log.stored.manifest.name, log.stored.entry.path),
        source,
    };
    let (mut head, _) =
        redo::recovery_header(&head, &creator, server.redo_log_uuid).map_err(named)?;
    let mut first = redo::FileHeader::parse(&head[..BLOCK]).map_err(named)?;
    first.log_uuid = log_uuid;
    head[..BLOCK].copy_from_slice(&first.encode());
    let directory = root.join("#innodb_redo");
    DirBuilder::new()
        .mode(DIRECTORY_MODE)
        .create(&directory)
        .map_err(io("create the directory", &directory))?;
    let path = directory.join("#ib_redo0");
    let file = plain::create(&path)?;
    let blocks = (log.last.0 - log.base.0).next_multiple_of(BLOCK as u64);
    file.set_len(redo::recovery_file_len(blocks))
        .map_err(io("set the length of", &path))?;
    log.write(fetcher, &file, &path, Cut::AtLast)?;
    file.write_all_at(&head, 0).map_err(io("write", &path))?;
    file.sync_all().map_err(io("sync", &path))
}

/// Writes `xtrabackup_logfile` byte for byte as it is stored.
pub(crate) fn for_xtrabackup(
    fetcher: &Fetcher<'_>,
    plan: &RestorePlan,
    root: &Path,
) -> Result<(), RestoreError> {
    let (log, _) = open(fetcher, stored(plan, 0, plan.redo)?)?;
    let path = root.join("xtrabackup_logfile");
    let file = plain::create(&path)?;
    log.write(fetcher, &file, &path, Cut::Nowhere)?;
    file.sync_all().map_err(io("sync", &path))
}

/// Checks a stored log as a restore would, and writes nothing: header, checkpoint, and every block up
/// to the recorded end.
///
/// # Errors
/// As those of a restore.
pub(crate) fn check(fetcher: &Fetcher<'_>, stored: Stored<'_>) -> Result<(), RestoreError> {
    let (log, _) = open(fetcher, stored)?;
    (0..stored.entry.objects.len())
        .into_par_iter()
        .try_for_each(|index| {
            fetcher.each(stored, index, &mut |offset, data| {
                log.whole(offset, &data)?;
                for (number, block) in data.chunks_exact(BLOCK).enumerate() {
                    log.block(offset + (number * BLOCK) as u64, block)?;
                }
                Ok(())
            })
        })
}

/// The creator of the redo log as its header holds it; `None` if it is too long.
pub(super) fn creator(text: &str) -> Option<[u8; 32]> {
    let mut creator = [0u8; 32];
    creator
        .get_mut(..text.len())
        .filter(|place| place.len() < 32)?
        .copy_from_slice(text.as_bytes());
    Some(creator)
}

/// Reads the header and checks that the log can reach `last_lsn`.
fn open<'a>(
    fetcher: &Fetcher<'_>,
    stored: Stored<'a>,
) -> Result<(Log<'a>, [u8; HEADER]), RestoreError> {
    check_objects(stored.manifest.name.as_str(), stored.entry)?;
    let mut head = Vec::with_capacity(HEADER);
    let mut index = 0;
    while head.len() < HEADER {
        fetcher.each(stored, index, &mut |_, data| {
            let wanted = (HEADER - head.len()).min(data.len());
            head.extend_from_slice(&data[..wanted]);
            Ok(())
        })?;
        index += 1;
    }
    let head: [u8; HEADER] = head
        .try_into()
        .map_err(|_| stored.damaged("its header is cut off"))?;
    let checkpoint = [&head[BLOCK..2 * BLOCK], &head[3 * BLOCK..]]
        .into_iter()
        .filter_map(redo::parse_checkpoint)
        .max()
        .ok_or_else(|| stored.damaged("its header has no valid checkpoint"))?;
    let lsn = &stored.manifest.lsn;
    if checkpoint != lsn.start_checkpoint {
        return Err(stored.damaged(format!(
            "its checkpoint is at LSN {checkpoint}, the manifest says {}",
            lsn.start_checkpoint
        )));
    }
    let log = Log {
        stored,
        base: checkpoint.block_start(),
        last: needed_end(lsn.last_lsn),
    };
    let end = log.base.0 + stored.entry.bytes.saturating_sub(HEADER as u64);
    if end < log.last.0 {
        return Err(stored.damaged(format!(
            "it ends at LSN {end}, before the recorded end {}",
            lsn.last_lsn
        )));
    }
    Ok((log, head))
}

/// Where the blocks end that a log needs to reach `last`, and so how far a recovering server says that it
/// scanned. An LSN that points into the header of a block, or at its first payload byte, needs nothing of
/// that block; one behind the payload needs all of it.
pub(super) fn needed_end(last: Lsn) -> Lsn {
    let start = last.block_start();
    match last.0 - start.0 {
        0..=BLOCK_HEADER => start,
        PAYLOAD_END.. => Lsn(start.0 + BLOCK as u64),
        _ => last,
    }
}

impl Log<'_> {
    fn write(
        &self,
        fetcher: &Fetcher<'_>,
        file: &File,
        path: &Path,
        cut: Cut,
    ) -> Result<(), RestoreError> {
        (0..self.stored.entry.objects.len())
            .into_par_iter()
            .try_for_each(|index| {
                fetcher.each(self.stored, index, &mut |offset, data| {
                    self.piece(fetcher, file, path, cut, offset, data)
                })
            })
    }

    fn whole(&self, offset: u64, data: &[u8]) -> Result<(), RestoreError> {
        if offset.is_multiple_of(BLOCK as u64) && data.len().is_multiple_of(BLOCK) {
            return Ok(());
        }
        Err(self.stored.damaged(format!(
            "{} at offset {offset} are not whole blocks of {BLOCK} bytes",
            count(data.len(), "byte")
        )))
    }

    /// Checks the blocks of a piece and writes what is wanted of it.
    fn piece(
        &self,
        fetcher: &Fetcher<'_>,
        file: &File,
        path: &Path,
        cut: Cut,
        offset: u64,
        data: Bytes,
    ) -> Result<(), RestoreError> {
        self.whole(offset, &data)?;
        let mut whole = 0;
        let mut tail = None;
        for (number, block) in data.chunks_exact(BLOCK).enumerate() {
            let at = offset + (number * BLOCK) as u64;
            match self.block(at, block)? {
                Some(Cow::Borrowed(_)) => whole = (number + 1) * BLOCK,
                Some(Cow::Owned(changed)) => tail = Some((at, changed)),
                None => {}
            }
        }
        let keep = match cut {
            Cut::Nowhere => data.len(),
            Cut::AtLast => whole,
        };
        let put = |bytes: &[u8], at| file.write_all_at(bytes, at).map_err(io("write", path));
        put(&data[..keep], offset)?;
        if let (Cut::AtLast, Some((at, block))) = (cut, tail) {
            put(&block, at)?;
        }
        fetcher.counters.wrote(keep as u64);
        Ok(())
    }

    /// A block as recovery shall see it; `None` behind the end, for the header's blocks the bytes.
    fn block<'b>(&self, at: u64, block: &'b [u8]) -> Result<Option<Cow<'b, [u8]>>, RestoreError> {
        let Some(from) = at.checked_sub(HEADER as u64) else {
            return Ok(Some(Cow::Borrowed(block)));
        };
        let lsn = Lsn(self.base.0 + from);
        if lsn >= self.last {
            return Ok(None);
        }
        let wanted = (self.last.0 - lsn.0).min(BLOCK as u64) as u16;
        let found = match redo::classify(block, lsn) {
            BlockState::Full => BLOCK as u16,
            BlockState::Partial { data_len } => data_len,
            // Encrypted: its checksum is ciphertext. The backup read it twice, the object's digest
            // was right, and it can be decrypted only as a whole, so it stays as it is.
            BlockState::Unproven { data_len } if data_len >= wanted => {
                return Ok(Some(Cow::Borrowed(block)));
            }
            state => {
                return Err(self.stored.damaged(format!(
                    "the redo block at LSN {lsn} is {state:?}, but the log must reach to {}",
                    self.last
                )));
            }
        };
        if found < wanted {
            return Err(self.stored.damaged(format!(
                "the redo block at LSN {lsn} ends after {found}, expected {wanted}",
                found = count(found, "byte")
            )));
        }
        if found == wanted {
            return Ok(Some(Cow::Borrowed(block)));
        }
        let mut cut = [0; BLOCK];
        cut.copy_from_slice(block);
        redo::cut_block(&mut cut, wanted);
        Ok(Some(Cow::Owned(cut.to_vec())))
    }
}

/// A redo identity other than the source's.
pub(crate) fn new_log_uuid(source: u32) -> u32 {
    loop {
        let random = uuid::Uuid::new_v4().as_u128() as u32;
        if random != 0 && random != source {
            return random;
        }
    }
}

/// Gives the redo files that an applier left behind a new identity, should they still have the
/// source's. The server must be shut down.
pub(crate) fn renew_identity(root: &Path, source: u32) -> Result<(), RestoreError> {
    let directory = root.join("#innodb_redo");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("list", &directory)(error)),
    };
    let uuid = new_log_uuid(source);
    for entry in entries {
        let path = entry.map_err(io("list", &directory))?.path();
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io("open", &path))?;
        let mut block = [0u8; BLOCK];
        if file.read_exact_at(&mut block, 0).is_err() {
            continue;
        }
        // A spare file is all zeros: it has no header yet.
        let Ok(mut header) = redo::FileHeader::parse(&block) else {
            continue;
        };
        if header.log_uuid == source {
            header.log_uuid = uuid;
            file.write_all_at(&header.encode(), 0)
                .map_err(io("write", &path))?;
            file.sync_all().map_err(io("sync", &path))?;
        }
    }
    Ok(())
}
