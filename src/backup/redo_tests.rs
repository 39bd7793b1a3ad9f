//! Tests of the follower, on generated redo files: a real server can't be made to stop at a given
//! byte.

use super::*;
use crate::backup::spool::Piece;
use crate::innodb::StartCheckpoint;
use crate::innodb::redo::FileHeader;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const UUID: u32 = 0xABCD;
/// Number of blocks in a file in these tests.
const PER_FILE: u64 = 8;

pub(in crate::backup) struct Log {
    pub(in crate::backup) dir: tempfile::TempDir,
}

impl Log {
    pub(in crate::backup) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(in crate::backup) fn path(&self, number: u64) -> PathBuf {
        self.dir.path().join(format!("#ib_redo{number}"))
    }

    /// Creates file 3 with these blocks full; block 100 is its first.
    pub(in crate::backup) fn with(blocks: std::ops::Range<u64>) -> Self {
        let log = Self::new();
        log.file(3, 100);
        blocks.for_each(|block| log.block(3, 100, block, 512));
        log
    }

    /// Writes a file that starts at block `first` of the log, with empty blocks.
    pub(in crate::backup) fn file(&self, number: u64, first: u64) {
        let header = FileHeader {
            format: redo::FORMAT,
            log_uuid: UUID,
            start_lsn: Lsn(first * 512),
            creator: *b"MySQL 9.7.4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            flags: 0,
        };
        let mut bytes = vec![0; HEADER + (PER_FILE as usize) * BLOCK];
        bytes[..BLOCK].copy_from_slice(&header.encode());
        fs::write(self.path(number), bytes).unwrap();
    }

    pub(in crate::backup) fn checkpoint(&self, number: u64, lsn: u64) {
        self.write(number, BLOCK as u64, &redo::encode_checkpoint(Lsn(lsn)));
    }

    fn write(&self, number: u64, at: u64, bytes: &[u8]) {
        let file = OpenOptions::new()
            .write(true)
            .open(self.path(number))
            .unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    /// Writes block `block` of the log into file `number` that starts at block `first`.
    pub(in crate::backup) fn block(&self, number: u64, first: u64, block: u64, data_len: u16) {
        let at = HEADER as u64 + (block - first) * 512;
        self.write(number, at, &block_bytes(block, data_len, data_len));
    }
}

fn block_bytes(block: u64, data_len: u16, group: u16) -> [u8; BLOCK] {
    let mut b = [0u8; BLOCK];
    b[..4].copy_from_slice(&redo::hdr_no_of(Lsn(block * 512)).to_be_bytes());
    b[4..6].copy_from_slice(&data_len.to_be_bytes());
    b[6..8].copy_from_slice(&group.to_be_bytes());
    b[8..12].copy_from_slice(&redo::epoch_of(Lsn(block * 512)).to_be_bytes());
    let end = usize::from(data_len).min(508);
    b[12..end].fill(block as u8);
    let crc = crc32c::crc32c(&b[..508]);
    b[508..].copy_from_slice(&crc.to_be_bytes());
    b
}

pub(in crate::backup) fn spooled(spool: &Spool) -> Vec<u8> {
    let mut out = vec![0; 1 << 20];
    match spool.read(0, &mut out).unwrap() {
        Piece::Data(n) => out.truncate(n),
        other => panic!("{other:?}"),
    }
    out
}

/// Creates a follower that starts at this LSN, which is in file 3, and its spool.
fn follow(log: &Log, checkpoint: u64) -> (Follower, Arc<Spool>) {
    let spool = Arc::new(Spool::new(&std::env::temp_dir()).unwrap());
    spool.append(&[0; HEADER]).unwrap();
    let start = StartPoint {
        checkpoint: StartCheckpoint::at(Lsn(checkpoint)),
        header: vec![0; HEADER],
        file: FileHeader::parse(&fs::read(log.path(3)).unwrap()[..BLOCK]).unwrap(),
    };
    let files = RedoFiles::open(log.dir.path()).unwrap();
    (Follower::new(files, &start, Arc::clone(&spool)), spool)
}

/// Ends the follower at this LSN; returns the redo of the backup.
fn end_at(
    follower: Follower,
    spool: &Spool,
    lsn: u64,
    commits_held: bool,
) -> Result<Vec<u8>, BackupError> {
    let (stop, stopped) = stop_channel();
    let lsn = EndLsn::at(Lsn(lsn));
    stop.send(StopAt { lsn, commits_held }).unwrap();
    follower.run(&stopped)?;
    spool.close(true);
    Ok(spooled(spool))
}

#[test]
fn the_newest_checkpoint_of_all_files_is_the_start() {
    let log = Log::new();
    log.file(3, 100);
    log.file(4, 108);
    fs::write(log.path(5).with_extension("tmp"), b"rubbish").unwrap();
    log.checkpoint(3, 100 * 512 + 40);
    log.checkpoint(4, 109 * 512 + 50);
    let start = RedoFiles::open(log.dir.path())
        .unwrap()
        .start_point()
        .unwrap();
    assert_eq!(start.checkpoint.lsn(), Lsn(109 * 512 + 50));
    assert_eq!(start.file.start_lsn, Lsn(108 * 512));
}

#[test]
fn a_checkpoint_outside_of_its_file_is_ignored() {
    let log = Log::new();
    log.file(3, 100);
    log.checkpoint(3, 500 * 512);
    let error = RedoFiles::open(log.dir.path())
        .unwrap()
        .start_point()
        .unwrap_err();
    assert!(
        error.to_string().contains("none with a valid checkpoint"),
        "{error}"
    );
}

#[test]
fn the_redo_is_followed_across_files_and_cut_at_the_stop_lsn() {
    let log = Log::new();
    log.file(3, 100);
    log.file(4, 108);
    (101..111).for_each(|b| log.block(3 + (b - 100) / 8, if b < 108 { 100 } else { 108 }, b, 512));
    log.block(4, 108, 111, 200);
    let (mut follower, spool) = follow(&log, 101 * 512 + 30);
    follower.catch_up(|_| {}).unwrap();
    assert_eq!(follower.reached(), Lsn(111 * 512 + 200));
    spool.hold();
    let bytes = end_at(follower, &spool, 111 * 512 + 100, false).unwrap();
    assert_eq!(bytes.len(), HEADER + 11 * 512);
    let last = &bytes[HEADER + 10 * 512..];
    let header = redo::BlockHeader::parse(last);
    assert_eq!(
        (header.data_len, header.first_rec_group, header.crc_ok),
        (100, 0, true)
    );
    assert_eq!(last[99], 111);
    assert!(
        last[100..508].iter().all(|b| *b == 0),
        "nothing beyond the LSN"
    );
}

#[test]
fn redo_after_the_stop_lsn_is_cut_off() {
    let log = Log::with(100..104);
    let (mut follower, spool) = follow(&log, 100 * 512 + 12);
    spool.hold();
    follower.catch_up(|_| {}).unwrap();
    let bytes = end_at(follower, &spool, 102 * 512 + 77, false).unwrap();
    assert_eq!(bytes.len(), HEADER + 3 * 512);
    assert_eq!(
        redo::BlockHeader::parse(&bytes[HEADER + 1024..]).data_len,
        77
    );
}

#[test]
fn overwritten_redo_is_an_error_with_the_missing_lsns() {
    let log = Log::with(100..104);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    follower.catch_up(|_| {}).unwrap();
    // The server recycles the file: same name, later part of the log.
    log.file(3, 140);
    (140..148).for_each(|b| log.block(3, 140, b, 512));
    let error = follower.catch_up(|_| {}).unwrap_err();
    let BackupError::RedoOverwritten { needed, oldest, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((*needed, *oldest), (Lsn(104 * 512), Lsn(140 * 512)));
    assert!(
        error.to_string().contains("innodb_redo_log_capacity"),
        "{error}"
    );
}

#[test]
fn a_torn_block_is_read_again() {
    let log = Log::new();
    log.file(3, 100);
    log.block(3, 100, 100, 512);
    let mut torn = block_bytes(101, 512, 12);
    torn[300] ^= 1;
    log.write(3, HEADER as u64 + 512, &torn);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    follower.catch_up(|_| {}).unwrap();
    assert_eq!(follower.reached(), Lsn(101 * 512));
    log.block(3, 100, 101, 512);
    follower.catch_up(|_| {}).unwrap();
    assert_eq!(follower.reached(), Lsn(102 * 512));
}

#[test]
fn a_follower_ends_when_its_stop_channel_is_closed() {
    let log = Log::new();
    log.file(3, 100);
    let (follower, _spool) = follow(&log, 100 * 512 + 12);
    let (stop, stopped) = stop_channel();
    drop(stop);
    assert!(matches!(
        follower.run(&stopped),
        Err(BackupError::Interrupted)
    ));
}

/// Returns a block as the server writes it with `innodb_redo_log_encrypt`: a flag in the length,
/// and a checksum that can't be verified.
fn encrypted_block(block: u64, data_len: u16) -> [u8; BLOCK] {
    let mut b = block_bytes(block, data_len, 12);
    b[4] |= 0x80;
    b
}

#[test]
fn encrypted_blocks_are_accepted_if_two_reads_are_equal() {
    let log = Log::new();
    log.file(3, 100);
    log.write(3, HEADER as u64, &encrypted_block(100, 512));
    log.write(3, HEADER as u64 + 512, &encrypted_block(101, 90));
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    follower.has_key = true;
    follower.catch_up(|_| {}).unwrap();
    assert_eq!(follower.reached(), Lsn(101 * 512 + 90));
}

#[test]
fn encrypted_blocks_without_their_key_are_an_error() {
    let log = Log::new();
    log.file(3, 100);
    log.write(3, HEADER as u64, &encrypted_block(100, 512));
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    let error = follower.catch_up(|_| {}).unwrap_err();
    assert!(
        matches!(error, BackupError::RedoKey { at: Lsn(51200) }),
        "{error}"
    );
}

#[test]
fn an_encrypted_end_is_accepted_only_if_commits_were_held() {
    for commits_held in [true, false] {
        let log = Log::new();
        log.file(3, 100);
        log.write(3, HEADER as u64, &encrypted_block(100, 90));
        let (mut follower, spool) = follow(&log, 100 * 512 + 12);
        follower.has_key = true;
        spool.hold();
        let result = end_at(follower, &spool, 100 * 512 + 60, commits_held);
        assert_eq!(result.is_ok(), commits_held, "{result:?}");
    }
}

#[test]
fn a_shortened_file_is_opened_again() {
    let log = Log::with(100..104);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    follower.catch_up(|_| {}).unwrap();
    // The capacity is lowered: the file ends at the end of the log, and the next one begins there.
    let file = OpenOptions::new().write(true).open(log.path(3)).unwrap();
    file.set_len((HEADER + 4 * BLOCK) as u64).unwrap();
    log.file(4, 104);
    (104..107).for_each(|b| log.block(4, 104, b, 512));
    let reached = |follower: &mut Follower| {
        // The files are found by the second pass at the latest.
        (0..2).for_each(|_| follower.catch_up(|_| {}).unwrap());
        follower.reached()
    };
    assert_eq!(reached(&mut follower), Lsn(107 * 512));
    // Cut off in the middle of a buffer, and continued in the next file.
    file.set_len((HEADER + 2 * BLOCK) as u64).unwrap();
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    file.set_len((HEADER + BLOCK) as u64).unwrap();
    log.file(5, 101);
    (101..106).for_each(|b| log.block(5, 101, b, 512));
    fs::remove_file(log.path(4)).unwrap();
    assert_eq!(reached(&mut follower), Lsn(106 * 512));
}

#[test]
fn the_next_file_is_found_while_the_old_one_still_exists() {
    let log = Log::with(100..103);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    follower.catch_up(|_| {}).unwrap();
    // The old file has its length, with zeros after the end of the log.
    log.file(4, 103);
    log.block(4, 103, 103, 90);
    for _ in 0..=IDLE_PASSES {
        follower.catch_up(|_| {}).unwrap();
    }
    assert_eq!(follower.reached(), Lsn(103 * 512 + 90));
}

#[test]
fn a_removed_file_is_read_to_its_end() {
    let log = Log::with(100..104);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    follower.catch_up(|_| {}).unwrap();
    (104..108).for_each(|b| log.block(3, 100, b, 512));
    log.file(4, 108);
    log.block(4, 108, 108, 90);
    fs::remove_file(log.path(3)).unwrap();
    // As after a pass that saw the end before all of that.
    assert_eq!(follower.relocate().unwrap(), Pass::AtEnd);
    (0..2).for_each(|_| follower.catch_up(|_| {}).unwrap());
    assert_eq!(follower.reached(), Lsn(108 * 512 + 90));
    // The removed file is no longer open.
    follower.files.reopen(follower.next).unwrap();
    assert_eq!(follower.files.oldest(), Some(Lsn(108 * 512)));
    assert!(!follower.files.still_holds(Lsn(107 * 512)));
}

#[test]
fn new_files_are_opened_as_soon_as_the_directory_changes() {
    let log = Log::with(100..104);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    follower.catch_up(|_| {}).unwrap();
    // Longer than the resolution of the file system's clock.
    std::thread::sleep(Duration::from_millis(20));
    log.file(4, 108);
    follower.catch_up(|_| {}).unwrap();
    (104..108).for_each(|b| log.block(3, 100, b, 512));
    (108..116).for_each(|b| log.block(4, 108, b, 512));
    log.file(5, 116);
    log.block(5, 116, 116, 90);
    for number in [3, 4] {
        fs::remove_file(log.path(number)).unwrap();
    }
    (0..3).for_each(|_| follower.catch_up(|_| {}).unwrap());
    assert_eq!(follower.reached(), Lsn(116 * 512 + 90));
}

#[test]
fn a_spare_file_is_read_while_it_has_its_redo() {
    let log = Log::new();
    log.file(3, 100);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    (100..108).for_each(|b| log.block(3, 100, b, 512));
    // The file is created, filled and released before the follower lists the directory.
    log.file(4, 108);
    (108..116).for_each(|b| log.block(4, 108, b, 512));
    fs::rename(log.path(4), log.dir.path().join("#ib_redo9_tmp")).unwrap();
    fs::write(log.dir.path().join("#ib_redo10_tmp"), b"no header yet").unwrap();
    log.file(5, 116);
    log.block(5, 116, 116, 90);
    (0..3).for_each(|_| follower.catch_up(|_| {}).unwrap());
    assert_eq!(follower.reached(), Lsn(116 * 512 + 90));
}

#[test]
fn a_file_that_a_listing_missed_is_found_by_the_next_one() {
    let log = Log::with(100..108);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    follower.catch_up(|_| {}).unwrap();
    assert_eq!(follower.next, Lsn(108 * 512));
    // File 4 is being renamed, and file 5 exists already.
    fs::remove_file(log.path(3)).unwrap();
    log.file(4, 108);
    log.block(4, 108, 108, 512);
    log.file(5, 116);
    let aside = log.dir.path().join("renamed");
    fs::rename(log.path(4), &aside).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(2 * RELOCATE_PAUSE);
            fs::rename(&aside, log.path(4)).unwrap();
        });
        (0..3).for_each(|_| follower.catch_up(|_| {}).unwrap());
    });
    assert_eq!(follower.reached(), Lsn(109 * 512));
}

#[test]
fn a_file_created_in_advance_and_removed_does_not_end_the_log() {
    let log = Log::with(100..104);
    log.file(4, 108);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    follower.catch_up(|_| {}).unwrap();
    // The capacity is lowered: file 3 ends at block 106, and the next one begins there.
    fs::remove_file(log.path(4)).unwrap();
    let file = OpenOptions::new().write(true).open(log.path(3)).unwrap();
    file.set_len((HEADER + 6 * BLOCK) as u64).unwrap();
    (104..106).for_each(|b| log.block(3, 100, b, 512));
    log.file(5, 106);
    (106..112).for_each(|b| log.block(5, 106, b, 512));
    (0..4).for_each(|_| follower.catch_up(|_| {}).unwrap());
    assert_eq!(follower.reached(), Lsn(112 * 512));
}

#[test]
fn redo_without_checksums_is_an_error() {
    let log = Log::new();
    log.file(3, 100);
    log.block(3, 100, 100, 512);
    let mut bare = block_bytes(101, 512, 12);
    bare[508..].copy_from_slice(&0xDEAD_BEEF_u32.to_be_bytes());
    log.write(3, HEADER as u64 + 512, &bare);
    let (mut follower, _spool) = follow(&log, 100 * 512 + 12);
    let error = follower.catch_up(|_| {}).unwrap_err();
    assert!(
        matches!(error, BackupError::NoLogChecksum { at } if at == Lsn(101 * 512)),
        "{error}"
    );
}

#[test]
fn the_digest_of_the_end_is_equal_until_it_is_overwritten() {
    let log = Log::with(100..104);
    log.block(3, 100, 104, 200);
    let files = || RedoFiles::open(log.dir.path()).unwrap();
    let end = EndLsn::at(Lsn(104 * 512 + 150));
    let mark = files().mark_before(end, Lsn(101 * 512 + 30)).unwrap();
    assert_eq!((mark.from, mark.to), (Lsn(101 * 512), end.lsn()));
    let found = || files().digest(mark.from, mark.to);
    assert_eq!(found(), Some(mark.digest.clone()));
    // The server continues in the last block.
    log.block(3, 100, 104, 512);
    log.block(3, 100, 105, 40);
    assert_eq!(found(), Some(mark.digest.clone()));
    // A different history.
    let mut other = block_bytes(102, 512, 512);
    other[100] ^= 1;
    let crc = crc32c::crc32c(&other[..508]);
    other[508..].copy_from_slice(&crc.to_be_bytes());
    log.write(3, HEADER as u64 + 2 * 512, &other);
    assert_ne!(found().unwrap(), mark.digest);
    // The file was recycled, or its end isn't reached.
    log.file(3, 140);
    assert_eq!(found(), None);
    log.file(3, 100);
    assert_eq!(found(), None);
}

#[test]
fn an_encrypted_last_block_is_not_part_of_the_mark() {
    let log = Log::new();
    log.file(3, 100);
    log.write(3, HEADER as u64, &encrypted_block(100, 512));
    log.write(3, HEADER as u64 + 512, &encrypted_block(101, 90));
    let files = RedoFiles::open(log.dir.path()).unwrap();
    let mark = files.mark_before(EndLsn::at(Lsn(101 * 512 + 90)), Lsn(100 * 512 + 12));
    assert_eq!(mark.unwrap().to, Lsn(101 * 512));
}
