use super::*;
use std::io::{Seek, Write};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

fn address(buffer: &Buffer) -> usize {
    buffer.as_ptr().addr()
}

#[test]
fn rounds_lengths_and_never_has_zero_buffers() {
    let pool = BufferPool::new(10_000, 4097);
    assert_eq!((pool.buffer_bytes(), pool.count()), (8192, 1));
    let pool = BufferPool::new(0, 0);
    assert_eq!((pool.buffer_bytes(), pool.count()), (4096, 1));
    assert_eq!(BufferPool::new(65536, 16384).count(), 4);
}

#[test]
fn buffers_are_aligned_zeroed_and_disjoint() {
    let pool = BufferPool::new(4 * 12288, 12288);
    let mut buffers: Vec<Buffer> = (0..4).map(|_| pool.get()).collect();
    for (i, buffer) in buffers.iter_mut().enumerate() {
        assert_eq!(address(buffer) % ALIGNMENT, 0);
        assert_eq!(buffer.len(), 12288);
        assert!(buffer.iter().all(|&b| b == 0));
        buffer.fill(i as u8 + 1);
    }
    for (i, buffer) in buffers.iter().enumerate() {
        assert!(buffer.iter().all(|&b| b == i as u8 + 1));
    }
}

#[test]
fn memory_is_reused_and_the_pool_is_bounded() {
    let pool = BufferPool::new(2 * 4096, 4096);
    let (a, b) = (pool.get(), pool.get());
    assert!(pool.try_get().is_none());
    let was = address(&a);
    drop(a);
    let again = pool.try_get().unwrap();
    assert_eq!(address(&again), was);
    assert!(pool.try_get().is_none());
    drop((b, again));
}

#[test]
fn frozen_bytes_are_not_copied_and_hold_the_buffer_until_the_last_slice() {
    let pool = BufferPool::new(4096, 4096);
    let mut buffer = pool.get();
    buffer[..5].copy_from_slice(b"hello");
    let was = address(&buffer);
    let bytes = buffer.freeze(5);
    assert_eq!(&bytes[..], b"hello");
    assert_eq!(bytes.as_ptr().addr(), was);
    let tail = bytes.slice(3..);
    drop(bytes);
    assert!(pool.try_get().is_none());
    assert_eq!(&tail[..], b"lo");
    drop(tail);
    assert!(pool.try_get().is_some());
}

#[test]
fn freezing_zero_bytes_returns_the_buffer_at_once() {
    let pool = BufferPool::new(4096, 4096);
    let empty = pool.get().freeze(0);
    assert!(empty.is_empty());
    assert!(pool.try_get().is_some());
}

#[test]
#[should_panic(expected = "freeze(4097)")]
fn freezing_more_than_the_length_panics() {
    let _ = BufferPool::new(4096, 4096).get().freeze(4097);
}

#[test]
fn get_waits_for_a_return_from_another_thread() {
    let pool = BufferPool::new(4096, 4096);
    let held = pool.get();
    let (send, receive) = mpsc::channel();
    let waiter = {
        let pool = pool.clone();
        std::thread::spawn(move || {
            send.send(()).unwrap();
            address(&pool.get())
        })
    };
    receive.recv().unwrap();
    let was = address(&held);
    drop(held);
    assert_eq!(waiter.join().unwrap(), was);
}

#[test]
fn buffers_outlive_the_pool() {
    let bytes = BufferPool::new(4096, 4096).get().freeze(4096);
    assert!(bytes.iter().all(|&b| b == 0));
}

/// Eight threads, three buffers: each thread that holds a buffer fills it with its mark and hands
/// it, frozen, to a thread that checks the mark and drops it. Two owners of the same memory, or
/// more buffers than allowed, would be detected.
#[test]
fn stress_many_threads_share_few_buffers() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 500;
    let pool = BufferPool::new(3 * 4096, 4096);
    let out = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(THREADS));
    let (send, receive) = mpsc::sync_channel::<(u8, Bytes)>(1);
    let checker = {
        let out = Arc::clone(&out);
        std::thread::spawn(move || {
            let mut seen = 0;
            for (mark, bytes) in receive {
                assert!(bytes.iter().all(|&b| b == mark), "memory has two owners");
                assert!(
                    out.fetch_sub(1, Ordering::SeqCst) <= 3,
                    "more than three buffers"
                );
                drop(bytes);
                seen += 1;
            }
            seen
        })
    };
    let workers: Vec<_> = (0..THREADS)
        .map(|t| {
            let (pool, out, start, send) = (
                pool.clone(),
                Arc::clone(&out),
                Arc::clone(&start),
                send.clone(),
            );
            std::thread::spawn(move || {
                start.wait();
                for round in 0..ROUNDS {
                    let mut buffer = pool.get();
                    assert!(
                        out.fetch_add(1, Ordering::SeqCst) < 3,
                        "more than three buffers"
                    );
                    let mark = (t * ROUNDS + round) as u8;
                    buffer.fill(mark);
                    if round % 3 == 0 {
                        out.fetch_sub(1, Ordering::SeqCst);
                        drop(buffer);
                    } else {
                        send.send((mark, buffer.freeze(4096))).unwrap();
                    }
                }
            })
        })
        .collect();
    drop(send);
    workers.into_iter().for_each(|w| w.join().unwrap());
    assert_eq!(
        checker.join().unwrap(),
        THREADS * (ROUNDS - ROUNDS.div_ceil(3))
    );
    let all: Vec<Buffer> = std::iter::from_fn(|| pool.try_get()).collect();
    assert_eq!(all.len(), 3);
}

/// Bytes of a mapped file that are resident in this process, according to the kernel.
fn resident(path: &std::path::Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = maps.lines();
    lines.find(|line| line.ends_with(path.to_str().unwrap()));
    let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
    let kib: usize = rss.split_whitespace().next().unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn a_mapped_file_releases_read_parts_and_stays_readable() {
    const MIB: usize = 1 << 20;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let block: Vec<u8> = (0..MIB).map(|i| (i * 7) as u8).collect();
    for n in 0..40u8 {
        let mut block = block.clone();
        block[0] = n;
        file.write_all(&block).unwrap();
    }
    file.seek(std::io::SeekFrom::Start(3)).unwrap();
    let mut mapping = Mapping::of(file.as_file()).unwrap().unwrap();
    let bytes = mapping.bytes();
    assert_eq!(bytes.len(), 40 * MIB - 3);
    let sum = |bytes: &[u8]| bytes.iter().map(|&b| u64::from(b)).sum::<u64>();
    let whole = sum(&bytes);
    assert!(resident(file.path()) >= 39 * MIB);
    mapping.release(35 * MIB);
    let left = resident(file.path());
    assert!((MIB..16 * MIB).contains(&left), "{left}");
    mapping.release(usize::MAX - 8);
    mapping.release(0);
    drop(mapping);
    assert_eq!(sum(&bytes), whole);
    assert_eq!(bytes[20 * MIB - 3], 20);
}

#[test]
fn only_nonempty_regular_files_are_mapped() {
    let empty = tempfile::tempfile().unwrap();
    assert!(Mapping::of(&empty).unwrap().is_none());
    let device = std::fs::File::open("/dev/null").unwrap();
    assert!(Mapping::of(&device).unwrap().is_none());
}
