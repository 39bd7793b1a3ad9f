//! Tests of the requests with a double of the programs (`tests/doubles/sidecar`), in the operator's order of calls.

mod requests;

use super::children::Log;
use super::*;
use axum::body::Body;
use axum::http::Request;
use std::sync::Arc;
use tower::ServiceExt as _;

const KEY: &str = "the-access-key";
const SECRET: &str = "the-secret-key";
const PASSWORD: &str = "pass\\\"word'#";
const DESTINATION: &str = "prod/c1-2026-11-30-10:00:00-full";

struct Bench {
    room: tempfile::TempDir,
    sidecar: Arc<Sidecar>,
}

impl Bench {
    fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        let dir = |name: &str| {
            let dir = room.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            dir
        };
        let (users_dir, log_dir) = (dir("users"), dir("logs"));
        dir("double");
        let file = users_dir.join(USER);
        std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doubles/sidecar");
        let sidecar = Arc::new(Sidecar {
            settings: SidecarSettings {
                listen: String::new(),
                users_dir,
                log_dir,
            },
            program: Program {
                path: program.into(),
                general: Vec::new(),
            },
            option_files: vec![room.path().join("no.cnf"), file],
            asynchronous: false,
            running: running::Running::default(),
            patience: Duration::from_millis(200),
            cancel: Cancel::new(),
        });
        Self { room, sidecar }
    }

    fn body(&self) -> serde_json::Value {
        serde_json::json!({
            "destination": DESTINATION, "type": "s3", "verifyTLS": true,
            "containerOptions": {
                "env": [{"name": "DOUBLE_DIR", "value": self.double("")}],
                "args": {"xtrabackup": ["--compress"], "xbcloud": ["--max-retries=3"], "xbstream": ["--parallel=2"]},
            },
            "s3": {"bucket": "b", "region": "r", "endpointUrl": "http://e", "accessKey": KEY, "secretKey": SECRET},
            "incrementalLsn": "",
        })
    }

    fn double(&self, name: &str) -> PathBuf {
        self.room.path().join("double").join(name)
    }

    fn set(&self, name: &str, text: &str) {
        std::fs::write(self.double(name), text).unwrap();
    }

    fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.double(name)).unwrap_or_default()
    }

    /// Returns the programs that were called, in their order.
    fn called(&self) -> Vec<String> {
        let calls = self.get("calls");
        let names = calls.lines().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "xbcloud" => words[3].to_owned(),
                program => program.to_owned(),
            }
        });
        names.collect()
    }

    async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> (u16, String) {
        let request = Request::builder().method(method).uri(path);
        let router = http::router(Arc::clone(&self.sidecar));
        let request = request.body(body.into()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
        (status, String::from_utf8(body.unwrap().to_vec()).unwrap())
    }

    async fn post(&self, name: &str) -> (u16, String) {
        self.call("POST", &format!("/backup/{name}"), self.body().to_string())
            .await
    }

    /// Starts a backup that waits at the gate. Returns when it runs.
    async fn waiting(self: &Arc<Self>) -> tokio::task::JoinHandle<(u16, String)> {
        self.make_gate();
        let bench = Arc::clone(self);
        let backup = tokio::spawn(async move { bench.post("first").await });
        self.until_called("xtrabackup").await;
        backup
    }

    fn make_gate(&self) {
        use rustix::fs::{CWD, Mode, mkfifoat};
        mkfifoat(CWD, self.double("gate"), Mode::RUSR | Mode::WUSR).unwrap();
    }

    /// Polls: the programs run in other processes.
    async fn until_called(&self, name: &str) {
        while !self.called().iter().any(|called| called == name) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn open_gate(&self) {
        let gate = self.double("gate");
        let opened = tokio::task::spawn_blocking(move || std::fs::write(gate, "\n"));
        opened.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_in_the_operators_order_of_calls() {
    let bench = Arc::new(Bench::new());
    assert_eq!(
        bench.call("GET", "/health/", "").await,
        (200, "OK".to_owned())
    );
    let idle = (404, "backup is not running\n".to_owned());
    assert_eq!(bench.call("GET", "/backup/", "").await, idle);
    let backup = bench.waiting().await;

    // of any name: the operator gives none
    for path in ["/backup/", "/backup/first"] {
        let (status, shown) = bench.call("GET", path, "").await;
        assert_eq!(status, 200);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["destination"], DESTINATION);
        assert_eq!(shown["s3"]["bucket"], "b");
        let text = shown.to_string();
        assert!(
            ![KEY, SECRET, "DOUBLE_DIR"]
                .iter()
                .any(|word| text.contains(word)),
            "{text}"
        );
    }
    let busy = (409, "backup is already running\n".to_owned());
    assert_eq!(bench.post("first").await, busy);
    assert_eq!(bench.post("second").await, busy);
    let delete = bench.call("DELETE", "/backup/first", bench.body().to_string());
    assert_eq!(delete.await.0, 409);

    bench.open_gate().await;
    assert_eq!(backup.await.unwrap(), (200, String::new()));
    let mut called = bench.called();
    // The two programs of the pipe can be recorded in either order.
    called[1..3].sort();
    assert_eq!(called, ["state", "put", "xtrabackup", "state"]);
    assert_eq!(bench.call("GET", "/backup/", "").await, idle);
    let (status, log) = bench.call("GET", "/logs/first", "").await;
    assert_eq!(status, 200);
    assert!(
        log.contains("completed OK!") && log.contains("is finished"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_programs_are_called_as_the_operators_sidecar_calls_them() {
    let bench = Bench::new();
    std::fs::write(bench.room.path().join("key"), "k").unwrap();
    let mut body = bench.body();
    body["encryptionKeyFile"] = bench.room.path().join("key").to_str().unwrap().into();
    body["incrementalLsn"] = "4711".into();
    body["verifyTLS"] = false.into();
    let made = bench.call("POST", "/backup/a", body.to_string()).await;
    assert_eq!(made.0, 200);
    let calls = bench.get("calls");
    let call = |of: &str| {
        calls
            .lines()
            .find(|line| line.contains(of))
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        call("xtrabackup "),
        format!(
            "xtrabackup --defaults-file=/proc/self/fd/0 --no-login-paths --backup --stream=xbstream --safe-slave-backup \
             --slave-info --target-dir=/backup/ --databases-exclude=lost+found --user=xtrabackup \
             --encrypt-key-file={} --encrypt=AES256 --compress --incremental-lsn=4711",
            bench.room.path().join("key").display()
        )
    );
    assert_eq!(
        call("xbcloud --defaults-file=/proc/self/fd/1"),
        format!(
            "xbcloud --defaults-file=/proc/self/fd/1 --no-login-paths put --parallel=10 --curl-retriable-errors=7 \
             --max-retries=3 --insecure --storage=s3 --s3-bucket=b --s3-region=r --s3-endpoint=http://e --md5 -- {DESTINATION}"
        )
    );
    let include = format!("!include {}\n", bench.sidecar.option_files[1].display());
    assert_eq!(
        bench.get("options.xtrabackup"),
        format!("{include}[client]\npassword=\"pass\\\\\\\"word'#\"\n")
    );
    assert_eq!(
        bench.get("options.put"),
        format!("{include}[xbcloud]\ns3-access-key=\"{KEY}\"\ns3-secret-key=\"{SECRET}\"\n")
    );
    let log = std::fs::read_to_string(Log::path(&bench.sidecar.settings.log_dir, "a")).unwrap();
    for name in ["calls", "env.xtrabackup", "env.put", "env.state"] {
        let text = bench.get(name);
        assert!(!text.is_empty());
        for secret in [KEY, SECRET, PASSWORD] {
            assert!(
                !text.contains(secret) && !log.contains(secret),
                "{name}: {text}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_backup_is_not_changed_by_a_repeated_request() {
    let bench = Bench::new();
    bench.set("state", "finished\n");
    assert_eq!(bench.post("a").await, (200, String::new()));
    assert_eq!(bench.called(), ["state"]);
    let log = bench.call("GET", "/logs/a", "").await.1;
    assert!(log.contains("nothing is changed"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_objects_are_removed_before_the_backup() {
    let bench = Bench::new();
    bench.set("state", "unfinished\n");
    assert_eq!(bench.post("a").await.0, 200);
    assert_eq!(bench.called()[..2], ["state", "delete"]);
    assert_eq!(bench.get("state"), "finished\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_fails_leaves_nothing() {
    for (fails, also) in [("xtrabackup", false), ("put", false), ("put", true)] {
        let bench = Bench::new();
        bench.set(&format!("fail.{fails}"), "this failed\n");
        if also {
            bench.set("fail.xtrabackup", "this failed\n");
        }
        let failed = (500, "backup failed\n".to_owned());
        assert_eq!(bench.post("a").await, failed, "{fails}");
        assert_eq!(bench.get("state"), "", "{fails}");
        let log = bench.call("GET", "/logs/a", "").await.1;
        assert!(
            log.contains("this failed") && log.contains("were removed"),
            "{log}"
        );
        assert_eq!(bench.call("GET", "/backup/", "").await.0, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_objects_of_another_upload_stay() {
    let bench = Bench::new();
    bench.set(
        "fail.put",
        "error: backup named x already exists! (there is x/y)\n",
    );
    assert_eq!(bench.post("a").await.0, 500);
    assert!(
        !bench.called().contains(&"delete".to_owned()),
        "{:?}",
        bench.called()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cant_be_reached_fails_the_backup() {
    let bench = Bench::new();
    bench.set("fail.state", "no connection\n");
    assert_eq!(bench.post("a").await.0, 500);
    assert_eq!(bench.called(), ["state"]);
    let delete = bench
        .call("DELETE", "/backup/a", bench.body().to_string())
        .await;
    assert_eq!(delete.0, 500);
    assert!(
        delete.1.starts_with("delete failed: ") && delete.1.contains("no connection"),
        "{}",
        delete.1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletions() {
    let bench = Bench::new();
    let delete = async || {
        bench
            .call("DELETE", "/backup/a", bench.body().to_string())
            .await
    };
    assert_eq!(delete().await, (200, String::new()), "nothing is there");
    bench.set("state", "finished\n");
    bench.set("fail.delete", "needed by another\n");
    assert_eq!(delete().await.0, 500);
    std::fs::remove_file(bench.double("fail.delete")).unwrap();
    assert_eq!(delete().await, (200, String::new()));
    assert_eq!(bench.get("state"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checkpoint_of_a_finished_backup_only() {
    let bench = Bench::new();
    let text = b"backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 4711\nlast_lsn = 4712\nflushed_lsn = 4712\n";
    let crc = crate::xbstream::crc(text);
    let name = checkpoint::FILE;
    let head = crate::xbstream::payload_head(name, 0, text.len() as u64, crc).unwrap();
    std::fs::write(bench.double("stream"), [&head[..], text].concat()).unwrap();
    let ask = async || {
        let body = bench.body().to_string();
        bench.call("POST", "/backup/checkpoint-info", body).await
    };
    for state in ["absent\n", "unfinished\n"] {
        bench.set("state", state);
        assert_eq!(ask().await.0, 500, "{state}");
    }
    bench.set("state", "finished\n");
    let (status, info) = ask().await;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!((status, info["to_lsn"].as_str()), (200, Some("4711")));
    assert_eq!(info["redo_frames"], "");
    assert_eq!(
        bench.call("GET", "/backup/checkpoint-info", "").await.0,
        405
    );
    assert_eq!(
        bench.call("POST", "/backup/checkpoint-info", "{").await.0,
        400
    );
    bench.set("fail.get", "the object is damaged\n");
    let (status, error) = ask().await;
    assert!(
        status == 500 && error.contains("the object is damaged"),
        "{error}"
    );
}
