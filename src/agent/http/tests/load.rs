//! Floods, slow clients, huge bodies, and the end of the server.

use super::fake::Fake;
use super::settings;
use super::sockets::{JOBS, Running, raw};
use crate::agent::http::limits::Limits;
use crate::locked::Locked as _;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn limits() -> Limits {
    Limits {
        head: Duration::from_millis(300),
        request: Duration::from_millis(600),
        grace: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[test]
fn a_flood_is_answered_or_refused_and_the_server_lives() {
    let running = Running::start(&settings("127.0.0.1:0"), &Fake::new(), Limits::default());
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    match raw(running.connect(), JOBS) {
                        text if text.starts_with("HTTP/1.1 200") => &answered,
                        text if text.starts_with("HTTP/1.1 503") || text.is_empty() => &refused,
                        other => panic!("{other}"),
                    }
                    .fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let counts = (answered.into_inner(), refused.into_inner());
    assert_eq!(counts.0 + counts.1, 800);
    assert!(counts.0 > 0, "{counts:?}");
    assert!(raw(running.connect(), JOBS).starts_with("HTTP/1.1 200"));
}

#[test]
fn connections_are_limited() {
    let limits = Limits {
        connections: 3,
        ..Limits::default()
    };
    let running = Running::start(&settings("127.0.0.1:0"), &Fake::new(), limits);
    // A part of a request shows that each was accepted: its answer comes after the rest.
    let mut held: Vec<_> = (0..3).map(|_| running.connect()).collect();
    for stream in &mut held {
        let text = JOBS.replace("Connection: close", "Connection: keep-alive");
        stream.write_all(text.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    assert_eq!(raw(running.connect(), JOBS), "", "closed without an answer");
    drop(held);
    let until = Instant::now() + Duration::from_secs(30);
    while !raw(running.connect(), JOBS).starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < until, "the places are free again");
    }
}

#[test]
fn slow_clients_are_disconnected() {
    let running = Running::start(&settings("127.0.0.1:0"), &Fake::new(), limits());
    // Nothing, a part of a head, a part of a head after a whole request.
    for text in [
        "",
        "GET /v1/jobs HTTP/1.1\r\nHost: local",
        &format!("{}GET / HT", JOBS.replace("close", "keep-alive")),
    ] {
        let answer = raw(running.connect(), text);
        assert!(!answer.contains("HTTP/1.1 5"), "{answer}");
    }
    // A body that doesn't come.
    let text = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    let answer = raw(running.connect(), text);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn a_huge_body_is_not_read() {
    let fake = Fake::new();
    let running = Running::start(&settings("127.0.0.1:0"), &fake, Limits::default());
    let head = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let announced = raw(
        running.connect(),
        &format!("{head}Content-Length: 1000000000000\r\n\r\n"),
    );
    assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
    assert!(announced.contains("\"kind\":\"arguments\""), "{announced}");
    // Without an announcement, in chunks.
    let mut chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    for _ in 0..5 {
        chunks += &format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    }
    let chunked = raw(running.connect(), &format!("{chunks}0\r\n\r\n"));
    assert!(chunked.starts_with("HTTP/1.1 413"), "{chunked}");
    let header = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let answer = raw(running.connect(), &header);
    assert!(
        answer.starts_with("HTTP/1.1 431") || answer.is_empty(),
        "{answer}"
    );
    assert!(fake.started.locked().is_empty());
}

#[test]
fn garbage_gets_no_answer_but_an_error() {
    let running = Running::start(&settings("127.0.0.1:0"), &Fake::new(), limits());
    for text in [
        "\r\n\r\n",
        "\0\0\0\0",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        let answer = raw(running.connect(), text);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{text:?}: {answer}"
        );
    }
    let no_host = raw(
        running.connect(),
        "GET /v1/jobs HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    assert!(no_host.starts_with("HTTP/1.1 403"), "{no_host}");
    assert!(raw(running.connect(), JOBS).starts_with("HTTP/1.1 200"));
}

#[test]
fn the_end_does_not_wait_for_clients() {
    let mut running = Running::start(&settings("127.0.0.1:0"), &Fake::new(), limits());
    let mut events = running.connect();
    let text = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    events.write_all(text.as_bytes()).unwrap();
    let mut first = [0; 12];
    events.read_exact(&mut first).unwrap();
    let _silent = running.connect();
    let begun = Instant::now();
    running.end();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(std::net::TcpStream::connect(running.at.trim_start_matches("http://")).is_err());
}
