//! Tests of the choice of the watched load, and of the intervals between samples.

use super::*;
use std::io::Write as _;

#[test]
fn the_kernels_counters_are_parsed() {
    let line = " 42 1 80 7 1000 5 8000 2500 3 900 2600 0 0 0 0 60 120\n";
    let found = requests(line);
    let wait = |name: &str, count, millis: u64| Counter {
        class: Class::Wait(name.into()),
        count,
        nanos: millis * 1_000_000,
    };
    assert_eq!(found, [wait("write", 1000, 2500), wait("flush", 60, 120)]);
    // before Linux 5.5
    let old: Vec<_> = line.split_whitespace().take(11).collect();
    assert_eq!(requests(&old.join(" ")), [wait("write", 1000, 2500)]);
    assert_eq!(requests("nonsense"), []);
}

#[test]
fn a_server_without_timed_statements_is_not_watched() {
    let counter = |class, nanos| Counter {
        class,
        count: 5,
        nanos,
    };
    assert!(!is_timed(&[]));
    assert!(!is_timed(&[counter(Class::Statement("select".into()), 0)]));
    assert!(!is_timed(&[counter(Class::Wait("log".into()), 7)]));
    assert!(is_timed(&[counter(Class::Statement("select".into()), 7)]));
}

fn settings() -> crate::pace::Settings {
    crate::pace::Settings {
        floor: crate::pace::Settings::FLOOR,
        tolerance: 0.1,
        readers: 1,
    }
}

fn watching(stat: &Path) -> Watched {
    Watched {
        connect: ConnectOptions::for_socket("/nonexistent/socket", "nobody"),
        datadir: "/nonexistent".into(),
        written: Vec::new(),
        source: Source::Device {
            stat: stat.to_owned(),
            text: "a disk".into(),
        },
        fallback: Vec::new(),
    }
}

#[test]
fn a_watcher_without_samples_ends_and_the_rate_falls_to_the_floor() {
    let watched = watching(Path::new("/nonexistent/stat"));
    let settings = settings();
    let limiter = ReadLimiter::adaptive(settings.floor);
    let (_open, ended) = end_channel();
    let (watched, _) = watch(
        watched,
        Controller::new(settings, Duration::ZERO),
        &limiter,
        &ended,
    );
    assert!(watched.reasons().unwrap().contains("/nonexistent/stat"));
    // The rate is no longer renewed, and the limiter continues at the floor.
    drop(limiter.enter(1, &|| false).unwrap());
}

/// Creates a fifo in place of a stat file: a read of it takes as long as the test requires.
fn fifo() -> (tempfile::TempDir, PathBuf) {
    use rustix::fs::{CWD, Mode, mkfifoat};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stat");
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    (dir, path)
}

/// Waits for a sample, which reads `bytes` after `before_that`. The sleep gives the reader time to
/// find the end of the file before it is opened for writing again.
fn show(fifo: &Path, before_that: impl FnOnce(), bytes: &[u8]) {
    let mut file = std::fs::File::options().write(true).open(fifo).unwrap();
    before_that();
    file.write_all(bytes).unwrap();
    drop(file);
    std::thread::sleep(Duration::from_millis(50));
}

const STAT: &[u8] = b"1 1 1 1 1 1 1 1 1 1 1";

#[test]
fn the_end_does_not_wait_for_another_connection() {
    let (_dir, stat) = fifo();
    let limiter = ReadLimiter::adaptive(settings().floor);
    let (open, ended) = end_channel();
    let watching = watching(&stat);
    let (watched, _) = std::thread::scope(|scope| {
        let controller = Controller::new(settings(), Duration::ZERO);
        let limiter = &limiter;
        let watching = scope.spawn(move || watch(watching, controller, limiter, &ended));
        show(&stat, || {}, STAT);
        // not UTF-8: the sample fails
        show(&stat, || drop(open), &[0xff]);
        watching.join().unwrap()
    });
    assert_eq!(watched.reasons(), None);
}

#[test]
fn slow_samples_do_not_prolong_a_pause() {
    let (_dir, stat) = fifo();
    let limiter = ReadLimiter::adaptive(settings().floor);
    let (open, ended) = end_channel();
    let watching = watching(&stat);
    let samples = std::thread::scope(|scope| {
        let controller = Controller::new(settings(), Duration::ZERO);
        let limiter = &limiter;
        scope.spawn(move || watch(watching, controller, limiter, &ended));
        let slow = || std::thread::sleep(Duration::from_millis(50));
        let began = Instant::now();
        let mut samples = 0;
        while began.elapsed() < Duration::from_millis(1700) {
            show(&stat, slow, STAT);
            samples += 1;
        }
        drop(open);
        samples
    });
    // Five would be the ideal; with the intervals outside of pauses there are two.
    assert!(samples >= 4, "{samples}");
}

#[test]
fn a_pause_is_short_with_slow_samples() {
    let read = ReadRate::Read {
        rate: crate::pace::Settings::FLOOR,
        readers: 1,
    };
    for (took, while_reading) in [(1, 250), (10, 500), (39, 1950), (300, 2000)] {
        let took = Duration::from_millis(took);
        assert_eq!(until_next_sample(ReadRate::Pause, took), INTERVAL);
        let expected = Duration::from_millis(while_reading);
        assert_eq!(until_next_sample(read, took), expected);
    }
}

#[test]
fn a_device_that_the_backup_is_written_to_is_not_watched() {
    let dir = tempfile::tempdir().unwrap();
    let (data, repo) = (dir.path().join("data"), dir.path().join("repo"));
    std::fs::create_dir(&data).unwrap();
    std::fs::create_dir(&repo).unwrap();
    let elsewhere = PathBuf::from("/proc");
    let words = "the backup itself writes to the device of";
    let refused = |written: &[PathBuf]| {
        let found = device(&data, written);
        found.is_err_and(|reason| reason.contains(words))
    };
    assert!(refused(&[elsewhere.clone(), repo]));
    assert!(!refused(&[elsewhere, "/nonexistent/spool".into()]));
}

/// The connection of the watcher is the only one that must not be waited for.
#[test]
fn a_server_that_does_not_answer_is_not_watched() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("mute");
    let _mute = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let connect = ConnectOptions::for_socket(&socket, "nobody");
    let data = dir.path().to_owned();
    let began = Instant::now();
    let watched = Watched::begin(connect, data.clone(), vec![data]);
    assert!(began.elapsed() >= ANSWER_LIMIT);
    assert!(!watched.is_available(), "{watched:?}");
    let why = watched.reasons().unwrap();
    assert!(why.contains("no answer in time"), "{why}");
    assert!(why.contains("the backup itself writes"), "{why}");
}
