//! Requests that are refused, slow clients, clients that go away, and the end of the agent.

use super::*;
use axum::http::StatusCode;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_start_nothing() {
    let bench = Bench::new();
    let good = bench.body();
    let with = |field: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[field] = value;
        body.to_string()
    };
    for name in [
        "..",
        "A",
        "a_b",
        "..%2Fa",
        "%2Fetc%2Fpasswd",
        "a%00",
        "-a",
        &"a".repeat(254),
    ] {
        for (method, path) in [("POST", "backup"), ("DELETE", "backup"), ("GET", "logs")] {
            let found = bench
                .call(method, &format!("/{path}/{name}"), good.to_string())
                .await;
            assert_eq!(
                found,
                (400, "invalid backup name\n".to_owned()),
                "{method} {name}"
            );
        }
    }
    assert_eq!(
        bench.call("POST", "/backup/", good.to_string()).await.0,
        400
    );
    assert_eq!(
        bench.call("POST", "/backup/a/b", good.to_string()).await.0,
        404
    );
    let bad = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        "\u{0}".to_owned(),
        with("type", "swift".into()),
        with("type", 5.into()),
        with("destination", "".into()),
        with("destination", "../other".into()),
        with("destination", "s3://other/x".into()),
        with("destination", "/x".into()),
        with("incrementalLsn", "1 --x".into()),
        with("verifyTLS", "yes".into()),
        with(
            "containerOptions",
            serde_json::json!({"env": [{"name": "A=B", "value": "x"}]}),
        ),
        with(
            "containerOptions",
            serde_json::json!({"args": {"xbcloud": ["a\u{0}b"]}}),
        ),
        "[".repeat(100_000),
    ];
    for body in bad {
        let short = body.chars().take(300).collect::<String>();
        let (status, text) = bench.call("POST", "/backup/a", body.clone()).await;
        assert_eq!(status, 400, "{short}");
        assert!(
            text.starts_with("backup failed: ") && !text.contains(SECRET),
            "{text}"
        );
        assert_eq!(
            bench.call("DELETE", "/backup/a", body).await.0,
            400,
            "{short}"
        );
    }
    let huge = format!("{{\"destination\": \"{}\"", "x".repeat(1 << 20));
    assert_eq!(bench.call("POST", "/backup/a", huge).await.0, 413);
    for path in ["/backup/a", "/backup/", "/backup/checkpoint-info"] {
        assert_eq!(bench.call("PUT", path, "").await.0, 405, "{path}");
    }
    assert_eq!(bench.call("GET", "/logs/never", "").await.0, 500);
    assert!(bench.called().is_empty());
    let null = r#"{"destination":"d","type":"s3","containerOptions":null,"s3":null,"gcs":null,"incrementalLsn":null}"#;
    assert!(config::BackupConfig::parse(null.as_bytes()).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_agent_ends_the_backup() {
    let bench = Arc::new(Bench::new());
    let backup = bench.waiting().await;
    bench.sidecar.cancel.cancel();
    let refused = (503, "shutting down\n".to_owned());
    assert_eq!(bench.post("second").await, refused);
    assert_eq!(backup.await.unwrap(), (500, "backup failed\n".to_owned()));
    assert_eq!(bench.get("state"), "", "the objects are removed");
}

/// Serves on a port until the end of the runtime.
fn serve_on_port(bench: &Bench) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http::serve_on(listener, Arc::clone(&bench.sidecar)));
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_refused() {
    let bench = Bench::new();
    let address = serve_on_port(&bench);
    let slow = |sent: &'static str| {
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(60)))
                .unwrap();
            stream.write_all(sent.as_bytes()).unwrap();
            let mut answer = String::new();
            let _reset = stream.read_to_string(&mut answer);
            answer
        })
    };
    let body =
        "POST /backup/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{";
    let answer = slow(body).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = slow("POST /backup/a HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    assert!(bench.called().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backup_goes_on_if_its_client_goes_away() {
    let bench = Arc::new(Bench::new());
    bench.make_gate();
    let address = serve_on_port(&bench);
    let body = bench.body().to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /backup/a HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    bench.until_called("xtrabackup").await;
    drop(stream);
    assert_eq!(
        bench.post("a").await.0,
        409,
        "as the operator's job tries again"
    );
    bench.open_gate().await;
    let running = bench.sidecar.running.clone();
    tokio::task::spawn_blocking(move || running.wait())
        .await
        .unwrap();
    assert_eq!(bench.get("state"), "finished\n");
    assert_eq!(bench.post("a").await, (200, String::new()));
    assert_eq!(
        bench.called().iter().filter(|name| *name == "put").count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_a_link_is_not_followed() {
    let bench = Bench::new();
    let other = bench.room.path().join("other");
    std::fs::write(&other, "precious").unwrap();
    std::os::unix::fs::symlink(&other, bench.sidecar.settings.log_dir.join("a.log")).unwrap();
    assert_eq!(
        bench.post("a").await.0,
        StatusCode::INTERNAL_SERVER_ERROR.as_u16()
    );
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
    assert!(bench.called().is_empty());
}
