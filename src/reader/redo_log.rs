//! The redo log of the newest member, checked block by block.
//!
//! Every block from the checkpoint to `last_lsn` must be there, with the right number and CRC: a
//! server recovers a log that ends early to an earlier state without an error.

use super::error::ReadError;
use super::fetch::Fetcher;
use super::spaces::check_objects;
use super::stored::Stored;
use crate::counted::count;
use crate::innodb::Lsn;
use crate::innodb::redo::{self, BLOCK, BlockState, HEADER};
use crate::manifest::Finding;
use rayon::prelude::*;
use std::borrow::Cow;

/// Bytes of a block before its payload.
const BLOCK_HEADER: u64 = 12;
/// Offset of the end of a block's payload in bytes; its checksum follows.
const PAYLOAD_END: u64 = BLOCK as u64 - 4;

/// The stored log.
pub(crate) struct Log<'a> {
    pub(crate) stored: Stored<'a>,
    /// LSN of the first block.
    pub(crate) base: Lsn,
    /// The end of recovery.
    pub(crate) last: Lsn,
}

/// Checks a stored log like a restore does, without writing anything: the header, the checkpoint,
/// and every block up to the recorded end.
///
/// # Errors
/// The same as those of a restore.
pub(crate) fn check(fetcher: &Fetcher<'_>, stored: Stored<'_>) -> Result<(), ReadError> {
    let (log, _) = open(fetcher, stored)?;
    (0..stored.entry.objects.len())
        .into_par_iter()
        .try_for_each(|index| {
            fetcher.each::<ReadError>(stored, index, &mut |offset, data| {
                log.whole(offset, &data)?;
                for (number, block) in data.chunks_exact(BLOCK).enumerate() {
                    log.block(offset + (number * BLOCK) as u64, block)?;
                }
                Ok(())
            })
        })
}

/// Returns the creator of the redo log in the form of its header; `None` if it is too long.
pub(crate) fn creator(text: &str) -> Option<[u8; 32]> {
    let mut creator = [0u8; 32];
    creator
        .get_mut(..text.len())
        .filter(|place| place.len() < 32)?
        .copy_from_slice(text.as_bytes());
    Some(creator)
}

/// Reads the header and checks that the log reaches `last_lsn`.
pub(crate) fn open<'a>(
    fetcher: &Fetcher<'_>,
    stored: Stored<'a>,
) -> Result<(Log<'a>, [u8; HEADER]), ReadError> {
    check_objects(stored.manifest.name.as_str(), stored.entry)?;
    let mut head = Vec::with_capacity(HEADER);
    let mut index = 0;
    while head.len() < HEADER {
        fetcher.each::<ReadError>(stored, index, &mut |_, data| {
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
        return Err(stored.damaged(Finding::new(
            format!("its checkpoint is at LSN {checkpoint}"),
            format!("{}, as in the manifest", lsn.start_checkpoint),
        )));
    }
    let log = Log {
        stored,
        base: checkpoint.block_start(),
        last: needed_end(lsn.last_lsn),
    };
    let end = log.end();
    if end < log.last.0 && log.missing_last(end).is_none() {
        return Err(stored.damaged(format!(
            "it ends at LSN {end}, before the recorded end {}",
            lsn.last_lsn
        )));
    }
    Ok((log, head))
}

/// Returns the end of the blocks that recovery needs to reach `last`; a recovering server reports
/// the same LSN as the end of its scan. If the LSN is in the header of a block, nothing of that
/// block is needed; if it is after the payload, the whole block is needed.
///
/// If it is at the first payload byte of a block, the header of this block is needed: the last
/// mini-transaction fills the previous block, and recovery applies it only if it has scanned the
/// next block too (`recv_single_rec` and `recv_multi_rec` of the server compare its end with the
/// scanned LSN).
pub(crate) fn needed_end(last: Lsn) -> Lsn {
    let start = last.block_start();
    match last.0 - start.0 {
        0..BLOCK_HEADER => start,
        PAYLOAD_END.. => Lsn(start.0 + BLOCK as u64),
        _ => last,
    }
}

impl Log<'_> {
    pub(crate) fn whole(&self, offset: u64, data: &[u8]) -> Result<(), ReadError> {
        if offset.is_multiple_of(BLOCK as u64) && data.len().is_multiple_of(BLOCK) {
            return Ok(());
        }
        Err(self.stored.damaged(format!(
            "{} at offset {offset} are not whole blocks of {BLOCK} bytes",
            data.len()
        )))
    }

    /// Returns the LSN at which the stored log ends.
    pub(crate) const fn end(&self) -> u64 {
        self.base.0 + self.stored.entry.bytes.saturating_sub(HEADER as u64)
    }

    /// Returns the last block and its LSN if recovery needs only its header, and a log that ends at
    /// `end` lacks it: a copy of the log with every byte of payload can lack it, so it is created.
    pub(crate) fn missing_last(&self, end: u64) -> Option<(Lsn, [u8; BLOCK])> {
        let start = self.last.block_start();
        let is_header = self.last.0 - start.0 == BLOCK_HEADER;
        (is_header && end == start.0).then(|| (start, redo::empty_block(start)))
    }

    /// Returns the block for recovery; `None` after the end. The blocks of the header are returned
    /// unchanged.
    pub(crate) fn block<'b>(
        &self,
        at: u64,
        block: &'b [u8],
    ) -> Result<Option<Cow<'b, [u8]>>, ReadError> {
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
            // Encrypted: its checksum is ciphertext. The backup read it twice, and the object's
            // digest was right. It can only be decrypted as a whole, so it stays unchanged.
            BlockState::Unproven { data_len } if data_len >= wanted => {
                return Ok(Some(Cow::Borrowed(block)));
            }
            BlockState::End if u64::from(wanted) == BLOCK_HEADER => {
                return Ok(Some(Cow::Owned(redo::empty_block(lsn).to_vec())));
            }
            state => {
                return Err(self.stored.damaged(format!(
                    "the redo block at LSN {lsn} is {state:?}, but the log must reach to {}",
                    self.last
                )));
            }
        };
        if found < wanted {
            return Err(self.stored.damaged(Finding::new(
                format!(
                    "the redo block at LSN {lsn} ends after {found}",
                    found = count(found, "byte")
                ),
                wanted,
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
