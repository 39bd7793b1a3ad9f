//! Tests of the start of the redo copy, on generated redo files.

use super::*;
use crate::backup::redo::tests::{Log, spooled};
use crate::innodb::redo::{BLOCK, HEADER};
use crate::progress::Silent;

/// Writes a log of one file that begins at block `first`, with a checkpoint in its block 1 and four
/// full blocks.
fn write(log: &Log, first: u64) {
    log.file(3, first);
    log.checkpoint(3, checkpoint(first).0);
    (first..first + 4).for_each(|block| log.block(3, first, block, 512));
}

const fn checkpoint(first: u64) -> Lsn {
    Lsn((first + 1) * 512 + 12)
}

/// Starts on `log`; `between` runs after each checkpoint was chosen, before the redo after it is
/// read.
fn started(log: &Log, mut between: impl FnMut(Lsn)) -> Result<Started, BackupError> {
    let from = Origin {
        redo_dir: log.dir.path(),
        spool_dir: &std::env::temp_dir(),
        stamp: "261130 00:00:00",
    };
    begin(&from, &Silent, |_, start| {
        between(start.checkpoint.lsn());
        Ok(start.checkpoint.lsn())
    })
}

#[test]
fn overwritten_redo_causes_a_start_at_a_newer_checkpoint() {
    let log = Log::new();
    write(&log, 100);
    let mut tried = Vec::new();
    let Started {
        start,
        spool,
        mut follower,
    } = started(&log, |lsn| {
        tried.push(lsn);
        if tried.len() == 1 {
            // The server reuses the file for a later part of the log.
            write(&log, 140);
        }
    })
    .unwrap();
    assert_eq!(tried, [checkpoint(100), checkpoint(140)]);
    assert_eq!(start.checkpoint.lsn(), checkpoint(140));
    assert_eq!(start.file.start_lsn, Lsn(140 * 512));
    // The redo of the backup is only that of the second start, from the block of its checkpoint on.
    log.block(3, 140, 144, 512);
    follower.catch_up(|_| {}).unwrap();
    spool.close(true);
    let bytes = spooled(&spool);
    assert_eq!(bytes.len(), HEADER + 4 * BLOCK);
    let recorded = redo::parse_checkpoint(&bytes[BLOCK..2 * BLOCK]);
    assert_eq!(recorded, Some(checkpoint(140)));
    for (block, bytes) in (141..145).zip(bytes[HEADER..].chunks_exact(BLOCK)) {
        assert_eq!(
            redo::BlockHeader::parse(bytes).lsn(),
            Some(Lsn(block * 512))
        );
    }
}

#[test]
fn a_server_that_always_overwrites_the_redo_first_fails_the_backup() {
    let log = Log::new();
    write(&log, 100);
    let mut first = 100;
    let error = started(&log, |_| {
        first += 40;
        write(&log, first);
    });
    let Err(BackupError::RedoOverwritten { needed, .. }) = error else {
        panic!("no error, or another one");
    };
    let last = 100 + 40 * (u64::from(STARTS) - 1);
    assert_eq!(needed, checkpoint(last).block_start());
}
