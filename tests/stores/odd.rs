//! Servers that are not a store, or only almost: their error messages, which come soon.

use lsnap::store::RequestFault;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lsnap::store::{Held, Repository, StoreError, StoreOptions};

use crate::journey::lsnap;
use crate::proxy::{Deed, Proxy};
use crate::servers::{ACCESS_KEY, SECRET, Server};

const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 43\r\n\r\n<!DOCTYPE html><html><h1>Log in</h1></html>";
const NAMELESS_PAGE: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 43\r\n\r\n<!DOCTYPE html><html><h1>Log in</h1></html>";
const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const NOT_IMPLEMENTED: &str = "HTTP/1.1 501 Not Implemented\r\ncontent-length: 120\r\n\r\n<Error><Code>NotImplemented</Code><Message>not implemented</Message><Header>If-None-Match</Header></Error>              ";
const BAD_NOT_IMPLEMENTED: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 42\r\n\r\n<Error><Code>NotImplemented</Code></Error>";
const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
const SKEWED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 110\r\n\r\n<Error><Code>RequestTimeTooSkewed</Code><ServerTime>2001-01-01T00:00:00Z</ServerTime></Error>                 ";

fn options(server: &Server, endpoint: &str) -> StoreOptions {
    StoreOptions {
        endpoint: Some(endpoint.to_owned()),
        allow_http: true,
        ca_file: None,
        variables: server.options().variables,
        ..StoreOptions::default()
    }
}

fn before(server: &Server) -> (Proxy, Repository) {
    let proxy = Proxy::before(server.port());
    let options = options(server, &format!("http://127.0.0.1:{}", proxy.port));
    let repository = Repository::open_with(&server.url("p"), &options).unwrap();
    (proxy, repository)
}

/// Runs a command that reads the repository; returns its result.
fn run(args: &[&str], endpoint: &str, more: &[&str]) -> (i32, String, Duration) {
    let env = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    let common = ["--from", "s3://lsnap-test/p", "--endpoint", endpoint];
    let args: Vec<&str> = args.iter().chain(&common).chain(more).copied().collect();
    let began = Instant::now();
    let out = lsnap(&env, &args, Stdio::null());
    let said = String::from_utf8(out.stderr).unwrap();
    (out.status.code().unwrap(), said, began.elapsed())
}

#[test]
fn an_html_page_is_not_an_empty_repository() {
    let server = Server::start_plain_s3();
    let (proxy, repository) = before(&server);
    let endpoint = format!("http://127.0.0.1:{}", proxy.port);
    for answer in [PAGE, NAMELESS_PAGE, EMPTY] {
        proxy.always(Some(Deed::Answer(answer)));
        for command in [
            &["list"][..],
            &["verify", "--all"],
            &["prune", "--keep-full", "1"],
        ] {
            let (code, said, _) = run(command, &endpoint, &["--allow-http"]);
            assert_ne!(code, 0, "{command:?}: {said}");
            // without its type, a page could be the requested object
            let told = said.contains("does not come from an object store");
            assert!(told || answer != PAGE, "{command:?}: {said}");
        }
    }
    proxy.always(Some(Deed::Answer(PAGE)));
    let bucket = repository.bucket();
    for error in [
        bucket.get("k", 100).map(drop),
        bucket.length("k").map(drop),
        bucket.put_new("k", vec![Bytes::from_static(b"k")]),
        bucket.delete("k"),
        bucket.children("").map(drop),
    ] {
        let error = error.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Request {
                    kind: RequestFault::NotAStore,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn missing_features_of_a_store_are_reported_with_an_instruction() {
    let server = Server::start_plain_s3();
    let (proxy, repository) = before(&server);
    let put = || {
        proxy.plan(&[]);
        let put = repository
            .bucket()
            .put_new("k", vec![Bytes::from_static(b"k")]);
        (put.unwrap_err(), proxy.seen().len())
    };
    for answer in [NOT_IMPLEMENTED, BAD_NOT_IMPLEMENTED] {
        proxy.always(Some(Deed::AnswerIf("if-none-match", answer)));
        let (error, requests) = put();
        assert!(
            matches!(
                error,
                StoreError::Request {
                    kind: RequestFault::Unsupported,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("conditional puts"), "{error}");
        assert_eq!(requests, 1, "the error is permanent");
    }
    proxy.always(Some(Deed::Answer(TOO_LARGE)));
    let (error, requests) = put();
    assert!(
        matches!(
            error,
            StoreError::Request {
                kind: RequestFault::TooLarge,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("BackupOptions::object_size"),
        "{error}"
    );
    assert_eq!(requests, 1);
    proxy.always(Some(Deed::Answer(SKEWED)));
    let (error, requests) = put();
    assert!(
        matches!(
            error,
            StoreError::Request {
                kind: RequestFault::ClockSkew,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("s ahead of the store's"),
        "{error}"
    );
    assert_eq!(requests, 1);
}

#[test]
fn a_store_that_refuses_the_checksum_can_be_used_without_it() {
    let server = Server::start_plain_s3();
    let (proxy, repository) = before(&server);
    proxy.always(Some(Deed::AnswerIf(
        "x-amz-checksum-sha256",
        BAD_NOT_IMPLEMENTED,
    )));
    let put = |repository: &Repository| {
        repository
            .bucket()
            .put_new("k", vec![Bytes::from_static(b"k")])
    };
    let error = put(&repository).unwrap_err().to_string();
    assert!(error.contains("StoreOptions::checksum_header"), "{error}");
    let options = StoreOptions {
        checksum_header: false,
        ..options(&server, &format!("http://127.0.0.1:{}", proxy.port))
    };
    let without = Repository::open_with(&server.url("p"), &options).unwrap();
    put(&without).unwrap();
    let held = without.bucket().get("k", 10).unwrap();
    assert_eq!(held, Held::Bytes(Bytes::from_static(b"k")));
    assert!(without.bucket().copy_new("k", "l").is_ok());
    without.bucket().delete("k").unwrap();
}

#[test]
fn the_wrong_protocol_is_reported_at_once() {
    let secure = Server::start_self_signed_s3();
    let plain = Server::start_plain_s3();
    let http = format!("http://127.0.0.1:{}", secure.port());
    let (code, said, took) = run(&["list"], &http, &["--allow-http"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the server uses TLS"), "{said}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let https = format!("https://127.0.0.1:{}", plain.port());
    let (code, said, took) = run(&["list"], &https, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the server uses plain HTTP"), "{said}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_self_signed_certificate_can_be_trusted() {
    let server = Server::start_self_signed_s3();
    let ca = server.ca.display().to_string();
    let (code, said, _) = run(&["list"], &server.endpoint, &["--ca-file", &ca]);
    assert_eq!(code, 0, "{said}");
    let (code, said, _) = run(&["list"], &server.endpoint, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("--ca-file"), "{said}");
    // a bucket with the same name is another one
    let other = tempfile::tempdir().unwrap();
    crate::servers::self_signed(other.path());
    let other = other.path().join("cert.pem").display().to_string();
    let (code, said, _) = run(&["list"], &server.endpoint, &["--ca-file", &other]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the connection is not trusted"), "{said}");
    // and it is not valid for another host
    let endpoint = server.endpoint.replace("127.0.0.1", "localhost");
    let (code, said, _) = run(&["list"], &endpoint, &["--ca-file", &ca]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the connection is not trusted"), "{said}");
    let (code, said, _) = run(&["list"], &endpoint, &["--insecure"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("certificate is not checked"), "{said}");
}
