//! Faults of stores, and their messages.

use lsnap::store::RequestFault;
use std::process::Stdio;

use lsnap::store::{Repository, StoreError};

use crate::journey::lsnap;
use crate::servers::{Kind, SECRET, Server};

const KINDS: [Kind; 3] = [Kind::S3, Kind::Gcs, Kind::Azure];

/// Runs `lsnap list` and returns its exit code and message.
fn list(env: &[(&str, String)], args: &[&str], url: &str) -> (i32, String) {
    let mut all = vec!["list", "--from", url, "--max-retries", "0"];
    all.extend(args);
    let out = lsnap(env, &all, Stdio::null());
    let said = String::from_utf8(out.stderr).unwrap();
    (out.status.code().unwrap(), said)
}

#[test]
fn a_server_of_an_unknown_authority_is_not_trusted() {
    for kind in KINDS {
        let server = Server::start(kind);
        let url = server.url("p");
        let (code, said) = list(&server.env(), &["--endpoint", &server.endpoint], &url);
        assert_eq!(code, 1, "{kind:?}: {said}");
        assert!(said.contains("--ca-file"), "{kind:?}: {said}");
        let args = server.args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (code, said) = list(&server.env(), &args, &url);
        assert_eq!(code, 0, "{kind:?}: {said}");
    }
}

#[test]
fn another_bucket_is_not_an_empty_one() {
    for kind in KINDS {
        let server = Server::start(kind);
        let url = server.url("p").replace("lsnap-test", "lsnap-none");
        let args = server.args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (code, said) = list(&server.env(), &args, &url);
        assert_eq!(code, 10, "{kind:?}: {said}");
        assert!(
            said.contains("no such bucket or container"),
            "{kind:?}: {said}"
        );
        // a request for one object must not report "not found" or "removed" either
        let bucket = Repository::open_with(&url, &server.options())
            .unwrap()
            .bucket();
        let told = [
            bucket.get("k", 1).err(),
            bucket.get_range("k", 0..1).err(),
            bucket.put_new("k", vec![]).err(),
            bucket.copy_new("k", "l").err(),
            bucket.children("").err(),
            bucket.delete("k").err(),
        ];
        for (n, error) in told.iter().enumerate() {
            let right = matches!(
                error,
                Some(StoreError::Request {
                    kind: RequestFault::NoBucket,
                    ..
                })
            );
            assert!(right, "{kind:?} {n}: {error:?}");
        }
    }
}

#[test]
fn wrong_credentials_are_reported_as_such() {
    // moto accepts any signature
    for (kind, variable) in [
        (Kind::Azure, "AZURE_STORAGE_KEY"),
        (Kind::Gcs, "GOOGLE_BEARER_TOKEN"),
    ] {
        let server = Server::start(kind);
        let args = server.args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut env = server.env();
        let (code, said) = match kind {
            Kind::Gcs => {
                env.retain(|(name, _)| *name != variable);
                env.push(("GOOGLE_SKIP_SIGNATURE", "true".to_owned()));
                list(&env, &args, &server.url("p"))
            }
            _ => {
                env.retain(|(name, _)| *name != variable);
                env.push((variable, "d3Jvbmc=".to_owned()));
                list(&env, &args, &server.url("p"))
            }
        };
        assert_eq!(code, 12, "{kind:?}: {said}");
        assert!(said.contains("access denied"), "{kind:?}: {said}");
    }
}

#[test]
fn missing_credentials_list_the_searched_sources() {
    let (code, said) = list(&[], &[], "s3://lsnap-test/p");
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("AWS_PROFILE"), "{said}");
    let (code, said) = list(&[], &[], "az://lsnap-test/p");
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("AZURE_STORAGE_ACCOUNT"), "{said}");
}

#[test]
fn wrong_variables_are_named_but_not_shown() {
    let account = ("AZURE_STORAGE_ACCOUNT", "a".to_owned());
    let key = ("AZURE_STORAGE_KEY", format!("%{SECRET}"));
    let (code, said) = list(&[account, key], &[], "az://lsnap-test/p");
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("AZURE_STORAGE_KEY"), "{said}");
    let file = (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "/nowhere/key.json".to_owned(),
    );
    let other = ("AWS_ACCESS_KEY_ID", "k".to_owned());
    let (code, said) = list(&[file, other], &[], "gs://lsnap-test/p");
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{said}");
    assert!(!said.contains("AWS_"), "another cloud's: {said}");
    let text = format!("AccountName=a;{SECRET}");
    let (code, said) = list(
        &[("AZURE_STORAGE_CONNECTION_STRING", text)],
        &[],
        "az://lsnap-test/p",
    );
    assert_eq!(code, 2, "{said}");
}

#[test]
fn invalid_settings_are_refused() {
    let env = [
        ("AWS_ACCESS_KEY_ID", "k".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    let inside = format!("https://u:{SECRET}@h");
    let url_inside = format!("s3://k:{SECRET}@lsnap-test/p");
    for (args, url, says) in [
        (
            &["--endpoint", "http://127.0.0.1:1"][..],
            "s3://lsnap-test/p",
            "--allow-http",
        ),
        (
            &["--endpoint", "127.0.0.1:1"],
            "s3://lsnap-test/p",
            "--endpoint",
        ),
        (&["--endpoint", &inside], "s3://lsnap-test/p", "credentials"),
        (&[], &url_inside, "credentials must not be in a URL"),
        (
            &["--aws-profile", "none"],
            "s3://lsnap-test/p",
            "profile `none`",
        ),
        (&["--region", "x"], "gs://lsnap-test/p", "only s3://"),
        (&["--no-checksum-header"], "az://lsnap-test/p", "only s3://"),
        (
            &["--ca-file", "/dev/null"],
            "s3://lsnap-test/p",
            "no certificate",
        ),
        (&[], "s3://x", "3 or more"),
    ] {
        let (code, said) = list(&env, args, url);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn an_unreachable_server_is_reported_after_the_retries() {
    let env = [
        ("AWS_ACCESS_KEY_ID", "k".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    // port 1 refuses connections
    let (code, said) = list(
        &env,
        &["--endpoint", "https://127.0.0.1:1"],
        "s3://lsnap-test/p",
    );
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("can't be reached"), "{said}");
    assert!(said.contains("https://127.0.0.1:1/lsnap-test"), "{said}");
}

#[test]
fn a_profile_s_keys_region_and_endpoint_are_used() {
    if crate::servers::lacks_moto("the profile has another region than the server") {
        return;
    }
    let server = Server::start(Kind::S3);
    let dir = tempfile::tempdir().unwrap();
    let (credentials, config) = (dir.path().join("credentials"), dir.path().join("config"));
    std::fs::write(
        &credentials,
        format!("[ops]\naws_access_key_id = AKID\naws_secret_access_key = {SECRET}\n"),
    )
    .unwrap();
    std::fs::write(
        &config,
        format!(
            "[profile ops]\nregion = eu-west-1\nendpoint_url = {}\n",
            server.endpoint
        ),
    )
    .unwrap();
    let ca = server.ca.display().to_string();
    let mut env = vec![
        (
            "AWS_SHARED_CREDENTIALS_FILE",
            credentials.display().to_string(),
        ),
        ("AWS_CONFIG_FILE", config.display().to_string()),
    ];
    let url = server.url("p");
    let (code, said) = list(&env, &["--ca-file", &ca, "--aws-profile", "ops"], &url);
    assert_eq!(code, 0, "{said}");
    env.push(("AWS_PROFILE", "ops".to_owned()));
    let (code, said) = list(&env, &["--ca-file", &ca], &url);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_connection_string_is_used() {
    let server = Server::start(Kind::Azure);
    let text = format!(
        "AccountName=lsnaptests;AccountKey={SECRET};BlobEndpoint={}",
        server.endpoint
    );
    let env = [("AZURE_STORAGE_CONNECTION_STRING", text)];
    let ca = server.ca.display().to_string();
    let (code, said) = list(&env, &["--ca-file", &ca], &server.url("p"));
    assert_eq!(code, 0, "{said}");
}
