use super::fixture::*;
use crate::datadir::*;
use crate::innodb::{Lsn, PageFault, PageNo, SpaceFlags};
use crate::mem::BufferPool;
use std::fs::{self, File};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

const MODES: [ReadMode; 3] = [ReadMode::Auto, ReadMode::Direct, ReadMode::Buffered];
const SIZE: u64 = 16384;

/// Creates a data directory with `db/t.ibd`, space 7.
fn with_table(flags: SpaceFlags, pages: u32) -> TestDatadir {
    let mut made = TestDatadir::new();
    made.space("db/t.ibd", "db/t", 7, flags, pages);
    made
}

fn open(made: &TestDatadir, wait: impl Fn(u32) + Send + Sync + 'static) -> PageReader {
    PageReader::open_with_wait(&made.find("db/t.ibd"), ReadMode::Auto, wait).unwrap()
}

fn no_wait(tries: u32) {
    panic!("page read again after {tries} reads");
}

#[test]
fn reads_any_range_of_any_page_size_in_any_mode() {
    for flags in [TABLE, ZIP_1K, ZIP_2K] {
        // For 1 and 2 KiB, neither offsets nor the file's length are multiples of 4096.
        let made = with_table(flags, 11);
        let ts = made.find("db/t.ibd");
        let size = ts.page_size.bytes();
        let content = fs::read(&ts.source).unwrap();
        let pool = BufferPool::new(1, 11 * size);
        for mode in MODES {
            let reader = PageReader::open_with_wait(&ts, mode, no_wait).unwrap();
            assert_eq!(reader.is_direct(), mode != ReadMode::Buffered);
            assert_eq!(reader.pages(), 11);
            for first in 0..11 {
                for n in 0..=11 - first {
                    let expected = &content[first * size..(first + n) * size];
                    let mut misaligned = vec![0xAA; 1 + n * size];
                    let mut aligned = pool.get();
                    for buf in [&mut misaligned[1..], &mut aligned[..]] {
                        let report = reader.read(PageNo(first as u32), n, buf).unwrap();
                        assert!(
                            buf[..n * size] == *expected,
                            "{flags:?} {mode:?} {first}+{n}"
                        );
                        assert_eq!(report.verified, n as u64);
                        let lsn = if n == 0 {
                            0
                        } else {
                            1000 + (first + n - 1) as u64
                        };
                        assert_eq!(report.max_lsn, Lsn(lsn));
                    }
                }
            }
        }
    }
}

#[test]
fn a_read_longer_than_a_window_fills_misaligned_memory() {
    let made = with_table(TABLE, 70);
    let content = fs::read(made.path("db/t.ibd")).unwrap();
    let mut buf = vec![0; 1 + content.len()];
    let report = open(&made, no_wait)
        .read(PageNo(0), 70, &mut buf[1..])
        .unwrap();
    assert!(buf[1..] == content && report.verified == 70);
}

#[test]
fn requests_beyond_the_file_or_the_buffer_are_refused() {
    let made = with_table(TABLE, 4);
    let reader = open(&made, no_wait);
    let mut buf = vec![0; 5 * SIZE as usize];
    for (first, pages, len) in [
        (0, 5, 5),
        (4, 1, 5),
        (u32::MAX, 1, 5),
        (0, 2, 1),
        (0, usize::MAX, 5),
    ] {
        let error = reader
            .read(PageNo(first), pages, &mut buf[..len * SIZE as usize])
            .unwrap_err();
        assert!(matches!(error, DatadirError::BadRequest { .. }), "{error}");
    }
}

#[test]
fn a_partial_page_at_the_end_is_dropped() {
    let made = with_table(TABLE, 4);
    let file = File::options()
        .write(true)
        .open(made.path("db/t.ibd"))
        .unwrap();
    file.set_len(3 * SIZE + 5000).unwrap();
    assert_eq!(made.find("db/t.ibd").bytes, 3 * SIZE);
    let reader = open(&made, no_wait);
    assert_eq!(reader.pages(), 3);
    reader
        .read(PageNo(0), 3, &mut vec![0; 3 * SIZE as usize])
        .unwrap();
    assert_eq!(reader.next_data(0).unwrap(), Some(0..3 * SIZE));
}

/// The writer repairs page 3 only after the reader has found it torn, and damages page 2 at the
/// same time: page 2 must not be read again.
#[test]
fn a_torn_page_is_read_again_alone() {
    for mode in MODES {
        let made = with_table(TABLE, 8);
        let path = made.path("db/t.ibd");
        let old = page(3, 7, TABLE, 5000);
        let mut torn = page(3, 7, TABLE, 6000);
        torn[8192..].copy_from_slice(&old[8192..]);
        overwrite(&path, 3 * SIZE, &torn);
        let (seen, on_seen) = mpsc::channel::<()>();
        let (done, on_done) = mpsc::channel::<()>();
        let writer = std::thread::spawn(move || {
            on_seen.recv().unwrap();
            overwrite(&path, 2 * SIZE, &[0xEE; 16384]);
            overwrite(&path, 3 * SIZE, &page(3, 7, TABLE, 6000));
            done.send(()).unwrap();
        });
        let on_done = std::sync::Mutex::new(on_done);
        let reader = PageReader::open_with_wait(&made.find("db/t.ibd"), mode, move |tries| {
            assert_eq!(tries, 1);
            seen.send(()).unwrap();
            on_done.lock().unwrap().recv().unwrap();
        })
        .unwrap();
        let mut buf = vec![0; 8 * SIZE as usize];
        let report = reader.read(PageNo(0), 8, &mut buf).unwrap();
        writer.join().unwrap();
        assert_eq!(
            (report.verified, report.rereads, report.max_lsn),
            (8, 1, Lsn(6000))
        );
        let at = |no: usize| &buf[no * SIZE as usize..(no + 1) * SIZE as usize];
        assert!(
            at(2) == page(2, 7, TABLE, 1002),
            "the adjacent page was read again"
        );
        assert!(at(3) == page(3, 7, TABLE, 6000));
    }
}

#[test]
fn a_page_that_stays_bad_is_corrupt_after_ten_reads() {
    let made = with_table(TABLE, 8);
    overwrite(&made.path("db/t.ibd"), 5 * SIZE + 100, b"bit rot");
    let waits = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&waits);
    let reader = open(&made, move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let error = reader
        .read(PageNo(4), 4, &mut vec![0; 4 * SIZE as usize])
        .unwrap_err();
    match &error {
        DatadirError::CorruptPage {
            page,
            space_id,
            fault,
            tries,
            ..
        } => {
            assert_eq!((page.0, space_id.0, *tries), (5, 7, 10));
            assert!(matches!(fault, PageFault::Checksum { .. }), "{fault}");
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains("db/t.ibd"), "{error}");
    assert_eq!(waits.load(Ordering::SeqCst), 9);
}

#[test]
fn one_bad_page_of_one_kib_among_good_ones() {
    let made = with_table(ZIP_1K, 9);
    let path = made.path("db/t.ibd");
    overwrite(&path, 6 * 1024 + 500, b"torn");
    let reader = open(&made, move |_| {
        overwrite(&path, 6 * 1024, &page(6, 7, ZIP_1K, 1006))
    });
    let mut buf = vec![0; 8 * 1024];
    let report = reader.read(PageNo(1), 8, &mut buf).unwrap();
    assert_eq!((report.verified, report.rereads), (8, 1));
    assert!(buf == fs::read(made.path("db/t.ibd")).unwrap()[1024..]);
}

#[test]
fn a_shrunk_file_is_an_error_in_every_call() {
    for mode in MODES {
        let made = with_table(TABLE, 8);
        let ts = made.find("db/t.ibd");
        let reader = PageReader::open_with_wait(&ts, mode, no_wait).unwrap();
        let file = File::options().write(true).open(&ts.source).unwrap();
        file.set_len(4 * SIZE + 4097).unwrap();
        reader
            .read(PageNo(0), 4, &mut vec![0; 4 * SIZE as usize])
            .unwrap();
        for error in [
            reader
                .read(PageNo(0), 8, &mut vec![0; 8 * SIZE as usize])
                .unwrap_err(),
            reader
                .read(PageNo(6), 1, &mut vec![0; SIZE as usize])
                .unwrap_err(),
            reader.next_data(7 * SIZE).unwrap_err(),
            PageReader::open(&ts, mode).unwrap_err(),
        ] {
            assert!(matches!(error, DatadirError::Shrunk { .. }), "{error}");
            assert!(error.to_string().contains("db/t.ibd"), "{error}");
        }
    }
}

#[test]
fn a_file_replaced_under_its_name_is_not_reported_as_damage() {
    let made = with_table(TABLE, 8);
    let ts = made.find("db/t.ibd");
    let reader = PageReader::open_with_wait(&ts, ReadMode::Auto, |_| ()).unwrap();
    write_space(&ts.source, 8, TABLE, 8);
    for error in [
        PageReader::open(&ts, ReadMode::Auto).unwrap_err(),
        reader
            .read(PageNo(3), 1, &mut vec![0; SIZE as usize])
            .unwrap_err(),
    ] {
        match error {
            DatadirError::Replaced {
                found, expected, ..
            } => {
                assert_eq!((found.0, expected.0), (8, 7));
            }
            other => panic!("{other}"),
        }
    }
    write_space(&ts.source, 7, ZIP_1K, 128);
    let error = PageReader::open(&ts, ReadMode::Auto).unwrap_err();
    assert!(matches!(error, DatadirError::PageSize { .. }), "{error}");
}

#[test]
fn encrypted_pages_are_read_until_two_reads_agree() {
    let made = with_table(ENCRYPTED_TABLE, 8);
    let path = made.path("db/t.ibd");
    for no in 1..8 {
        overwrite(&path, u64::from(no) * SIZE, &encrypted(no, 7, 2000));
    }
    // Without writes: the second read is equal, and there is no pause.
    let mut buf = vec![0; 8 * SIZE as usize];
    let report = open(&made, no_wait).read(PageNo(0), 8, &mut buf).unwrap();
    assert_eq!(
        (report.verified, report.unverifiable, report.rereads),
        (1, 7, 0)
    );
    assert!(buf == fs::read(&path).unwrap());

    // With writes: page 6 is invalid, so there is a pause before the second read, during which page
    // 2 changes.
    overwrite(&path, 6 * SIZE, &[0xEE; 64]);
    let writer = path.clone();
    let reader = open(&made, move |tries| {
        if tries == 1 {
            overwrite(&writer, 2 * SIZE, &encrypted(2, 7, 3000));
            overwrite(&writer, 6 * SIZE, &encrypted(6, 7, 2000));
        }
    });
    let report = reader.read(PageNo(0), 8, &mut buf).unwrap();
    assert_eq!((report.unverifiable, report.max_lsn), (7, Lsn(3000)));
    assert_eq!(
        report.rereads, 3,
        "page 6 twice (invalid, then confirming), page 2 once more"
    );
    assert!(buf == fs::read(&path).unwrap());
}

#[test]
fn an_encrypted_page_that_changes_continuously_is_an_error() {
    let made = with_table(ENCRYPTED_TABLE, 4);
    let path = made.path("db/t.ibd");
    overwrite(&path, SIZE, &encrypted(1, 7, 2000));
    overwrite(&path, 2 * SIZE, &[0xEE; 64]);
    let reader = open(&made, move |tries| {
        overwrite(&path, SIZE, &encrypted(1, 7, 2000 + u64::from(tries)));
    });
    let error = reader
        .read(PageNo(0), 4, &mut vec![0; 4 * SIZE as usize])
        .unwrap_err();
    assert!(
        matches!(&error, DatadirError::UnstablePage { page, .. } if page.0 == 1),
        "{error}"
    );
}

#[test]
fn the_old_doublewrite_area_is_not_verified() {
    let made = TestDatadir::new();
    let path = made.path("ibdata1");
    overwrite(&path, 5 * SIZE, &trx_sys(64, 128));
    for no in 64..192 {
        overwrite(&path, no * SIZE, &[0xDD; 100]);
    }
    let reader = PageReader::open_with_wait(&made.find("ibdata1"), ReadMode::Auto, |_| ()).unwrap();
    let mut buf = vec![0; 320 * SIZE as usize];
    let report = reader.read(PageNo(0), 320, &mut buf).unwrap();
    assert_eq!(
        (report.verified, report.zero, report.skipped),
        (10, 182, 128)
    );
    assert_eq!(report.max_lsn, Lsn(1009));
    overwrite(&path, 192 * SIZE, &[0xDD; 100]);
    assert!(matches!(
        reader.read(PageNo(190), 3, &mut buf),
        Err(DatadirError::CorruptPage {
            page: PageNo(192),
            ..
        })
    ));
}

#[test]
fn page_numbers_continue_in_the_second_system_file() {
    let made = TestDatadir::new();
    overwrite(&made.path("ibdata2"), 0, &page(320, 0, GENERAL, 77));
    overwrite(&made.path("ibdata2"), SIZE, &page(1, 0, GENERAL, 77));
    let reader = PageReader::open_with_wait(&made.find("ibdata2"), ReadMode::Auto, |_| ()).unwrap();
    let mut buf = vec![0; 2 * SIZE as usize];
    assert_eq!(reader.read(PageNo(0), 1, &mut buf).unwrap().verified, 1);
    match reader.read(PageNo(0), 2, &mut buf).unwrap_err() {
        DatadirError::CorruptPage { page, fault, .. } => {
            assert_eq!(page, PageNo(1));
            assert!(
                matches!(fault, PageFault::WrongPageNumber { .. }),
                "{fault}"
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn data_of_a_sparse_file_is_found_directly() {
    const LENGTH: u64 = 300 << 30;
    let made = with_table(TABLE, 1);
    let path = made.path("db/t.ibd");
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(LENGTH)
        .unwrap();
    let far = 15_000_000 * SIZE;
    // The first 8 KiB of this page are a hole; the whole page must count as data.
    overwrite(&path, far + 8192, &[1; 100]);
    overwrite(&path, LENGTH - SIZE, &[1; 16384]);
    let reader = open(&made, no_wait);
    assert_eq!(reader.next_data(0).unwrap(), Some(0..SIZE));
    assert_eq!(reader.next_data(SIZE).unwrap(), Some(far..far + SIZE));
    assert_eq!(reader.next_data(far + 5).unwrap(), Some(far..far + SIZE));
    assert_eq!(
        reader.next_data(far + SIZE).unwrap(),
        Some(LENGTH - SIZE..LENGTH)
    );
    assert_eq!(reader.next_data(LENGTH).unwrap(), None);
    assert_eq!(reader.next_data(u64::MAX).unwrap(), None);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(LENGTH - SIZE)
        .unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(LENGTH)
        .unwrap();
    assert_eq!(reader.next_data(far + SIZE).unwrap(), None);
}

#[test]
fn data_ranges_of_pages_with_holes_are_merged() {
    let made = with_table(TABLE, 1);
    let path = made.path("db/t.ibd");
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(9000 * SIZE)
        .unwrap();
    for no in 100..6000 {
        overwrite(&path, no * SIZE, &[1; 4096]);
    }
    let reader = open(&made, no_wait);
    let first = reader.next_data(SIZE).unwrap().unwrap();
    assert_eq!(first, 100 * SIZE..(100 * SIZE + (64 << 20)));
    let second = reader.next_data(first.end).unwrap().unwrap();
    assert_eq!(second, first.end..6000 * SIZE);
    assert_eq!(reader.next_data(second.end).unwrap(), None);
}

#[test]
fn many_threads_read_one_file() {
    let made = with_table(ZIP_2K, 300);
    let reader = Arc::new(open(&made, no_wait));
    let content = Arc::new(fs::read(made.path("db/t.ibd")).unwrap());
    let threads: Vec<_> = (0..8)
        .map(|t| {
            let (reader, content) = (Arc::clone(&reader), Arc::clone(&content));
            std::thread::spawn(move || {
                for i in 0..50 {
                    let (first, n) = ((t * 37 + i * 11) % 290, 1 + (t + i) % 10);
                    let mut buf = vec![0; n * 2048];
                    reader.read(PageNo(first as u32), n, &mut buf).unwrap();
                    assert!(buf == content[first * 2048..(first + n) * 2048]);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}
