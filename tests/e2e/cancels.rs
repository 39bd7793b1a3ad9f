//! Backups that are cancelled at moments all over their way: each ends soon as interrupted, nothing of it looks finished,
//! the server has nothing left of it, and the next one is made. The other jobs: `src/jobs_tests.rs`.

use crate::lsnap;
use crate::sandbox::{SOURCE, Sandbox, run, scratch, value, wait_for};
use ::lsnap::archive::{self, Input, ListOptions};
use ::lsnap::{
    BackupOptions, Cancel, ConnectOptions, ErrorKind, Phase, Progress, Repository, Silent,
};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(12);
/// Moments for each kind of backup.
const MOMENTS: usize = 5;

/// Cancels a backup when it has told so many things.
struct CancelAt {
    moment: usize,
    told: AtomicUsize,
    cancel: Cancel,
}

impl CancelAt {
    fn new(moment: usize) -> Self {
        let (told, cancel) = (AtomicUsize::new(0), Cancel::new());
        Self {
            moment,
            told,
            cancel,
        }
    }

    fn tell(&self) {
        if self.told.fetch_add(1, Ordering::AcqRel) + 1 == self.moment {
            self.cancel.cancel();
        }
    }
}

impl Progress for CancelAt {
    fn phase(&self, _: Phase, _: Option<u64>) {
        self.tell();
    }
    fn advance(&self, _: Phase, _: u64) {
        self.tell();
    }
    fn note(&self, _: &str) {
        self.tell();
    }
}

/// Makes a backup whole, then cancels others; `left` looks at what is left of each.
fn at_moments(
    server: &Sandbox,
    job: impl Fn(&BackupOptions, &dyn Progress) -> Result<(), ErrorKind>,
    mut left: impl FnMut(bool),
) {
    let mut conn = server.connect();
    let new = || BackupOptions::new(ConnectOptions::for_socket(server.socket(), "root"));
    let whole = CancelAt::new(usize::MAX);
    job(&new(), &whole).unwrap();
    left(true);
    let tell = whole.told.into_inner();
    let mut interrupted = 0;
    for number in 0..MOMENTS {
        let progress = CancelAt::new(1 + tell * number / MOMENTS);
        let mut options = new();
        options.cancel = progress.cancel.clone();
        let began = Instant::now();
        let result = job(&options, &progress);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        left(result.is_ok());
        if let Err(kind) = result {
            assert_eq!(kind, ErrorKind::Interrupted, "{number}");
            interrupted += 1;
        }
        let sessions = "SELECT COUNT(*) FROM performance_schema.session_connect_attrs \
            WHERE ATTR_NAME = 'program_name' AND ATTR_VALUE = 'lsnap'";
        wait_for("the end of its sessions", SOON, || {
            value(&mut conn, sessions) == "0"
        });
        // Nothing is locked any more.
        run(&mut conn, "INSERT INTO d.t VALUES (NULL, 'after')");
        run(&mut conn, "ALTER TABLE d.t COMMENT 'after'");
    }
    assert!(interrupted >= MOMENTS - 1, "{interrupted}");
    job(&new(), &Silent).unwrap();
    left(true);
}

/// A stream that is kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn backups_are_cancelled_at_any_moment() {
    let room = scratch();
    let server = Sandbox::start("e2e-cancels", &[SOURCE]);
    server.run("CREATE DATABASE d");
    server.run("CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, c VARCHAR(100))");
    server.run("INSERT INTO d.t (c) VALUES ('before')");

    let place = room.path().join("repository");
    let repo = Repository::open(&lsnap::url(&place)).unwrap();
    let mut finished = 0;
    at_moments(
        &server,
        |options, progress| {
            let done = ::lsnap::back_up(&repo, options, progress);
            done.map(drop).map_err(|error| error.kind())
        },
        |done| {
            finished += usize::from(done);
            let listed = repo.list().unwrap();
            assert!(listed.iter().all(|backup| backup.finished().is_some()));
            assert_eq!(listed.len(), finished, "{listed:?}");
        },
    );

    let kept = Mutex::new(Kept::default());
    at_moments(
        &server,
        |options, progress| {
            let out = Kept::default();
            *kept.lock().unwrap() = out.clone();
            let done = ::lsnap::back_up_to_streams(vec![Box::new(out)], None, options, progress);
            done.map(drop).map_err(|error| error.kind())
        },
        |done| {
            let stream = kept.lock().unwrap().0.lock().unwrap().clone();
            let list = ListOptions::default();
            let read = archive::list(vec![Input::Bytes(stream.into())], list, &Silent);
            let whole = read.is_ok_and(|report| report.is_whole());
            assert_eq!(whole, done, "a stream that was cut off is refused");
        },
    );
}
