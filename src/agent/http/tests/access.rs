//! Who may send requests.

use super::fake::Fake;
use super::{Guard, Limits, Listen, Shared, exchange, router, settings};
use crate::agent::settings::HttpSettings;
use crate::cancel::Cancel;
use crate::locked::Locked as _;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use tower::ServiceExt as _;

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(r#"{"kind":"check"}"#)).unwrap()
}

#[test]
fn a_page_with_another_host_name_is_refused_on_loopback() {
    let fake = Fake::new();
    let status = |host: &[&str]| {
        let headers: Vec<_> = host.iter().map(|host| ("host", *host)).collect();
        exchange(&fake, request(Method::GET, "/v1/jobs", &headers)).status
    };
    for host in [
        "localhost",
        "LOCALHOST:6460",
        "127.0.0.1:6460",
        "127.9.9.9",
        "[::1]:6460",
    ] {
        assert_eq!(status(&[host]), StatusCode::OK, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1:6460",
        "",
        "127.0.0.1.evil.example",
        "0.0.0.0",
    ] {
        assert_eq!(status(&[host]), StatusCode::FORBIDDEN, "{host}");
    }
    assert_eq!(status(&[]), StatusCode::FORBIDDEN, "no host");
    assert_eq!(
        status(&["localhost", "evil.example"]),
        StatusCode::FORBIDDEN
    );
    let absolute = request(
        Method::GET,
        "http://evil.example/v1/jobs",
        &[("host", "localhost")],
    );
    assert_eq!(exchange(&fake, absolute).status, StatusCode::FORBIDDEN);
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let fake = Fake::new();
    let json = ("content-type", "application/json");
    let host = ("host", "localhost:6460");
    for (headers, expected) in [
        (vec![host, json], 202),
        (vec![host, json, ("sec-fetch-site", "same-origin")], 202),
        (
            vec![
                host,
                json,
                ("content-type", "application/json; charset=utf-8"),
            ],
            202,
        ),
        (
            vec![host, ("content-type", "application/x-www-form-urlencoded")],
            415,
        ),
        (vec![host, ("content-type", "text/plain")], 415),
        (
            vec![host, ("content-type", "multipart/form-data; boundary=x")],
            415,
        ),
        (vec![host], 415),
        (vec![host, json, ("origin", "https://evil.example")], 403),
        (vec![host, json, ("origin", "null")], 403),
        (vec![host, json, ("sec-fetch-site", "cross-site")], 403),
        (vec![host, json, ("sec-fetch-site", "same-site")], 403),
    ] {
        let before = fake.started.locked().len();
        let answer = exchange(&fake, request(Method::POST, "/v1/jobs", &headers));
        assert_eq!(
            answer.status.as_u16(),
            expected,
            "{headers:?}: {}",
            answer.text()
        );
        let started = fake.started.locked().len() - before;
        assert_eq!(started, usize::from(expected == 202), "{headers:?}");
    }
    // No answer allows another site to read it.
    let origin = [host, ("origin", "https://evil.example")];
    let answer = exchange(&fake, request(Method::GET, "/v1/jobs", &origin));
    assert!(
        !answer
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control"))
    );
    let preflight = exchange(&fake, request(Method::OPTIONS, "/v1/jobs", &origin));
    assert_eq!(preflight.status, StatusCode::METHOD_NOT_ALLOWED);
}

/// Returns the status and the text of a request to a server with a token.
fn with_token(path: &str, authorization: Option<&str>) -> (StatusCode, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "correct-horse-battery").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let settings = HttpSettings {
        token_file: Some(file),
        ..settings("/run/x.sock")
    };
    let listen = Listen::parse(&settings.listen).unwrap();
    let guard = Arc::new(Guard::of(&settings, &listen).unwrap());
    let shared = Shared::new(Fake::new(), Cancel::new(), Limits::default());
    let mut request = Request::get(path);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let request = request.body(Body::empty()).unwrap();
        let response = router(shared, guard).oneshot(request).await.unwrap();
        if response.status() == StatusCode::UNAUTHORIZED {
            assert!(response.headers().contains_key("www-authenticate"));
        }
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
        (status, String::from_utf8(body.unwrap().to_vec()).unwrap())
    })
}

#[test]
fn a_token_is_needed_for_all_but_the_probes() {
    let right = Some("Bearer correct-horse-battery");
    for path in [
        "/",
        "/v1/jobs",
        "/v1/config",
        "/v1/openapi.json",
        "/metrics",
        "/v1/events/x",
        "/none",
    ] {
        for wrong in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer correct-horse-batterx"),
            Some("Basic correct-horse-battery"),
            Some("correct-horse-battery"),
        ] {
            assert_eq!(
                with_token(path, wrong).0,
                StatusCode::UNAUTHORIZED,
                "{path} {wrong:?}"
            );
        }
        assert_ne!(with_token(path, right).0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        with_token("/v1/jobs", Some("bearer correct-horse-battery")).0,
        StatusCode::OK
    );
    for probe in ["/healthz", "/readyz"] {
        let (status, text) = with_token(probe, None);
        assert_eq!(status, StatusCode::OK);
        assert!(!text.contains("reason"), "no details: {text}");
        assert!(with_token(probe, right).1.contains("reason"));
    }
    let (_, text) = with_token("/v1/jobs", Some("Bearer correct-horse-batterx"));
    assert!(!text.contains("horse"), "{text}");
}

#[test]
fn every_answer_has_the_security_headers() {
    let fake = Fake::new();
    for path in [
        "/",
        "/v1/jobs",
        "/metrics",
        "/none",
        "/healthz",
        "/static/style.css",
    ] {
        let answer = super::get(&fake, path);
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        assert!(policy.contains("frame-ancestors 'none'"));
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

#[test]
fn a_panic_is_an_error_in_the_one_shape() {
    let fake = Fake::new();
    fake.status.locked().name = "panic".to_owned();
    let answer = super::get(&fake, "/v1/backups");
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.error(), "internal");
    assert!(answer.headers.contains_key("content-security-policy"));
}

#[test]
fn beyond_loopback_tls_and_credentials_are_required() {
    let check = |listen: &str, change: &dyn Fn(&mut HttpSettings)| {
        let mut settings = settings(listen);
        change(&mut settings);
        Listen::parse(listen).and_then(|parsed| parsed.check(&settings))
    };
    let tls = |s: &mut HttpSettings| s.tls = Some(("cert".into(), "key".into()));
    let token = |s: &mut HttpSettings| s.token_file = Some("token".into());
    let ca = |s: &mut HttpSettings| s.client_ca = Some("ca".into());
    for local in [
        "127.0.0.1:6460",
        "localhost:6460",
        "[::1]:0",
        "/run/lsnap/agent.sock",
        "unix:/x",
        "[::ffff:127.0.0.1]:1",
    ] {
        assert!(check(local, &|_| {}).is_ok(), "{local}");
    }
    for open in [
        "0.0.0.0:6460",
        "[::]:6460",
        "192.0.2.1:6460",
        "[::ffff:192.0.2.1]:1",
    ] {
        assert!(
            check(open, &|_| {})
                .unwrap_err()
                .to_string()
                .contains("tls-cert")
        );
        assert!(
            check(open, &token).is_err(),
            "a token without TLS can be read"
        );
        assert!(
            check(open, &tls)
                .unwrap_err()
                .to_string()
                .contains("token-file")
        );
        assert!(
            check(open, &|s| {
                tls(s);
                token(s)
            })
            .is_ok()
        );
        assert!(
            check(open, &|s| {
                tls(s);
                ca(s)
            })
            .is_ok()
        );
    }
    assert!(
        check("127.0.0.1:1", &ca).is_err(),
        "certificates without TLS"
    );
    assert!(check("/run/x", &tls).is_err());
    for bad in [
        "",
        "6460",
        "example.org:6460",
        "localhost",
        "localhost:x",
        "relative/path",
        "127.0.0.1",
    ] {
        assert!(Listen::parse(bad).is_err(), "{bad}");
    }
}
