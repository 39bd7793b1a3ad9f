//! Requests that fail on the network, by plan (`proxy.rs`), before moto.

use lsnap::store::RequestFault;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lsnap::store::{Bucket, Held, StoreError, StoreOptions};

use crate::proxy::{CONFLICT, Deed, EXPIRED, Proxy, SLOW_DOWN, TOO_MANY};
use crate::servers::Server;

fn bucket(server: &Server, proxy: &Proxy, options: StoreOptions) -> Bucket {
    let options = StoreOptions {
        endpoint: Some(format!("http://127.0.0.1:{}", proxy.port)),
        allow_http: true,
        ca_file: None,
        variables: server.options().variables,
        ..options
    };
    let url = server.url("p");
    lsnap::store::Repository::open_with(&url, &options)
        .unwrap()
        .bucket()
}

fn patient() -> StoreOptions {
    StoreOptions {
        max_retries: 4,
        max_backoff: Duration::from_millis(200),
        ..StoreOptions::default()
    }
}

fn put(bucket: &Bucket, key: &str) -> Result<(), StoreError> {
    bucket.put_new(key, vec![Bytes::from(key.to_owned())])
}

#[test]
fn a_put_is_executed_once_even_if_its_answer_is_lost() {
    let server = Server::start_plain_s3();
    let proxy = Proxy::before(server.port());
    let bucket = bucket(&server, &proxy, patient());
    for (n, (deeds, requests)) in [
        (&[Deed::LoseAnswer][..], &["PUT", "PUT", "HEAD"][..]),
        (
            &[Deed::LoseAnswer, Deed::LoseAnswer],
            &["PUT", "PUT", "PUT", "HEAD"],
        ),
        (&[Deed::ReplaceAnswer(SLOW_DOWN)], &["PUT", "PUT", "HEAD"]),
        (
            &[Deed::Answer(SLOW_DOWN), Deed::Answer(TOO_MANY)],
            &["PUT", "PUT", "PUT"],
        ),
        (&[Deed::Drop, Deed::Drop], &["PUT", "PUT", "PUT"]),
        (&[Deed::Answer(CONFLICT)], &["PUT", "HEAD", "PUT"]),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("lost/{n}");
        proxy.plan(deeds);
        put(&bucket, &key).unwrap_or_else(|e| panic!("{deeds:?}: {e}"));
        assert_eq!(proxy.seen(), requests, "{deeds:?}");
        assert_eq!(
            bucket.get(&key, 100).unwrap(),
            Held::Bytes(key.clone().into())
        );
        // another process's object, even with the same bytes, is not taken for ours after a lost
        // answer either
        proxy.plan(deeds);
        let error = put(&bucket, &key).unwrap_err();
        assert!(
            matches!(error, StoreError::ObjectExists { .. }),
            "{deeds:?}: {error}"
        );
    }
}

/// The Authorization header of each request shows which key signs.
#[test]
fn credentials_are_taken_in_the_order_of_the_aws_tools() {
    if crate::servers::lacks_moto("the test signs with keys that the server doesn't have") {
        return;
    }
    let server = Server::start_plain_s3();
    let proxy = Proxy::before(server.port());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("credentials");
    let text = "[default]\naws_access_key_id=DEFAULT\naws_secret_access_key=x\n\
                [ops]\naws_access_key_id=OPS\naws_secret_access_key=y\naws_session_token=OPSTOKEN\n";
    std::fs::write(&file, text).unwrap();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "ENV"),
        ("AWS_SECRET_ACCESS_KEY", "z"),
        ("AWS_SESSION_TOKEN", "ENVTOKEN"),
    ];
    let ops = [("AWS_PROFILE", "ops")];
    for (env, profile, signs, token) in [
        (&[][..], None, "DEFAULT", None),
        (&ops, None, "OPS", Some("OPSTOKEN")),
        (&keys, None, "ENV", Some("ENVTOKEN")),
        (
            &[keys[0], keys[1], keys[2], ops[0]],
            None,
            "ENV",
            Some("ENVTOKEN"),
        ),
        (&keys, Some("ops"), "OPS", Some("OPSTOKEN")),
        (&keys, Some("default"), "DEFAULT", None),
    ] {
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
            ("AWS_CONFIG_FILE", "/dev/null"),
        ];
        let variables = env
            .iter()
            .chain(&files)
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let options = StoreOptions {
            endpoint: Some(format!("http://127.0.0.1:{}", proxy.port)),
            allow_http: true,
            profile: profile.map(str::to_owned),
            variables: Some(variables.collect()),
            ..patient()
        };
        let bucket = lsnap::store::Repository::open_with(&server.url("p"), &options)
            .unwrap()
            .bucket();
        proxy.plan(&[]);
        bucket.length("k").unwrap();
        let head = proxy.heads().join("");
        assert!(
            head.contains(&format!("Credential={signs}/")),
            "{env:?} {profile:?}: {head}"
        );
        let sent = head
            .lines()
            .find_map(|l| l.strip_prefix("x-amz-security-token: "));
        assert_eq!(sent.map(str::trim), token, "{env:?} {profile:?}");
    }
}

#[test]
fn an_interrupted_read_is_never_short() {
    let server = Server::start_plain_s3();
    let proxy = Proxy::before(server.port());
    let bucket = bucket(&server, &proxy, patient());
    let sent = Bytes::from(vec![7; 3 << 20]);
    bucket.put_new("k", vec![sent.clone()]).unwrap();
    for deed in [
        Deed::Half,
        Deed::Drop,
        Deed::LoseAnswer,
        Deed::Answer(SLOW_DOWN),
    ] {
        proxy.plan(&[deed.clone(), deed.clone()]);
        match bucket.get("k", u64::MAX) {
            Ok(held) => assert!(held == Held::Bytes(sent.clone()), "{deed:?}"),
            Err(error) => panic!("{deed:?}: {error}"),
        }
    }
}

#[test]
fn retries_end_and_the_error_contains_the_reason() {
    let server = Server::start_plain_s3();
    let proxy = Proxy::before(server.port());
    let bucket = bucket(
        &server,
        &proxy,
        StoreOptions {
            timeout: Duration::from_secs(1),
            max_retries: 1,
            max_backoff: Duration::from_millis(10),
            ..StoreOptions::default()
        },
    );
    let always = |deed: Deed| vec![deed; 20];
    proxy.plan(&always(Deed::Answer(SLOW_DOWN)));
    let error = put(&bucket, "k").unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Request {
                kind: RequestFault::Busy,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(proxy.seen().len(), 2);
    proxy.plan(&always(Deed::Answer(EXPIRED)));
    let error = put(&bucket, "k").unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Request {
                kind: RequestFault::Expired,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(proxy.seen().len(), 1, "a permanent failure is not retried");
    proxy.plan(&always(Deed::Hang));
    let began = Instant::now();
    let error = put(&bucket, "k").unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Request {
                kind: RequestFault::TimedOut,
                ..
            }
        ),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(10));
    proxy.plan(&always(Deed::Drop));
    let error = put(&bucket, "k").unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Request {
                kind: RequestFault::Unreachable,
                ..
            }
        ),
        "{error}"
    );
    proxy.plan(&[]);
    put(&bucket, "k").unwrap();
}
