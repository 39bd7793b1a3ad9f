//! lsnap under the name of xbcloud, with the command lines of the programs that call it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::program::PROGRAM;
use crate::servers::{BUCKET, Kind, SECRET, Server};

/// The programs by their names, and a stream.
struct Bench {
    dir: tempfile::TempDir,
    /// Arguments for the store, as Percona's operator gives them.
    store: Vec<String>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Bench {
    fn new(server: &Server) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["xbcloud", "xbstream"] {
            symlink(PROGRAM, dir.path().join(name)).unwrap();
        }
        let page: Vec<u8> = (0..2_000_000u32).map(|n| (n % 253) as u8).collect();
        fs::create_dir_all(dir.path().join("in/db")).unwrap();
        for (name, bytes) in [
            ("db/t#p#p0.ibd", &page[..]),
            ("ibdata1", &page[..100_000]),
            ("sst_info", b"galera-info".as_slice()),
            (
                "xtrabackup_checkpoints",
                b"backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 4711\nlast_lsn = 4712\n",
            ),
            ("xtrabackup_tablespaces", b"{}"),
        ] {
            fs::write(dir.path().join("in").join(name), bytes).unwrap();
        }
        let store = vec![
            "--storage=s3".to_owned(),
            format!("--s3-bucket={BUCKET}"),
            "--s3-region=us-east-1".to_owned(),
            "--s3-access-key=AKIDTEST".to_owned(),
            format!("--s3-secret-key={SECRET}"),
            format!("--s3-endpoint={}", server.endpoint),
        ];
        Self { dir, store }
    }

    fn stream(&self, files: &[&str]) -> Vec<u8> {
        let out = Command::new(self.dir.path().join("xbstream"))
            .arg("-C")
            .arg(self.dir.path().join("in"))
            .arg("-c")
            .args(files)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", text(&out.stderr));
        out.stdout
    }

    fn full(&self) -> Vec<u8> {
        self.stream(&[
            "db/t#p#p0.ibd",
            "ibdata1",
            "xtrabackup_checkpoints",
            "xtrabackup_tablespaces",
        ])
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(self.dir.path().join("xbcloud"));
        command
            .args(words.split_whitespace())
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path())
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// Runs a command line with the arguments of the store, and returns its code, standard output
    /// and messages.
    fn run(&self, words: &str, input: &[u8]) -> (i32, Vec<u8>, String) {
        self.with(self.command(words).args(&self.store), input)
    }

    /// Runs a command with an input. No secret may be printed.
    fn with(&self, command: &mut Command, input: &[u8]) -> (i32, Vec<u8>, String) {
        let path = self.dir.path().join("input");
        fs::write(&path, input).unwrap();
        let out: Output = command.stdin(File::open(path).unwrap()).output().unwrap();
        let said = text(&out.stderr);
        assert!(
            !said.contains(SECRET) && !said.contains("AKIDTEST"),
            "{said}"
        );
        (out.status.code().unwrap(), out.stdout, said)
    }

    /// Returns the files in a stream, extracted.
    fn extracted(&self, stream: &[u8], name: &str) -> std::path::PathBuf {
        let to = self.dir.path().join(name);
        fs::create_dir(&to).unwrap();
        let file = self.dir.path().join("stream");
        fs::write(&file, stream).unwrap();
        let out = Command::new(self.dir.path().join("xbstream"))
            .arg("-xv")
            .arg("-C")
            .arg(&to)
            .stdin(File::open(file).unwrap())
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", text(&out.stderr));
        to
    }

    fn same(&self, at: &Path, file: &str) {
        let original = fs::read(self.dir.path().join("in").join(file)).unwrap();
        assert!(fs::read(at.join(file)).unwrap() == original, "{file}");
    }
}

/// Returns the keys in the bucket.
fn keys(server: &Server) -> Vec<String> {
    let mut found = Vec::new();
    let bucket = server.repository("").bucket();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let children = bucket.children(&directory).unwrap();
        found.extend(children.objects);
        directories.extend(children.directories);
    }
    found.sort();
    found
}

fn options(server: &Server) -> lsnap::store::StoreOptions {
    lsnap::store::StoreOptions {
        allow_http: true,
        ca_file: None,
        ..server.options()
    }
}

fn repository(server: &Server, prefix: &str) -> lsnap::store::Repository {
    lsnap::store::Repository::open_with(&server.url(prefix), &options(server)).unwrap()
}

#[test]
fn what_percona_operators_run() {
    let server = Server::start_plain_s3();
    let bench = Bench::new(&server);
    let (full, dest) = (bench.full(), "ps/cluster1-2026-11-30-22:00:00-full");
    // The backup.
    let put = format!("put --parallel=10 --curl-retriable-errors=7 --insecure --md5 {dest}");
    let (code, out, said) = bench.run(&put, &full);
    assert_eq!(code, 0, "{said}");
    assert!(out.is_empty());
    assert!(said.ends_with("xbcloud: Upload completed.\n"), "{said}");
    assert!(said.contains("certificate is not checked"), "{said}");
    // Its MD5 object is next to it, one line an object.
    let bucket = repository(&server, "").bucket();
    let md5 = match bucket.get(&format!("{dest}.md5"), 1 << 20).unwrap() {
        lsnap::store::Held::Bytes(bytes) => text(&bytes),
        other => panic!("{other:?}"),
    };
    let mut objects = 0;
    bucket
        .each(dest, |object, _| {
            assert!(
                md5.contains(&format!("  {object}\n")),
                "{object} is not in {md5}"
            );
            objects += 1;
            true
        })
        .unwrap();
    assert_eq!(md5.lines().count(), objects);
    // Nothing else is in the bucket.
    let children = bucket.children("").unwrap();
    assert_eq!(
        (children.objects, children.directories),
        (vec![], vec!["ps".to_owned()])
    );
    // The LSN for the next incremental: the raw stream, line by line.
    let get = format!("get --parallel=10 --curl-retriable-errors=7 {dest} xtrabackup_checkpoints");
    let (code, out, said) = bench.run(&get, b"");
    assert_eq!(code, 0, "{said}");
    let raw = text(&out);
    let pairs = raw.lines().filter_map(|line| line.split_once('='));
    let mut to_lsn = pairs.filter(|(key, _)| key.contains("to_lsn"));
    assert_eq!(to_lsn.next().map(|(_, lsn)| lsn.trim()), Some("4711"));
    assert!(!raw.contains("ibdata1"));
    // The restore: the keys and the endpoint are in the environment.
    let (code, out, said) = bench.with(
        bench
            .command(&format!(
                "get --curl-retriable-errors=7 --parallel=4 {dest} --storage=s3 --s3-bucket={BUCKET}"
            ))
            .env("AWS_ACCESS_KEY_ID", "AKIDTEST")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_ENDPOINT", &server.endpoint),
        b"",
    );
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("xbcloud: Download completed.\n"), "{said}");
    let at = bench.extracted(&out, "restored");
    for file in ["db/t#p#p0.ibd", "ibdata1", "xtrabackup_tablespaces"] {
        bench.same(&at, file);
    }
    // The name is taken.
    let (code, _, said) = bench.run(&put, &full);
    assert_eq!(code, 1);
    assert!(
        said.contains("backup named cluster1-2026-11-30-22:00:00-full already exists!"),
        "{said}"
    );
    // An incremental of its chain keeps it; then both go.
    let incr = format!("{dest}.incr/cluster1-2026-11-30-23:00:00-incr");
    assert_eq!(bench.run(&format!("put {incr}"), &full).0, 0);
    let (code, _, said) = bench.run(&format!("delete {dest}"), b"");
    assert_eq!(code, 1, "{said}");
    assert_eq!(bench.run(&format!("DELETE {incr}"), b"").0, 0);
    let (code, _, said) = bench.run(&format!("delete {dest}"), b"");
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("xbcloud: Delete completed.\n"), "{said}");
    assert_eq!(
        bucket.children("").unwrap().directories,
        Vec::<String>::new()
    );
    for verb in ["delete", "get"] {
        let (code, out, said) = bench.run(&format!("{verb} {dest}"), b"");
        assert_eq!((code, out.len()), (1, 0), "{said}");
    }
}

#[test]
fn an_incomplete_stream_stays_under_its_name() {
    let server = Server::start_plain_s3();
    let bench = Bench::new(&server);
    let bucket = repository(&server, "").bucket();
    // The PXC operator: sst_info alone, then the donor's stream.
    let sst = bench.stream(&["sst_info"]);
    let put =
        "put --parallel=10 --curl-retriable-errors=7 --md5 --s3-bucket-lookup=PATH pxc.sst_info";
    let (code, _, said) = bench.run(put, &sst);
    assert_eq!(code, 1);
    assert!(
        said.contains("Upload failed: backup is incomplete"),
        "{said}"
    );
    assert!(!said.contains("completed"), "{said}");
    let index = |n: u64| format!("{n:020}");
    for object in [0, 1] {
        let key = format!("pxc.sst_info/sst_info.{}", index(object));
        assert!(bucket.length(&key).unwrap().is_some(), "{key}");
    }
    let md5 = bucket.get("pxc.sst_info.md5", 4096).unwrap();
    let lsnap::store::Held::Bytes(md5) = md5 else {
        panic!("{md5:?}")
    };
    assert_eq!(text(&md5).lines().count(), 2);
    // Its restore gets it back.
    let (code, out, said) = bench.run("get pxc.sst_info", b"");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("never completed"), "{said}");
    bench.same(&bench.extracted(&out, "sst"), "sst_info");
    // A name that has objects is taken, also without a finished backup.
    assert_eq!(bench.run(put, &sst).0, 1);
    // A stream that is cut off doesn't look finished: the last files are not stored.
    let full = bench.full();
    let (code, _, said) = bench.run("put --md5 cut", &full[..full.len() - 10]);
    assert_eq!(code, 1, "{said}");
    let mut seen = Vec::new();
    bucket
        .each("cut", |object, _| {
            seen.push(object.to_owned());
            true
        })
        .unwrap();
    assert!(
        !seen
            .iter()
            .any(|object| object.starts_with("xtrabackup_tablespaces")),
        "{seen:?}"
    );
    // Retried as the operator does: the objects are deleted by their prefix, NAME.md5 stays.
    for object in [
        "sst_info.00000000000000000000",
        "sst_info.00000000000000000001",
    ] {
        bucket.delete(&format!("pxc.sst_info/{object}")).unwrap();
    }
    let (code, _, said) = bench.run(put, &full);
    assert_eq!(code, 0, "{said}");
    let lsnap::store::Held::Bytes(md5) = bucket.get("pxc.sst_info.md5", 1 << 20).unwrap() else {
        panic!()
    };
    assert!(text(&md5).contains("  ibdata1."));
}

#[test]
fn names_buckets_files_and_fifos() {
    let server = Server::start_plain_s3();
    let bench = Bench::new(&server);
    let full = bench.full();
    // RadonDB's command line; the bucket is missing.
    bench_radondb(&bench, &server, &full);
    // A URI, keys in an option file, the file named anywhere and by -c.
    let file = bench.dir.path().join("cloud.cnf");
    fs::write(
        &file,
        format!(
            "[xbcloud]\nstorage=S3\ns3-endpoint={}\ns3_access_key=AKIDTEST\ns3-secret-key={SECRET}\nmd5=ON\n",
            server.endpoint
        ),
    )
    .unwrap();
    let uri = format!("s3://{BUCKET}/a/b/uri");
    let mut put = bench.command(&format!("put {uri} --defaults-file={}", file.display()));
    let (code, _, said) = bench.with(&mut put, &full);
    assert_eq!(code, 0, "{said}");
    let bucket = repository(&server, "").bucket();
    assert!(bucket.length("a/b/uri.md5").unwrap().is_some());
    let mut get = bench.command(&format!("get -c {} {uri} ibdata1", file.display()));
    let (code, out, said) = bench.with(&mut get, b"");
    assert_eq!(code, 0, "{said}");
    bench.same(&bench.extracted(&out, "one"), "ibdata1");
    let (code, _, said) = bench.run(&format!("get {uri} nothing.ibd"), b"");
    assert_eq!(code, 1);
    assert!(said.contains("no file `nothing.ibd`"), "{said}");
    // The directory of repositories and backups is none itself.
    let (code, _, said) = bench.run("delete a/b", b"");
    assert_eq!(code, 1, "{said}");
    assert!(bucket.length("a/b/uri.md5").unwrap().is_some());
    // Objects of both programs are the same.
    repository(&server, "repo").mark(false).unwrap();
    let (code, _, said) = bench.run("delete repo", b"");
    assert_eq!(code, 1, "{said}");
    // FIFOs, as Percona's tests have them.
    fifos(&bench);
    // Swift, and the wrong words.
    for (words, expected) in [
        ("put name --storage=swift", "does not support Swift"),
        ("put swift://container/name", "does not support Swift"),
        ("got name --storage=s3", "Unknown command got"),
        ("put --storage=s3", "Backup name is required"),
        (
            "put name --no-such-option",
            "unknown option '--no-such-option'",
        ),
        ("put name --storage=s3", "bucket is not specified"),
        (
            "put name --storage=s3 --s3-bucket=bucket --s3-access-key=x",
            "secret key is missing",
        ),
    ] {
        let (code, _, said) = bench.with(&mut bench.command(words), b"");
        assert_eq!(code, 1, "{words}");
        assert!(said.contains(expected), "{words}: {said}");
    }
    secrets(&bench);
}

fn bench_radondb(bench: &Bench, server: &Server, full: &[u8]) {
    let words = format!(
        "put --storage=S3 --s3-endpoint={} --s3-access-key=AKIDTEST --s3-secret-key={SECRET} --s3-bucket=radon \
         --parallel=10 backup_2026113022 --insecure",
        server.endpoint
    );
    let (code, _, said) = bench.with(&mut bench.command(&words), full);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("was created"), "{said}");
    let words = words.replace("put", "delete");
    assert_eq!(bench.with(&mut bench.command(&words), b"").0, 0);
    // Google's interface is that of S3, with other options.
    let words = format!(
        "put --storage=google --google-bucket=radon --google-endpoint={} g --parallel=64",
        server.endpoint
    );
    let mut google = bench.command(&words);
    google
        .env("ACCESS_KEY_ID", "AKIDTEST")
        .env("SECRET_ACCESS_KEY", SECRET);
    let (code, _, said) = bench.with(&mut google, full);
    assert_eq!(code, 0, "{said}");
    let mut google = bench.command("get google://radon/g");
    google
        .env("ACCESS_KEY_ID", "AKIDTEST")
        .env("SECRET_ACCESS_KEY", SECRET)
        .env("ENDPOINT", &server.endpoint);
    let (code, out, said) = bench.with(&mut google, b"");
    assert_eq!(code, 0, "{said}");
    bench.same(&bench.extracted(&out, "google"), "ibdata1");
}

/// A put from two FIFOs, and a get into two.
fn fifos(bench: &Bench) {
    let dir = bench.dir.path().join("fifos");
    fs::create_dir_all(&dir).unwrap();
    let options = format!(
        "--parallel=64 --fifo-streams=2 --fifo-dir={}",
        dir.display()
    );
    let halves = [
        bench.stream(&["db/t#p#p0.ibd"]),
        bench.stream(&["ibdata1", "xtrabackup_tablespaces"]),
    ];
    for n in 0..2 {
        let made = Command::new("mkfifo")
            .arg(dir.join(format!("thread_{n}")))
            .status();
        assert!(made.unwrap().success());
    }
    let writers: Vec<_> = halves
        .into_iter()
        .enumerate()
        .map(|(n, half)| {
            let path = dir.join(format!("thread_{n}"));
            std::thread::spawn(move || File::create(path).unwrap().write_all(&half).unwrap())
        })
        .collect();
    let (code, _, said) = bench.run(&format!("put {options} fifo"), b"");
    assert_eq!(code, 0, "{said}");
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    fs::create_dir(bench.dir.path().join("from-fifos")).unwrap();
    let mut got = bench.command(&format!("get {options} fifo"));
    let mut got = got
        .args(&bench.store)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = Command::new(bench.dir.path().join("xbstream"))
        .args(["-x", "--fifo-streams=2", "-C"])
        .arg(bench.dir.path().join("from-fifos"))
        .arg(format!("--fifo-dir={}", dir.display()))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(got.wait().unwrap().success());
    for file in ["db/t#p#p0.ibd", "ibdata1", "xtrabackup_tablespaces"] {
        bench.same(&bench.dir.path().join("from-fifos"), file);
    }
}

/// Secrets are not in the list of processes while the program runs.
fn secrets(bench: &Bench) {
    let mut put = bench.command("put secrets --header=X-Custom:hidden-value");
    let mut child = put
        .args(&bench.store)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let shown = fs::read_to_string(format!("/proc/{}/cmdline", child.id()));
    let mut input = child.stdin.take().unwrap();
    // The program reads its options before it reads the stream.
    let half = bench.full();
    input.write_all(&half[..100_000]).unwrap();
    let cmdline = format!("/proc/{}/cmdline", child.id());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while fs::read_to_string(&cmdline).unwrap().contains(SECRET) {
        assert!(std::time::Instant::now() < until, "{shown:?}");
        std::thread::yield_now();
    }
    let shown = fs::read_to_string(&cmdline).unwrap();
    assert!(
        !shown.contains("AKIDTEST") && !shown.contains("hidden-value"),
        "{shown}"
    );
    assert!(shown.contains("--s3-secret-key="), "{shown}");
    drop(input);
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(
        !said.contains(SECRET) && !said.contains("hidden-value"),
        "{said}"
    );
}

#[test]
fn certificates_and_azure() {
    let server = Server::start(Kind::S3);
    let bench = Bench::new(&server);
    let full = bench.full();
    // The endpoint without a scheme means TLS.
    let mut bare = bench.store.clone();
    bare.pop();
    let host = server.endpoint.trim_start_matches("https://");
    bare.push(format!("--s3-endpoint={host}"));
    let run = |words: &str| bench.with(bench.command(words).args(&bare), &full);
    let (code, _, said) = run("put b --max-retries=1 --max-backoff=1");
    assert_eq!(code, 1);
    assert!(said.contains("--cacert"), "{said}");
    let (code, _, said) = run(&format!("put b --cacert={}", server.ca.display()));
    assert_eq!(code, 0, "{said}");
    let (code, out, said) = run("get b --insecure");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("certificate is not checked"), "{said}");
    bench.same(&bench.extracted(&out, "tls"), "ibdata1");
    assert_eq!(
        keys(&server)
            .iter()
            .filter(|key| !key.starts_with("b/"))
            .count(),
        0
    );
    drop(server);

    let server = Server::start(Kind::Azure);
    let azure = |words: &str, input: &[u8]| {
        let store = [
            "--storage=azure".to_owned(),
            "--azure-storage-account=lsnaptests".to_owned(),
            format!("--azure-container-name={BUCKET}"),
            format!("--azure-access-key={SECRET}"),
            format!("--azure-endpoint={}", server.endpoint),
            format!("--cacert={}", server.ca.display()),
        ];
        bench.with(bench.command(words).args(store), input)
    };
    let (code, _, said) = azure("put --parallel=10 --curl-retriable-errors=7 x/full", &full);
    assert_eq!(code, 0, "{said}");
    let (code, out, said) = azure("get --parallel=10 --curl-retriable-errors=7 x/full", b"");
    assert_eq!(code, 0, "{said}");
    bench.same(&bench.extracted(&out, "azure"), "db/t#p#p0.ibd");
    let mut by_uri = bench.command(&format!("delete azure://{BUCKET}/x/full"));
    by_uri
        .env("AZURE_STORAGE_ACCOUNT", "lsnaptests")
        .env("AZURE_ACCESS_KEY", SECRET)
        .env("AZURE_ENDPOINT", &server.endpoint)
        .env("S3_CA_BUNDLE", &server.ca);
    let (code, _, said) = bench.with(&mut by_uri, b"");
    assert_eq!(code, 0, "{said}");
    assert!(keys(&server).is_empty());
}
