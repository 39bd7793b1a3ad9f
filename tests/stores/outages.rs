//! A store that is unreachable for a while: refused connections, 503, broken and silent
//! connections. The job continues when the store is back, reports the outage meanwhile, and ends
//! when it has to.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use lsnap::manifest::BackupName;
use lsnap::store::{Held, LeaseFault, Repository, StoreError, StoreOptions};

use crate::common::program::{PROGRAM, signal};
use crate::journey::lsnap;
use crate::proxy::{Deed, Proxy, UNAVAILABLE};
use crate::servers::{ACCESS_KEY, SECRET, Server};

/// Longer than ten retries with the delays of these tests.
const AWAY: Duration = Duration::from_secs(4);

fn through(server: &Server, proxy: &Proxy) -> StoreOptions {
    StoreOptions {
        endpoint: Some(format!("http://127.0.0.1:{}", proxy.port)),
        allow_http: true,
        ca_file: None,
        timeout: Duration::from_secs(2),
        max_backoff: Duration::from_millis(200),
        variables: server.options().variables,
        ..StoreOptions::default()
    }
}

fn open(server: &Server, options: &StoreOptions) -> Repository {
    Repository::open_with(&server.url("p"), options).unwrap()
}

#[test]
fn every_request_survives_an_outage_of_the_store() {
    let server = Server::start_plain_s3();
    let proxy = Proxy::before(server.port());
    let bucket = open(&server, &through(&server, &proxy)).bucket();
    let bytes = Bytes::from(vec![7; 3 << 20]);
    for (n, deed) in [
        None,
        Some(Deed::Answer(UNAVAILABLE)),
        Some(Deed::Drop),
        Some(Deed::Half),
        Some(Deed::LoseAnswer),
        Some(Deed::Hang),
    ]
    .into_iter()
    .enumerate()
    {
        let key = |name: &str| format!("{n}/{name}");
        for name in ["read", "gone", "copied"] {
            bucket.put_new(&key(name), vec![bytes.clone()]).unwrap();
        }
        match &deed {
            None => proxy.away(true),
            deed => proxy.always(deed.clone()),
        }
        std::thread::scope(|scope| {
            let (bucket, bytes, key) = (&bucket, &bytes, &key);
            scope.spawn(move || bucket.put_new(&key("put"), vec![bytes.clone()]).unwrap());
            scope.spawn(move || {
                let got = bucket.get(&key("read"), u64::MAX).unwrap();
                assert!(got == Held::Bytes(bytes.clone()));
            });
            scope.spawn(move || {
                let got = bucket.get_range(&key("read"), 10..2_000_000).unwrap();
                assert!(got == bytes.slice(10..2_000_000));
            });
            scope.spawn(move || bucket.delete(&key("gone")).unwrap());
            scope.spawn(move || bucket.copy_new(&key("copied"), &key("copy")).unwrap());
            scope.spawn(move || assert!(bucket.length(&key("read")).unwrap().is_some()));
            scope.spawn(move || {
                assert!(!bucket.children(&n.to_string()).unwrap().objects.is_empty())
            });
            scope.spawn(move || {
                let mut seen = 0;
                bucket
                    .each(&n.to_string(), |_, _| {
                        seen += 1;
                        true
                    })
                    .unwrap();
                assert!(seen >= 2);
            });
            std::thread::sleep(AWAY);
            proxy.away(false);
            proxy.always(None);
        });
        for name in ["read", "put", "copy"] {
            let got = bucket.get(&key(name), u64::MAX).unwrap();
            assert!(got == Held::Bytes(bytes.clone()), "{deed:?} {name}");
        }
        assert_eq!(bucket.get(&key("gone"), 0).unwrap(), Held::Nothing);
    }
}

/// A writer that could not renew its lease continues if no other process took it over, and never
/// next to a successor.
#[test]
fn a_lease_survives_an_outage_longer_than_its_time_limit() {
    const TTL: Duration = Duration::from_secs(2);
    let server = Server::start_plain_s3();
    let proxy = Proxy::before(server.port());
    let away = open(&server, &through(&server, &proxy));
    let straight = StoreOptions {
        endpoint: Some(server.endpoint.clone()),
        ..through(&server, &proxy)
    };
    let there = open(&server, &straight);
    let time = Utc::now();
    let full = BackupName::full("prod", time).unwrap();
    let begin = |repository: &Repository, second: i64| {
        let name = BackupName::incremental(&full, "prod", time + TimeDelta::seconds(second));
        repository.begin(&name.unwrap(), 2).unwrap()
    };
    let chunk = |byte: u8| vec![Bytes::from(vec![byte; 1000])];
    let (first, second) = (begin(&away, 1), begin(&there, 2));
    first.follow(&full, TTL).unwrap();
    first.put("a", 0, 0, chunk(1)).unwrap();
    proxy.away(true);
    std::thread::sleep(TTL * 2);
    proxy.away(false);
    first.put("a", 1, 1000, chunk(2)).unwrap();
    first.finish_file("a").unwrap();
    // renewed as soon as possible
    let until = Instant::now() + Duration::from_secs(20);
    let held = loop {
        match second.follow(&full, TTL).unwrap_err() {
            StoreError::Lease(fault) if matches!(*fault, LeaseFault::Held { .. }) => break true,
            error if Instant::now() > until => panic!("{error}"),
            _ => {}
        }
    };
    assert!(held);
    proxy.away(true);
    let until = Instant::now() + Duration::from_secs(20);
    while second.follow(&full, TTL).is_err() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(200));
    }
    proxy.away(false);
    let until = Instant::now() + Duration::from_secs(20);
    let mut files = 0..;
    let lost = loop {
        let file = format!("b{}", files.next().unwrap());
        match first.put(&file, 0, 0, chunk(1)) {
            Err(StoreError::Lease(fault)) => break fault,
            Ok(()) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(matches!(*lost, LeaseFault::Lost { .. }), "{lost}");
    first.abort().unwrap();
    second.abort().unwrap();
}

/// A stream in a file.
fn stream(directory: &std::path::Path) -> File {
    let path = directory.join("stream");
    let mut bytes = Vec::new();
    let mut writer = lsnap::xbstream::Writer::new(&mut bytes);
    for n in 0..4u64 {
        writer
            .payload("t.ibd", n << 20, &vec![n as u8; 1 << 20])
            .unwrap();
    }
    writer.end("t.ibd").unwrap();
    for (name, text) in [
        ("xtrabackup_checkpoints", "backup_type = full-backuped\n"),
        ("xtrabackup_tablespaces", "{}"),
    ] {
        writer.payload(name, 0, text.as_bytes()).unwrap();
        writer.end(name).unwrap();
    }
    File::create(&path).unwrap().write_all(&bytes).unwrap();
    File::open(path).unwrap()
}

struct Putting {
    child: Child,
    /// Lines of standard error.
    said: mpsc::Receiver<String>,
}

impl Putting {
    fn start(proxy: &Proxy, name: &str, input: File, more: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["cloud", "put", "--to", "s3://lsnap-test/p", name])
            .args(["--endpoint", &format!("http://127.0.0.1:{}", proxy.port)])
            .args(["--allow-http", "--max-backoff", "200"])
            .args(more)
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, said) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, said }
    }

    fn wait_for(&self, words: &str) -> String {
        let mut all = String::new();
        loop {
            match self.said.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => all = all + &line + "\n",
                Err(_) => panic!("{words} not reported: {all}"),
            }
            if all.contains(words) {
                return all;
            }
        }
    }

    /// Returns the exit code, and the remaining output.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.said.iter().collect::<Vec<_>>().join("\n"))
    }
}

#[test]
fn an_outage_is_reported_and_a_put_continues_after_it() {
    let server = Server::start_plain_s3();
    let proxy = Proxy::before(server.port());
    let dir = tempfile::tempdir().unwrap();
    let name = "prod-2026-11-18-11:06:40-full";
    proxy.away(true);
    let putting = Putting::start(&proxy, name, stream(dir.path()), &[]);
    let said = putting.wait_for("the store has failed since");
    assert!(said.contains("s3://lsnap-test/p"), "{said}");
    assert!(said.contains("trying again until"), "{said}");
    proxy.away(false);
    putting.wait_for("is available again after");
    let (code, said) = putting.end();
    assert_eq!(code, Some(0), "{said}");
    let endpoint = format!("http://127.0.0.1:{}", proxy.port);
    let env = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    let args = [
        "cloud",
        "get",
        "--from",
        "s3://lsnap-test/p",
        name,
        "--endpoint",
        &endpoint,
        "--allow-http",
    ];
    let got = lsnap(&env, &args, Stdio::null());
    let mut sent = Vec::new();
    stream(dir.path()).read_to_end(&mut sent).unwrap();
    assert!(got.stdout.len() == sent.len() && got.status.success());
}

#[test]
fn the_deadline_and_a_signal_end_the_wait() {
    let server = Server::start_plain_s3();
    let proxy = Proxy::before(server.port());
    let dir = tempfile::tempdir().unwrap();
    let name = "prod-2026-11-18-11:06:40-full";
    proxy.away(true);
    let began = Instant::now();
    let more = ["--retry-deadline", "3"];
    let (code, said) = Putting::start(&proxy, name, stream(dir.path()), &more).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("can't be reached"), "{said}");
    assert!(said.contains("times in 3 s"), "{said}");
    assert!(began.elapsed() >= Duration::from_secs(3));
    for hangs in [false, true] {
        proxy.away(!hangs);
        proxy.always(hangs.then_some(Deed::Hang));
        let more: &[&str] = if hangs { &["--timeout", "1"] } else { &[] };
        let putting = Putting::start(&proxy, name, stream(dir.path()), more);
        putting.wait_for("the store has failed since");
        let began = Instant::now();
        signal(&putting.child, rustix::process::Signal::TERM);
        let (code, said) = putting.end();
        assert_eq!(code, Some(130), "{said}");
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
    }
}
