use super::*;
use crate::cli::exit_code::ExitCode;
use crate::cli::json::FailureKind;
use std::io::Read as _;
use std::net::TcpListener;
use std::time::Instant;

fn document(event: Event) -> Document {
    Document {
        lsnap: "1.2.3",
        event,
        text: "lsnap backup failed".to_owned(),
        command: "backup",
        host: "h".to_owned(),
        cluster: Some("shop".to_owned()),
        repository: None,
        backup: None,
        started_at: "2026-11-30T02:30:00Z".to_owned(),
        finished_at: None,
        duration_seconds: None,
        exit_code: Some(13),
        error: Some(ErrorDocument {
            kind: FailureKind::NotVerified,
            message: format!("{}\0", "ü".repeat(4000)),
            hint: None,
            exit_code: ExitCode::Damaged,
        }),
        report: None,
    }
}

fn hooks(text: &str, timeout: u64) -> HookArgs {
    HookArgs {
        hook_failure: vec![text.to_owned()],
        hook_timeout: Duration::from_millis(timeout),
        ..HookArgs::default()
    }
}

/// Calls the hook; returns the error.
fn call(text: &str, timeout: u64) -> Result<(), String> {
    let hook = Hook::new(text)?;
    hooks(text, timeout).call_one(&hook, &document(Event::Failure))
}

#[test]
fn a_command_gets_the_variables_and_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let (copy, env) = (dir.path().join("copy"), dir.path().join("env"));
    let text = format!(
        "stat -c %a \"$LSNAP_HOOK_REPORT\" && cp \"$LSNAP_HOOK_REPORT\" {} && env > {}",
        copy.display(),
        env.display()
    );
    call(&text, 10_000).unwrap();
    let copied: serde_json::Value = serde_json::from_slice(&std::fs::read(copy).unwrap()).unwrap();
    assert_eq!(
        (&copied["event"], &copied["exit_code"]),
        (&"failure".into(), &13.into())
    );
    let env = std::fs::read_to_string(env).unwrap();
    for line in [
        "LSNAP_HOOK_EVENT=failure",
        "LSNAP_HOOK_CLUSTER=shop",
        "LSNAP_HOOK_EXIT_CODE=13",
    ] {
        assert!(env.lines().any(|found| found == line), "{line}: {env}");
    }
    assert!(
        !env.contains("LSNAP_HOOK_BACKUP") && !env.contains("CARGO"),
        "{env}"
    );
}

#[test]
fn a_failed_command_is_reported_without_its_text() {
    assert_eq!(
        call("exit 3", 10_000).unwrap_err(),
        "its exit code was 3, expected 0"
    );
    assert!(call("kill -9 $$", 10_000).unwrap_err().contains("signal 9"));
}

#[test]
fn a_hook_that_hangs_is_ended_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    // the shell ignores SIGTERM, its child does too
    let text = format!(
        "trap '' TERM; sleep 600 & echo $! > {}; wait; sleep 600",
        pid.display()
    );
    let begun = Instant::now();
    let error = call(&text, 300).unwrap_err();
    assert!(error.contains("longer than 0.3 s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let pid = std::fs::read_to_string(pid).unwrap();
    // Ended, or not yet reaped by init. The kernel ends it some time after the signal.
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        if state.as_deref().map_or(true, |s| s.contains(") Z ")) {
            break;
        }
        assert!(Instant::now() < until, "{state:?}");
        std::thread::yield_now();
    }
}

/// A server that answers each connection with the next status.
fn server(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret-token", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.ends_with(b"}") {
                let n = stream.read(&mut buffer).unwrap();
                assert_ne!(n, 0);
                request.extend_from_slice(&buffer[..n]);
            }
            requests.push(String::from_utf8(request).unwrap());
            let answer =
                format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
        requests
    });
    (url, thread)
}

#[test]
fn a_url_is_sent_the_document() {
    let (url, thread) = server(&["503 Busy", "204 No Content"]);
    call(&url, 20_000).unwrap();
    let requests = thread.join().unwrap();
    assert_eq!(requests.len(), 2, "a temporary failure is retried");
    let (head, body) = requests[1].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /secret-token HTTP/1.1"), "{head}");
    assert!(head.contains("application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["command"], "backup");
}

#[test]
fn no_error_has_the_url() {
    let (url, thread) = server(&["404 Not Found"]);
    let error = call(&url, 20_000).unwrap_err();
    assert!(
        error.contains("404") && !error.contains("secret"),
        "{error}"
    );
    thread.join().unwrap();
    let (url, thread) = server(&["301 Moved\r\nLocation: /elsewhere"]);
    assert!(call(&url, 20_000).unwrap_err().contains("301"));
    thread.join().unwrap();
    // the port of a closed listener, and a server that doesn't answer
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret", listener.local_addr().unwrap());
    let error = call(&url, 300).unwrap_err();
    assert!(
        error.contains("no answer within") && !error.contains("secret"),
        "{error}"
    );
    drop(listener);
    let error = call(&url, 10_000).unwrap_err();
    assert!(
        error.contains("refused") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn a_url_can_be_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("url");
    let (url, thread) = server(&["200 OK"]);
    std::fs::write(&path, format!("{url}\n")).unwrap();
    let text = format!("@{}", path.display());
    call(&text, 10_000).unwrap();
    thread.join().unwrap();
    std::fs::write(&path, "secret").unwrap();
    for (text, words) in [
        (text.as_str(), "has no URL"),
        ("@/nonexistent", "can't be read"),
        (" ", "empty"),
        ("https://[secret/", "not valid"),
    ] {
        let error = Hook::new(text).err().unwrap();
        assert!(
            error.contains(words) && !error.contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn hooks_are_not_shown() {
    let line = "lsnap backup --hook-start https://a/b --hook-success=x --hook-timeout 3s --repo r";
    let words = line.split(' ').map(str::to_owned);
    assert_eq!(
        without_hooks(words),
        "lsnap backup --hook-start ... --hook-success=... --hook-timeout 3s --repo r"
    );
    assert_eq!(without_path("https://u:p@h:1/secret?x"), "https://h:1/...");
    assert_eq!(without_path("echo a://b"), "echo a://b");
}
