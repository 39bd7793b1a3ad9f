//! The sidecar for Percona's operator, with a real server under load and a real S3 server: the calls in the operator's
//! order, a full backup and three incrementals, and the restore of each as the operator's job does it.

use crate::ddl;
use crate::journey::Journey;
use crate::lsnap::{Member, Position};
use crate::named_xtrabackup::{between, links};
use crate::sandbox::{SOURCE, Sandbox, scratch};
use crate::schema::{self, Wanted};
use crate::servers::{ACCESS_KEY, BUCKET, SECRET, Server};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// With characters that option files and shells treat specially.
pub const PASSWORD: &str = "pass\\word\"1'# ;=$x";
const FULL: &str = "backups/c1-2026-11-30-10:00:00-full";

/// An agent that serves the API of the sidecar.
pub struct Sidecar {
    port: u16,
    agent: Child,
}

impl Sidecar {
    /// Starts one whose secrets and logs are in a directory.
    pub fn start(room: &Path) -> Self {
        let (users, logs) = (room.join("users"), room.join("logs"));
        std::fs::create_dir_all(&users).unwrap();
        std::fs::write(users.join("xtrabackup"), PASSWORD).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let agent = crate::lsnap::command()
            .args(["agent", "--listen", "none", "--shutdown-grace", "1s"])
            .args(["--sidecar-listen", &format!("127.0.0.1:{port}")])
            .arg("--sidecar-users-dir")
            .arg(&users)
            .arg("--sidecar-log-dir")
            .arg(&logs)
            .arg("--state-dir")
            .arg(room.join("agent"))
            .stderr(std::fs::File::create(room.join("agent.log")).unwrap())
            .spawn()
            .unwrap();
        let sidecar = Self { port, agent };
        crate::sandbox::wait_for("the sidecar", Duration::from_secs(60), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        sidecar
    }

    /// Sends a signal to the agent.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.agent.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits until the agent has ended.
    pub fn ended(mut self) -> std::process::ExitStatus {
        self.agent.wait().unwrap()
    }

    /// Sends a request as the operator's scripts do. Returns the status and the body.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let answer = self.try_call(method, path, body);
        let (body, status) = answer.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// Sends a request. Returns the body and the status, which is 000 without an answer.
    pub fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> String {
        let mut command = Command::new("curl");
        command
            .args(["-s", "-X", method, "-w", "\n%{http_code}"])
            .arg(format!("http://127.0.0.1:{}{path}", self.port));
        if let Some(body) = body {
            command.args(["-H", "Content-Type: application/json", "-d"]);
            command.arg(body.to_string());
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    pub fn post(&self, name: &str, body: &Value) -> (u16, String) {
        self.call("POST", &format!("/backup/{name}"), Some(body))
    }

    pub fn log(&self, name: &str) -> String {
        let (status, log) = self.call("GET", &format!("/logs/{name}"), None);
        assert_eq!(status, 200, "{log}");
        log
    }

    /// Makes a backup that must succeed, and returns what its log says.
    pub fn made(&self, name: &str, body: &Value) -> Member {
        let made = self.post(name, body);
        let log = self.log(name);
        assert_eq!(made, (200, String::new()), "{log}");
        assert!(log.contains("completed OK!"), "{log}");
        member(&log)
    }

    /// Returns the checkpoint of a backup.
    fn checkpoint(&self, body: &Value) -> Value {
        let (status, text) = self.call("POST", "/backup/checkpoint-info", Some(body));
        assert_eq!(status, 200, "{text}");
        let info: Value = serde_json::from_str(&text).unwrap();
        for field in [
            "backup_type",
            "from_lsn",
            "to_lsn",
            "last_lsn",
            "flushed_lsn",
            "redo_memory",
            "redo_frames",
        ] {
            assert!(info[field].is_string(), "{field}: {text}");
        }
        info
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.agent.kill();
        let _ended = self.agent.wait();
    }
}

/// Reads the position as Vitess, TwinDB and Holland do.
fn member(log: &str) -> Member {
    let line = log
        .lines()
        .find(|line| line.contains("MySQL binlog position"))
        .unwrap_or_else(|| panic!("{log}"));
    Member {
        name: String::new(),
        position: Position {
            file: between(line, "filename '", "'").to_owned(),
            offset: between(line, "position '", "'").parse().unwrap(),
            gtid: between(line, "GTID of the last change '", "'").to_owned(),
        },
        json: Value::Null,
    }
}

/// Creates the account of the operator, with its privileges.
pub fn account(source: &Sandbox) {
    let quoted = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    for sql in [
        &format!("CREATE USER xtrabackup@localhost IDENTIFIED BY '{quoted}'"),
        "GRANT SYSTEM_USER, BACKUP_ADMIN, PROCESS, RELOAD, GROUP_REPLICATION_ADMIN, REPLICATION_SLAVE_ADMIN, LOCK TABLES, \
         REPLICATION CLIENT ON *.* TO xtrabackup@localhost",
        "GRANT SELECT ON performance_schema.replication_group_members TO xtrabackup@localhost",
        "GRANT SELECT ON performance_schema.log_status TO xtrabackup@localhost",
        "GRANT SELECT ON performance_schema.keyring_component_status TO xtrabackup@localhost",
    ] {
        source.run(sql);
    }
}

/// Returns the body of a request, as the operator's job builds it.
pub fn body(source: &Sandbox, store: &Server, destination: &str) -> Value {
    json!({
        "destination": destination,
        "type": "s3",
        "containerOptions": {
            "env": [{"name": "TZ", "value": "UTC"}],
            "args": {"xtrabackup": ["--compress", format!("--socket={}", source.socket())]},
        },
        "verifyTLS": true,
        "incrementalLsn": "",
        "encryptionKeyFile": "",
        "encryptionKeyVersion": "",
        "s3": {
            "bucket": BUCKET, "endpointUrl": store.endpoint, "accessKey": ACCESS_KEY, "secretKey": SECRET,
            "region": "us-east-1",
        },
    })
}

/// Opens the bucket.
fn bucket(store: &Server) -> ::lsnap::Repository {
    let mut options = store.options();
    options.allow_http = true;
    options.ca_file = None;
    ::lsnap::Repository::open_with(&store.url(""), &options).unwrap()
}

/// Returns the keys and lengths of all objects of the bucket.
pub fn objects(store: &Server) -> BTreeMap<String, u64> {
    let repository = bucket(store);
    let mut all = BTreeMap::new();
    let put = |key: &str, bytes: u64| {
        all.insert(key.to_owned(), bytes);
        true
    };
    repository.bucket().each("backups", put).unwrap();
    all
}

/// Looks for the secrets in the arguments and environments of all processes of lsnap, until it is stopped.
struct Watch {
    stop: AtomicBool,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl Watch {
    fn look(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&read("cmdline")).into_owned();
                let mut words = arguments.split('\0');
                let program = words.next().unwrap_or_default();
                if program != crate::common::program::PROGRAM {
                    continue;
                }
                let verb = format!("{} {}", words.next().unwrap_or_default(), {
                    let mut words = arguments.split('\0');
                    words.nth(4).unwrap_or_default()
                });
                let environment = String::from_utf8_lossy(&read("environ")).into_owned();
                for secret in [PASSWORD, SECRET, ACCESS_KEY] {
                    assert!(!arguments.contains(secret), "{arguments}");
                    assert!(!environment.contains(secret), "{environment}");
                }
                *self.seen.lock().unwrap().entry(verb).or_default() += 1;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits until a backup runs; returns its configuration.
fn running(sidecar: &Sidecar) -> Value {
    let begun = Instant::now();
    loop {
        let (status, text) = sidecar.call("GET", "/backup/", None);
        if status == 200 {
            return serde_json::from_str(&text).unwrap();
        }
        assert_eq!((status, text.as_str()), (404, "backup is not running\n"));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}

struct Place<'a> {
    room: &'a Path,
    store: &'a Server,
    links: PathBuf,
}

impl Place<'_> {
    /// Restores as the operator's job does, except for `--rollback-prepared-trx` of a full backup alone: the source
    /// commits the prepared transactions later, which the proof replays.
    fn restore(&self, source: &Sandbox, destinations: &[&str], key: &Path, datadir: &Path) {
        let script = r#"
            set -euo pipefail
            download() { xbcloud get --curl-retriable-errors=7 --parallel=2 "$1" --storage=s3 --s3-bucket="$S3_BUCKET"; }
            fetch() {
                download "$1" | xbstream -xv -C "$2" --parallel=2
                if [ -n "$KEY" ]; then
                    xtrabackup --decrypt=AES256 --encrypt-key-file="$KEY" --target-dir="$2" --parallel=2
                    find "$2" -name '*.xbcrypt' -delete
                fi
                xtrabackup --decompress --remove-original --parallel=2 --target-dir="$2"
            }
            mkdir "$DATADIR"
            base=$(mktemp --directory "$DATADIR/r_base_XXXX")
            fetch "$1" "$base"
            if [ $# = 1 ]; then
                xtrabackup --prepare --target-dir="$base"
            else
                xtrabackup --prepare --apply-log-only --target-dir="$base"
            fi
            shift
            while [ $# -gt 0 ]; do
                incr=$(mktemp --directory "$DATADIR/r_incr_XXXX")
                fetch "$1" "$incr"
                only=
                [ $# = 1 ] || only=--apply-log-only
                xtrabackup --prepare $only --target-dir="$base" --incremental-dir="$incr"
                rm -rf "$incr"
                shift
            done
            xtrabackup --datadir="$DATADIR" --move-back --force-non-empty-directories --target-dir="$base"
            rm -rf "$base"
        "#;
        let output = Command::new("bash")
            .args(["-c", script, "restore"])
            .args(destinations)
            .current_dir(self.room)
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    self.links.display(),
                    std::env::var("PATH").unwrap()
                ),
            )
            .env("HOME", self.room)
            .env("KEY", key)
            .env("DATADIR", datadir)
            .env("S3_BUCKET", BUCKET)
            .env("AWS_ENDPOINT", &self.store.endpoint)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("LSNAP_MYSQLD", source.program("mysqld"))
            .envs(self.store.env())
            .stdout(Stdio::null())
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
    }
}

#[test]
fn the_operators_calls() {
    let store = Server::start_plain_s3();
    let room = scratch();
    let source = Sandbox::start("e2e-sidecar", &[SOURCE]);
    account(&source);
    let wanted = Wanted {
        page_kib: 16,
        outside: None,
        encrypted: false,
        other_engines: false,
    };
    let targets = schema::create(&source, &wanted);
    ddl::prepare(&source);
    let mut journey = Journey::with("e2e-sidecar", source, targets, room);
    let room = journey.path().to_owned();
    let sidecar = Sidecar::start(&room);
    let keys = room.join("keys");
    std::fs::create_dir(&keys).unwrap();
    let key = keys.join("encryption-key");

    let watch = Watch {
        stop: AtomicBool::new(false),
        seen: Mutex::default(),
    };
    let config = |source: &Sandbox, destination: &str| {
        let mut body = body(source, &store, destination);
        body["encryptionKeyFile"] = key.to_str().unwrap().into();
        body["encryptionKeyVersion"] = "7".into();
        body
    };
    let chain: Vec<String> = ["11", "12", "13"]
        .map(|hour| format!("{FULL}.incr/c1-2026-11-30-{hour}:00:00-incr"))
        .into();
    std::thread::scope(|scope| {
        scope.spawn(|| watch.look());
        assert_eq!(
            sidecar.call("GET", "/health/", None),
            (200, "OK".to_owned())
        );
        let full = config(&journey.source, FULL);
        journey.member_by(|_, _| full_backup(&sidecar, &full, &keys));
        let mut previous = full.clone();
        for (round, destination) in (1..).zip(&chain) {
            ddl::round(&journey.source, round);
            let mut next = config(&journey.source, destination);
            let info = sidecar.checkpoint(&previous);
            next["incrementalLsn"] = info["to_lsn"].clone();
            journey.member_by(|_, _| sidecar.made(&format!("inc{round}"), &next));
            let made = sidecar.checkpoint(&next);
            assert_eq!(made["backup_type"], "incremental");
            assert_eq!(made["from_lsn"], info["to_lsn"]);
            previous = next;
        }
        watch.stop.store(true, Ordering::Relaxed);
    });
    let seen = watch.seen.into_inner().unwrap();
    for verb in ["xtrabackup --backup", "xbcloud put"] {
        assert!(
            seen.contains_key(verb),
            "{verb} was never looked at: {seen:?}"
        );
    }
    journey.rest();

    let before = objects(&store);
    for (name, destination) in ["full", "inc1", "inc2", "inc3"]
        .into_iter()
        .zip([FULL].into_iter().chain(chain.iter().map(String::as_str)))
    {
        let md5 = bucket(&store)
            .bucket()
            .length(&format!("{destination}.md5"));
        assert!(md5.unwrap().unwrap() >= 3000, "{destination}.md5");
        let again = sidecar.post(name, &config(&journey.source, destination));
        assert_eq!(again.0, 200, "a repeated request");
        assert!(sidecar.log(name).contains("nothing is changed"));
    }
    assert_eq!(
        objects(&store),
        before,
        "a repeated request changed objects"
    );

    let place = Place {
        room: &room,
        store: &store,
        links: links(&room),
    };
    for index in 0..=3 {
        let mut all = vec![FULL];
        all.extend(chain[..index].iter().map(String::as_str));
        let source = &journey.source;
        journey.prove_by(index, &[], |_, datadir| {
            place.restore(source, &all, &key, datadir)
        });
    }
    deletions(&sidecar, &journey.source, &store, &chain);
}

/// Makes the full backup. While it waits for its key, other requests get 409.
fn full_backup(sidecar: &Sidecar, full: &Value, keys: &Path) -> Member {
    let idle = (404, "backup is not running\n".to_owned());
    assert_eq!(sidecar.call("GET", "/backup/", None), idle);
    let member = std::thread::scope(|scope| {
        let backup = scope.spawn(|| sidecar.made("full", full));
        let shown = running(sidecar);
        assert_eq!(shown["destination"], FULL);
        let text = shown.to_string();
        assert!(
            !text.contains(SECRET) && !text.contains(ACCESS_KEY),
            "{text}"
        );
        let busy = (409, "backup is already running\n".to_owned());
        assert_eq!(sidecar.post("full", full), busy);
        assert_eq!(sidecar.post("other", full), busy);
        assert_eq!(sidecar.call("DELETE", "/backup/full", Some(full)).0, 409);
        assert_eq!(
            sidecar
                .call("POST", "/backup/checkpoint-info", Some(full))
                .0,
            500
        );
        std::fs::write(keys.join(".version"), "7").unwrap();
        std::fs::write(keys.join("encryption-key"), crate::named_xtrabackup::KEY).unwrap();
        backup.join().unwrap()
    });
    assert_eq!(sidecar.call("GET", "/backup/", None), idle);
    let info = sidecar.checkpoint(full);
    assert_eq!(
        (&info["backup_type"], &info["from_lsn"]),
        (&json!("full-backuped"), &json!("0"))
    );
    assert_eq!(sidecar.call("GET", "/backup/checkpoint-info", None).0, 405);
    member
}

/// Deletes the chain, newest first, as the operator does. A backup that others need stays.
fn deletions(sidecar: &Sidecar, source: &Sandbox, store: &Server, chain: &[String]) {
    let delete = |destination: &str| {
        let body = body(source, store, destination);
        sidecar.call("DELETE", "/backup/deleted", Some(&body))
    };
    let before = objects(store);
    let (status, text) = delete(FULL);
    assert!(status == 500 && text.contains("delete failed"), "{text}");
    assert_eq!(objects(store), before);
    for destination in chain.iter().rev().map(String::as_str).chain([FULL]) {
        assert_eq!(delete(destination), (200, String::new()), "{destination}");
        let below = format!("{}/", destination.strip_prefix("backups/").unwrap());
        assert!(!objects(store).keys().any(|key| key.starts_with(&below)));
    }
    assert_eq!(delete(FULL), (200, String::new()), "nothing is there");
    assert_eq!(objects(store), BTreeMap::new());
}
