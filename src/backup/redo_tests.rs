//! The follower on redo files made here: a real server can't be made to stop at a given byte.

use super::*;
use crate::backup::spool::Piece;
use std::fs::OpenOptions;

const UUID: u32 = 0xABCD;
/// Blocks a file holds in these tests.
const PER_FILE: u64 = 8;

struct Log {
    dir: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.path().join(format!("#ib_redo{number}"))
    }

    /// A file that starts at block `first` of the log, all blocks empty.
    fn file(&self, number: u64, first: u64) {
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

    fn checkpoint(&self, number: u64, lsn: u64) {
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
    fn block(&self, number: u64, first: u64, block: u64, data_len: u16) {
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

fn spooled(spool: &Spool) -> Vec<u8> {
    let mut out = vec![0; 1 << 20];
    match spool.read(0, &mut out).unwrap() {
        Piece::Data(n) => out.truncate(n),
        other => panic!("{other:?}"),
    }
    out
}

fn follow<'a>(log: &Log, checkpoint: u64, spool: &'a Spool) -> Follower<'a> {
    spool.append(&[0; HEADER]).unwrap();
    let start = StartPoint {
        checkpoint: Lsn(checkpoint),
        header: vec![0; HEADER],
        file: FileHeader::parse(&fs::read(log.path(3)).unwrap()[..BLOCK]).unwrap(),
    };
    Follower::new(RedoFiles::open(log.dir.path()).unwrap(), &start, spool)
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
    assert_eq!(start.checkpoint, Lsn(109 * 512 + 50));
    assert_eq!(start.file.start_lsn, Lsn(108 * 512));
}

#[test]
fn a_checkpoint_outside_of_its_file_is_a_leftover() {
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
fn the_redo_is_followed_from_file_to_file_and_cut_at_the_named_lsn() {
    let log = Log::new();
    log.file(3, 100);
    log.file(4, 108);
    (101..111).for_each(|b| log.block(3 + (b - 100) / 8, if b < 108 { 100 } else { 108 }, b, 512));
    log.block(4, 108, 111, 200);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path()).unwrap();
    let mut follower = follow(&log, 101 * 512 + 30, &spool);
    follower.catch_up(|_| {}).unwrap();
    assert_eq!(follower.reached(), Lsn(111 * 512 + 200));
    spool.hold();
    let (stop, stopped) = stop_channel();
    stop.send(StopAt {
        lsn: Lsn(111 * 512 + 100),
        commits_held: false,
    })
    .unwrap();
    follower.run(&stopped).unwrap();
    spool.close(true);
    let bytes = spooled(&spool);
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
fn what_was_followed_beyond_the_named_lsn_is_cut_off_again() {
    let log = Log::new();
    log.file(3, 100);
    (100..104).for_each(|b| log.block(3, 100, b, 512));
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path()).unwrap();
    let mut follower = follow(&log, 100 * 512 + 12, &spool);
    spool.hold();
    follower.catch_up(|_| {}).unwrap();
    let (stop, stopped) = stop_channel();
    stop.send(StopAt {
        lsn: Lsn(102 * 512 + 77),
        commits_held: false,
    })
    .unwrap();
    follower.run(&stopped).unwrap();
    spool.close(true);
    let bytes = spooled(&spool);
    assert_eq!(bytes.len(), HEADER + 3 * 512);
    assert_eq!(
        redo::BlockHeader::parse(&bytes[HEADER + 1024..]).data_len,
        77
    );
}

#[test]
fn overwritten_redo_is_an_error_that_says_by_how_much() {
    let log = Log::new();
    log.file(3, 100);
    (100..104).for_each(|b| log.block(3, 100, b, 512));
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path()).unwrap();
    let mut follower = follow(&log, 100 * 512 + 12, &spool);
    follower.catch_up(|_| {}).unwrap();
    // The server recycles the file: same name, later place in the log.
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
fn a_torn_block_is_waited_for() {
    let log = Log::new();
    log.file(3, 100);
    log.block(3, 100, 100, 512);
    let mut torn = block_bytes(101, 512, 12);
    torn[300] ^= 1;
    log.write(3, HEADER as u64 + 512, &torn);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path()).unwrap();
    let mut follower = follow(&log, 100 * 512 + 12, &spool);
    follower.catch_up(|_| {}).unwrap();
    assert_eq!(follower.reached(), Lsn(101 * 512));
    log.block(3, 100, 101, 512);
    follower.catch_up(|_| {}).unwrap();
    assert_eq!(follower.reached(), Lsn(102 * 512));
}

#[test]
fn a_follower_whose_caller_is_gone_gives_up() {
    let log = Log::new();
    log.file(3, 100);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path()).unwrap();
    let follower = follow(&log, 100 * 512 + 12, &spool);
    let (stop, stopped) = stop_channel();
    drop(stop);
    assert!(matches!(
        follower.run(&stopped),
        Err(BackupError::Interrupted)
    ));
}

/// As the server writes it with `innodb_redo_log_encrypt`: marked in the length, the checksum unreadable.
fn encrypted_block(block: u64, data_len: u16) -> [u8; BLOCK] {
    let mut b = block_bytes(block, data_len, 12);
    b[4] |= 0x80;
    b
}

#[test]
fn encrypted_blocks_are_taken_when_two_reads_agree() {
    let log = Log::new();
    log.file(3, 100);
    log.write(3, HEADER as u64, &encrypted_block(100, 512));
    log.write(3, HEADER as u64 + 512, &encrypted_block(101, 90));
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path()).unwrap();
    let mut follower = follow(&log, 100 * 512 + 12, &spool);
    follower.has_key = true;
    follower.catch_up(|_| {}).unwrap();
    assert_eq!(follower.reached(), Lsn(101 * 512 + 90));
}

#[test]
fn encrypted_blocks_without_their_key_end_the_backup() {
    let log = Log::new();
    log.file(3, 100);
    log.write(3, HEADER as u64, &encrypted_block(100, 512));
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path()).unwrap();
    let mut follower = follow(&log, 100 * 512 + 12, &spool);
    let error = follower.catch_up(|_| {}).unwrap_err();
    assert!(
        matches!(error, BackupError::RedoKey { at: Lsn(51200) }),
        "{error}"
    );
}

#[test]
fn an_encrypted_end_is_taken_only_when_no_commit_can_lie_behind_it() {
    for commits_held in [true, false] {
        let log = Log::new();
        log.file(3, 100);
        log.write(3, HEADER as u64, &encrypted_block(100, 90));
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path()).unwrap();
        let mut follower = follow(&log, 100 * 512 + 12, &spool);
        follower.has_key = true;
        spool.hold();
        let (stop, stopped) = stop_channel();
        let lsn = Lsn(100 * 512 + 60);
        stop.send(StopAt { lsn, commits_held }).unwrap();
        let result = follower.run(&stopped);
        assert_eq!(result.is_ok(), commits_held, "{result:?}");
    }
}
