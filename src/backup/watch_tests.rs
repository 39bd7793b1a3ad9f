//! What is watched, how often, and when nothing is.

use super::*;
use std::io::Write as _;

#[test]
fn the_kernels_counters_are_understood() {
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
fn a_server_that_times_nothing_is_not_watched() {
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
fn a_watcher_that_sees_nothing_any_more_ends_in_the_floor() {
    let watched = watching(Path::new("/nonexistent/stat"));
    let settings = settings();
    let limiter = ReadLimiter::ordered(settings.floor);
    let (_open, ended) = end_channel();
    let (watched, _) = watch(
        watched,
        Controller::new(settings, Duration::ZERO),
        &limiter,
        &ended,
    );
    assert!(watched.reasons().unwrap().contains("/nonexistent/stat"));
    // nobody renews the orders from here on, and the limiter opens by itself
    drop(limiter.enter(1, &|| false).unwrap());
}

/// A file that shows what is written to it while it is read: a look at it takes as long as one likes.
fn fifo() -> (tempfile::TempDir, PathBuf) {
    use rustix::fs::{CWD, Mode, mkfifoat};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stat");
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    (dir, path)
}

/// Waits for a look, which shows `bytes` after `before_that`. The time at the end is the reader's, to
/// find the end before somebody opens the file again.
fn show(fifo: &Path, before_that: impl FnOnce(), bytes: &[u8]) {
    let mut file = std::fs::File::options().write(true).open(fifo).unwrap();
    before_that();
    file.write_all(bytes).unwrap();
    drop(file);
    std::thread::sleep(Duration::from_millis(50));
}

const STAT: &[u8] = b"1 1 1 1 1 1 1 1 1 1 1";

#[test]
fn the_end_waits_for_no_other_connection() {
    let (_dir, stat) = fifo();
    let limiter = ReadLimiter::ordered(settings().floor);
    let (open, ended) = end_channel();
    let watching = watching(&stat);
    let (watched, _) = std::thread::scope(|scope| {
        let controller = Controller::new(settings(), Duration::ZERO);
        let limiter = &limiter;
        let watching = scope.spawn(move || watch(watching, controller, limiter, &ended));
        show(&stat, || {}, STAT);
        // no text: the look fails
        show(&stat, || drop(open), &[0xff]);
        watching.join().unwrap()
    });
    assert_eq!(watched.reasons(), None);
}

#[test]
fn slow_looks_make_no_long_pause() {
    let (_dir, stat) = fifo();
    let limiter = ReadLimiter::ordered(settings().floor);
    let (open, ended) = end_channel();
    let watching = watching(&stat);
    let looks = std::thread::scope(|scope| {
        let controller = Controller::new(settings(), Duration::ZERO);
        let limiter = &limiter;
        scope.spawn(move || watch(watching, controller, limiter, &ended));
        let slow = || std::thread::sleep(Duration::from_millis(50));
        let began = Instant::now();
        let mut looks = 0;
        while began.elapsed() < Duration::from_millis(1700) {
            show(&stat, slow, STAT);
            looks += 1;
        }
        drop(open);
        looks
    });
    // five would be the ideal; with what looks may take outside of pauses, there are two
    assert!(looks >= 4, "{looks}");
}

#[test]
fn a_pause_is_short_though_looks_are_slow() {
    let read = ReadRate::Read {
        rate: crate::pace::Settings::FLOOR,
        readers: 1,
    };
    for (took, while_reading) in [(1, 250), (10, 500), (39, 1950), (300, 2000)] {
        let took = Duration::from_millis(took);
        assert_eq!(until_next_look(ReadRate::Pause, took), EVERY);
        let expected = Duration::from_millis(while_reading);
        assert_eq!(until_next_look(read, took), expected);
    }
}

#[test]
fn our_own_writes_are_not_watched() {
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

/// The one connection that may not be waited for.
#[test]
fn a_server_that_says_nothing_is_not_watched() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("mute");
    let _mute = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let connect = ConnectOptions::for_socket(&socket, "nobody");
    let data = dir.path().to_owned();
    let began = Instant::now();
    let watched = Watched::begin(connect, data.clone(), vec![data]);
    assert!(began.elapsed() >= PATIENCE);
    assert!(!watched.can_see(), "{watched:?}");
    let why = watched.reasons().unwrap();
    assert!(why.contains("no answer in time"), "{why}");
    assert!(why.contains("the backup itself writes"), "{why}");
}
