//! The headers of real requests, at an HTTP server that records them.

use super::*;
use crate::error_kind::ErrorKind;
use crate::store::backend::put_options::{Headers, ObjectLockMode, Sse};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request: its first line, and its headers in lower case.
type Seen = (String, BTreeMap<String, String>);

struct Double {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

fn answer(line: &str) -> (&'static str, String, String) {
    let (method, rest) = line.split_once(' ').unwrap();
    let body = |xml: &str| {
        (
            "200 OK",
            "x-amz-request-id: 1\r\n".to_owned(),
            format!("{XML}{xml}"),
        )
    };
    match method {
        "POST" if rest.contains("uploads") => body(
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        ),
        "POST" if rest.contains("uploadId") => {
            body("<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
        }
        "POST" if rest.contains("delete") => body(
            "<DeleteResult><Deleted><Key>p/n/a</Key><DeleteMarker>true</DeleteMarker></Deleted></DeleteResult>",
        ),
        "PUT" if rest.contains("partNumber") => {
            body("<CopyPartResult><ETag>\"e\"</ETag></CopyPartResult>")
        }
        "GET" if rest.contains("list-type") => {
            body("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        }
        "GET" if rest.contains("archived") => (
            "403 Forbidden",
            String::new(),
            format!("{XML}<Error><Code>InvalidObjectState</Code><Message>no</Message></Error>"),
        ),
        _ => (
            "200 OK",
            "ETag: \"e\"\r\nLast-Modified: Mon, 30 Nov 2026 00:00:00 GMT\r\n".to_owned(),
            if method == "GET" {
                "abc".to_owned()
            } else {
                String::new()
            },
        ),
    }
}

fn serve(client: TcpStream, seen: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut client = client;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                break;
            };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers
            .get("content-length")
            .map_or(0, |n| n.parse().unwrap());
        reader
            .by_ref()
            .take(length)
            .read_to_end(&mut Vec::new())
            .ok()?;
        let (status, more, body) = answer(&line);
        seen.lock()
            .unwrap()
            .push((line.trim_end().to_owned(), headers));
        let length = if line.starts_with("HEAD") {
            3
        } else {
            body.len()
        };
        let head = format!("HTTP/1.1 {status}\r\n{more}content-length: {length}\r\n\r\n");
        client.write_all((head + &body).as_bytes()).ok()?;
    }
}

impl Double {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let double = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&double.seen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(client, &seen));
            }
        });
        double
    }

    fn open(&self, options: StoreOptions) -> Repository {
        let keys = [
            ("AWS_ACCESS_KEY_ID", "A"),
            ("AWS_SECRET_ACCESS_KEY", "s3cret"),
        ];
        let options = StoreOptions {
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            allow_http: true,
            max_retries: 0,
            variables: Some(
                keys.map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into_iter()
                    .collect(),
            ),
            ..options
        };
        Repository::open_with("s3://bucket/p", &options).unwrap()
    }

    /// Returns the headers of the requests whose first line contains all parts.
    fn of(&self, parts: &[&str]) -> Vec<BTreeMap<String, String>> {
        let seen = self.seen.lock().unwrap();
        let fits = |line: &str| parts.iter().all(|part| line.contains(part));
        let found: Vec<_> = seen
            .iter()
            .filter(|(line, _)| fits(line))
            .map(|(_, headers)| headers.clone())
            .collect();
        assert!(!found.is_empty(), "{parts:?} of {seen:?}");
        found
    }
}

fn options() -> StoreOptions {
    let headers = [
        ("X-Team", "dba"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-server-side-encryption-customer-key-MD5", "m"),
    ];
    StoreOptions {
        storage_class: Some("GLACIER_IR".to_owned()),
        sse: Some(Sse::Kms),
        sse_kms_key_id: Some("key-1".to_owned()),
        sse_bucket_key: true,
        object_lock_mode: Some(ObjectLockMode::Compliance),
        object_lock_retain: Some(Duration::from_secs(86_400)),
        object_lock_legal_hold: true,
        requester_pays: true,
        headers: headers
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter()
            .collect(),
        ..StoreOptions::default()
    }
}

/// Headers of every created object of a backup.
const OF_BACKUPS: [&str; 7] = [
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-tagging",
];
const CLASS: &str = "x-amz-storage-class";
const CUSTOMER: &str = "x-amz-server-side-encryption-customer-key-md5";

fn has(headers: &BTreeMap<String, String>, names: &[&str], expected: bool) {
    let (_, signed) = headers["authorization"]
        .split_once("SignedHeaders=")
        .unwrap();
    let signed: Vec<&str> = signed.split(',').next().unwrap().split(';').collect();
    for name in names {
        assert_eq!(headers.contains_key(*name), expected, "{name}: {headers:?}");
        assert_eq!(
            signed.contains(name),
            expected,
            "{name} must be signed: {signed:?}"
        );
    }
}

#[test]
fn each_request_has_its_headers_and_signs_them() {
    let double = Double::start();
    let repository = double.open(options());
    let bucket = repository.bucket();
    let n = "00000000000000000000";
    let put = |key: &str| {
        bucket
            .put_new(key, vec![Bytes::from_static(b"abc")])
            .unwrap()
    };
    put(&format!("n/db/t.ibd.{n}"));
    put(&format!("n/lsnap_manifest.json.{n}"));
    put("n.incr/.lsnap/lease.1");
    bucket
        .copy_new(&format!("n/db/t.ibd.{n}"), &format!("m/db/t.ibd.{n}"))
        .unwrap();
    bucket.get("n/a", 10).unwrap();
    bucket.length("n/b").unwrap();
    bucket.children("").unwrap();
    assert_eq!(repository.kept_versions(), 0);
    bucket.delete("n/a").unwrap();
    assert_eq!(repository.kept_versions(), 1);

    for created in [&["PUT ", "n/db/t.ibd"][..], &["POST ", "uploads"]] {
        for headers in double.of(created) {
            has(&headers, &OF_BACKUPS, true);
            has(
                &headers,
                &[CLASS, CUSTOMER, "x-amz-request-payer", "x-team"],
                true,
            );
            assert_eq!(headers[CLASS], "GLACIER_IR");
            assert_eq!(headers[OF_BACKUPS[0]], "aws:kms");
            let until = &headers["x-amz-object-lock-retain-until-date"];
            let until: DateTime<Utc> = until.parse().unwrap();
            assert!(until - Utc::now() > chrono::TimeDelta::hours(23));
        }
    }
    // a listing reads the documents, so they are not archived
    for headers in double.of(&["PUT ", "lsnap_manifest.json"]) {
        has(&headers, &OF_BACKUPS, true);
        has(&headers, &[CLASS], false);
    }
    // a lease is removed again
    for headers in double.of(&["PUT ", ".lsnap/lease.1"]) {
        has(&headers, &OF_BACKUPS[..3], true);
        has(&headers, &OF_BACKUPS[3..6], false);
        has(&headers, &[CLASS], false);
    }
    let data = [
        (&["GET ", "n/a"][..], true),
        (&["HEAD ", "n/b"], true),
        (&["PUT ", "partNumber"], true),
        (&["GET ", "list-type"], false),
        (&["POST ", "delete"], false),
    ];
    for (request, customer) in data {
        for headers in double.of(request) {
            has(&headers, &OF_BACKUPS, false);
            has(&headers, &[CLASS], false);
            has(&headers, &["x-amz-request-payer", "x-team"], true);
            has(&headers, &[CUSTOMER], customer);
        }
    }
}

#[test]
fn without_options_nothing_is_added() {
    let double = Double::start();
    let repository = double.open(StoreOptions::default());
    repository
        .bucket()
        .put_new("n/a", vec![Bytes::from_static(b"abc")])
        .unwrap();
    for headers in double.of(&["PUT "]) {
        has(&headers, &OF_BACKUPS, false);
        has(&headers, &[CLASS, CUSTOMER, "x-amz-request-payer"], false);
    }
}

#[test]
fn an_archived_object_is_reported_as_such() {
    let double = Double::start();
    let repository = double.open(StoreOptions::default());
    let error = repository.bucket().get("n/archived", 10).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("restore the objects"), "{error}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let refused = |url: &str, change: &dyn Fn(&mut StoreOptions)| {
        let mut options = StoreOptions::default();
        change(&mut options);
        let keys = [
            ("AWS_ACCESS_KEY_ID", "A"),
            ("AWS_SECRET_ACCESS_KEY", "s3cret"),
        ];
        let keys = keys
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter()
            .collect();
        options.variables = Some(keys);
        let error = Repository::open_with(url, &options)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("StoreOptions::") && !error.contains("s3cret"),
            "{error}"
        );
    };
    let header = |name: &str, value: &str| -> Headers {
        [(name.to_owned(), value.to_owned())].into_iter().collect()
    };
    let s3 = "s3://bucket";
    refused(s3, &|o| o.sse_kms_key_id = Some("k".to_owned()));
    refused(s3, &|o| {
        (o.sse, o.sse_bucket_key) = (Some(Sse::Aes256), true)
    });
    refused(s3, &|o| {
        o.object_lock_mode = Some(ObjectLockMode::Governance)
    });
    refused(s3, &|o| o.object_lock_retain = Some(Duration::from_secs(5)));
    refused(s3, &|o| {
        (o.object_lock_legal_hold, o.checksum_header) = (true, false)
    });
    refused(s3, &|o| o.storage_class = Some("a b".to_owned()));
    refused(s3, &|o| o.headers = header("Authorization", "s3cret"));
    refused(s3, &|o| o.headers = header("a b", "s3cret"));
    refused(s3, &|o| o.headers = header("x", "s3cret\n"));
    refused("gs://bucket", &|o| o.sse = Some(Sse::Aes256));
    refused("az://bucket", &|o| {
        o.storage_class = Some("COOL".to_owned())
    });
}
