//! The command line with each store: a stream is stored, and retrieved unchanged.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::program::PROGRAM;
use crate::servers::{Kind, SECRET, Server};

/// Runs `lsnap` with only the given environment, and checks that no secret is printed.
pub fn lsnap(env: &[(&str, String)], args: &[&str], stdin: Stdio) -> Output {
    let home = tempfile::tempdir().unwrap();
    let out = Command::new(PROGRAM)
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("LSNAP_LOG", "trace")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(env.iter().map(|(k, v)| (*k, v)))
        .stdin(stdin)
        .output()
        .unwrap();
    for text in [&out.stdout, &out.stderr] {
        let found = text.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
        assert!(
            !found,
            "{args:?} prints the secret: {}",
            String::from_utf8_lossy(text)
        );
    }
    out
}

fn ok(out: Output) -> Vec<u8> {
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

/// Runs `lsnap` on a store.
fn on(server: &Server, args: &[&str], stdin: Stdio) -> Output {
    let store = server.args();
    let args: Vec<&str> = args
        .iter()
        .copied()
        .chain(store.iter().map(String::as_str))
        .collect();
    lsnap(&server.env(), &args, stdin)
}

fn stream(dir: &Path) -> std::path::PathBuf {
    fs::create_dir_all(dir.join("in/db")).unwrap();
    let page: Vec<u8> = (0..3_000_000u32).map(|n| (n % 253) as u8).collect();
    for (name, bytes) in [
        ("db/t#p#p0.ibd", &page[..]),
        ("ibdata1", &page[..100_000]),
        ("xtrabackup_checkpoints", b"backup_type = full-backuped\n"),
        ("xtrabackup_tablespaces", b"{}"),
    ] {
        fs::write(dir.join("in").join(name), bytes).unwrap();
    }
    let made = Command::new(PROGRAM)
        .args([
            "xbstream",
            "-c",
            "db/t#p#p0.ibd",
            "ibdata1",
            "xtrabackup_checkpoints",
            "xtrabackup_tablespaces",
        ])
        .current_dir(dir.join("in"))
        .output()
        .unwrap();
    let path = dir.join("stream");
    fs::write(&path, ok(made)).unwrap();
    path
}

fn journey(kind: Kind) {
    let server = Server::start(kind);
    let dir = tempfile::tempdir().unwrap();
    let stream = stream(dir.path());
    let input = || Stdio::from(fs::File::open(&stream).unwrap());
    let url = server.url("back ups/mysql");
    let name = "prod-2026-11-18-11:06:40-full";
    ok(on(
        &server,
        &["cloud", "put", "--to", &url, name, "--md5"],
        input(),
    ));
    // the same name again, also with the same bytes
    let again = on(&server, &["cloud", "put", "--to", &url, name], input());
    assert_eq!(
        again.status.code(),
        Some(11),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    ok(on(
        &server,
        &["cloud", "put", "--to", &url, &format!("{name}-2")],
        input(),
    ));
    let listed = ok(on(&server, &["list", "--from", &url], Stdio::null()));
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.contains(name), "{listed}");
    ok(on(
        &server,
        &["cloud", "delete", "--from", &url, &format!("{name}-2")],
        Stdio::null(),
    ));
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let target = out.display().to_string();
    ok(on(
        &server,
        &["cloud", "get", "--from", &url, name, "-C", &target],
        Stdio::null(),
    ));
    for file in [
        "db/t#p#p0.ibd",
        "ibdata1",
        "xtrabackup_checkpoints",
        "xtrabackup_tablespaces",
    ] {
        let (put, got) = (
            fs::read(dir.path().join("in").join(file)),
            fs::read(out.join(file)),
        );
        assert!(put.unwrap() == got.unwrap(), "{file}");
    }
    ok(on(
        &server,
        &["cloud", "delete", "--from", &url, name],
        Stdio::null(),
    ));
    let gone = on(
        &server,
        &["cloud", "get", "--from", &url, name],
        Stdio::null(),
    );
    assert_eq!(
        gone.status.code(),
        Some(10),
        "{}",
        String::from_utf8_lossy(&gone.stderr)
    );
    let left = server
        .repository("back ups/mysql")
        .bucket()
        .children("")
        .unwrap();
    // the digests were removed too: the name is free again; the repository keeps its marker
    assert_eq!(left.objects, [::lsnap::store::MARKER]);
    assert_eq!(left.directories, [] as [&str; 0]);
}

#[test]
fn file() {
    journey(Kind::File);
}

#[test]
fn s3() {
    journey(Kind::S3);
}

#[test]
fn gcs() {
    journey(Kind::Gcs);
}

#[test]
fn azure() {
    journey(Kind::Azure);
}
