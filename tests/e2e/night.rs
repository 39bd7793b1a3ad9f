//! A night: what a configured server's jobs print, the metrics that they write and the hooks that they call.

use crate::common::program::{Said, command, said, tree};
use crate::sandbox::{SOURCE, Sandbox, run, scratch};
use mysql::prelude::Queryable as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Night {
    server: Sandbox,
    dir: tempfile::TempDir,
}

impl Night {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the program with the file; secrets are in its environment.
    fn lsnap(&self, arguments: &[&str]) -> Said {
        let mut program = command();
        program
            .arg("--config")
            .arg(self.path("lsnap.toml"))
            .args(arguments)
            .env("AWS_SECRET_ACCESS_KEY", "s3cret")
            .env("AZURE_STORAGE_KEY", "s3cret");
        said(program.output().unwrap())
    }

    /// Returns the value of the only series that has all the words.
    fn metric(&self, words: &[&str]) -> Option<f64> {
        let text = std::fs::read_to_string(self.path("lsnap.prom")).unwrap();
        let fits = |line: &&str| words.iter().all(|word| line.contains(word));
        let lines: Vec<_> = text
            .lines()
            .filter(|l| !l.starts_with('#'))
            .filter(fits)
            .collect();
        assert!(lines.len() < 2, "{words:?}: {lines:?}");
        let value = lines.first()?.rsplit(' ').next().unwrap();
        Some(value.parse().unwrap())
    }

    /// Returns the lines that the hooks have written, and removes them.
    fn called(&self) -> Vec<String> {
        let path = self.path("called");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }

    /// Returns the number of connections that a job makes.
    fn connections(&self, job: impl FnOnce()) -> u64 {
        let mut conn = self.server.connect();
        let mut count = || -> u64 {
            let row = conn.query_first("SHOW GLOBAL STATUS LIKE 'Connections'");
            let (_, n): (String, u64) = row.unwrap().unwrap();
            n
        };
        let before = count();
        job();
        count() - before
    }
}

/// Checks the metrics by Prometheus' own program, which prints what it finds.
fn check_metrics(path: &Path) {
    let out = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::from(std::fs::File::open(path).unwrap()))
        .output()
        .expect("promtool runs: tools/monitoring install");
    let found = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && found.is_empty(), "{found}");
}

fn one_line(said: &Said) {
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let lines = (said.stdout.lines().count(), said.stderr.as_str());
    assert_eq!(lines, (1, ""), "{}", said.stdout);
}

/// Accepts one request; returns its head and its body.
fn web_hook() -> (String, std::thread::JoinHandle<(String, serde_json::Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/t0ken", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let n = stream.read(&mut buffer).unwrap();
            assert_ne!(n, 0, "{}", String::from_utf8_lossy(&request));
            request.extend_from_slice(&buffer[..n]);
            let text = String::from_utf8_lossy(&request);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            if let Ok(json) = serde_json::from_str(body) {
                stream
                    .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                    .unwrap();
                return (head.to_owned(), json);
            }
        }
    });
    (url, thread)
}

#[test]
fn a_good_night_is_one_line_and_a_bad_one_is_told() {
    let server = Sandbox::start("night", &[SOURCE]);
    let night = Night {
        server,
        dir: scratch(),
    };
    let mut conn = night.server.connect();
    for statement in ["CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY)"] {
        run(&mut conn, statement);
    }
    let (repository, prom) = (night.path("repo"), night.path("lsnap.prom"));
    let hook = format!(
        "echo \"$LSNAP_HOOK_EVENT $LSNAP_HOOK_COMMAND $LSNAP_HOOK_EXIT_CODE\" >> {0}; \
         cp \"$LSNAP_HOOK_REPORT\" {1}; env > {2}",
        night.path("called").display(),
        night.path("report").display(),
        night.path("environment").display()
    );
    let text = format!(
        "cluster = 'shop'\n[repository]\nurl = 'file://{}'\n[server]\nuser = 'root'\nsocket = '{}'\n\
         [backup]\nfull-every = '7d'\nmax-incrementals = 1\nprune = true\n[retention]\nkeep-full = 1\n\
         [metrics]\ntextfile = '{}'\n[hooks]\nstart = '''{hook}'''\nsuccess = '''{hook}'''\nfailure = '''{hook}'''\n",
        repository.display(),
        night.server.socket(),
        prom.display(),
    );
    std::fs::write(night.path("lsnap.toml"), text).unwrap();

    // A full backup, an incremental, a full backup after which both are deleted.
    let backup = |kind: &str| {
        let said = night.lsnap(&["backup"]);
        one_line(&said);
        assert!(
            said.stdout.contains(&format!(": {kind} backup, ")),
            "{}",
            said.stdout
        );
        assert_eq!(night.called(), ["start backup ", "success backup 0"]);
        said
    };
    backup("full");
    let environment = std::fs::read_to_string(night.path("environment")).unwrap();
    assert!(!environment.contains("s3cret"), "{environment}");
    let report = std::fs::read(night.path("report")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(
        (&report["event"], &report["cluster"]),
        (&"success".into(), &"shop".into())
    );
    assert!(
        report["report"].is_object() && report["backup"].is_string(),
        "{report}"
    );
    let first = [
        night.metric(&["lsnap_last_success", "\"backup\"", "\"full\""]),
        night.metric(&["lsnap_newest_full_backup"]),
        night.metric(&["lsnap_backup_stored_bytes", "\"full\""]),
    ];
    assert!(
        first.iter().all(|value| value.is_some_and(|v| v > 0.0)),
        "{first:?}"
    );
    // The server is connected to as often as for a chosen incremental.
    let due = night.connections(|| drop(backup("incremental")));
    assert_eq!(night.metric(&["lsnap_chain_incrementals"]), Some(1.0));
    let said = backup("full");
    assert!(said.stdout.contains("deleted 2 backups"), "{}", said.stdout);
    assert_eq!(night.metric(&["lsnap_prune_deleted_backups"]), Some(2.0));
    assert_eq!(night.metric(&["lsnap_repository_backups"]), Some(1.0));
    let chosen = night.connections(|| {
        let said = night.lsnap(&[
            "backup",
            "--incremental",
            "--quiet",
            "--unset",
            "backup.prune",
        ]);
        assert_eq!(
            (said.code, said.stdout.as_str(), said.stderr.as_str()),
            (0, "", "")
        );
    });
    assert_eq!(due, chosen, "connections");
    for arguments in [
        &["verify"][..],
        &["verify", "--data"],
        &["consolidate", "latest"],
        &["check"],
    ] {
        one_line(&night.lsnap(arguments));
    }
    assert_eq!(night.metric(&["lsnap_run_success", "\"data\""]), Some(1.0));
    let said = night.lsnap(&["prune", "--unfinished-only"]);
    assert_eq!(
        (said.code, said.stdout.as_str(), said.stderr.as_str()),
        (0, "", "")
    );
    check_metrics(&prom);
    night.called();

    // A command that isn't a job changes nothing.
    let before = std::fs::read(&prom).unwrap();
    night.lsnap(&["list"]).ok();
    night.lsnap(&["prune", "--dry-run"]).ok();
    assert_eq!(std::fs::read(&prom).unwrap(), before);
    assert_eq!(night.called(), [""; 0]);

    // A failed backup, after which the last success is still known.
    let success = || night.metric(&["lsnap_last_success", "\"backup\"", "\"full\""]);
    let last = success();
    let said = night.lsnap(&["backup", "--socket", "/nonexistent"]);
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains("/nonexistent"), "{}", said.stderr);
    let code = said.code.to_string();
    assert_eq!(
        night.called(),
        ["start backup ".to_owned(), format!("failure backup {code}")]
    );
    assert_eq!((success(), last.is_some()), (last, true));
    assert_eq!(
        night.metric(&["lsnap_run_success", "\"backup\""]),
        Some(0.0)
    );
    let runs = |result| night.metric(&["lsnap_runs_total", "\"backup\"", result]);
    assert_eq!(
        (runs("\"success\""), runs("\"failure\"")),
        (Some(4.0), Some(1.0))
    );
    check_metrics(&prom);

    // Hooks that fail or hang change nothing, and a URL isn't shown or stored.
    let (url, thread) = web_hook();
    std::fs::write(night.path("url"), &url).unwrap();
    std::fs::set_permissions(
        night.path("url"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let file = format!("@{}", night.path("url").display());
    let arguments = [
        "backup",
        "--full",
        "-v",
        "--hook-timeout",
        "1s",
        "--hook-start",
        "sleep 600",
        "--hook-success",
        &file,
        "--hook-success",
        "exit 3",
        "--hook-failure=http://127.0.0.1:1/t0ken",
    ];
    let said = night.lsnap(&arguments).ok();
    for words in [
        "hook 1 for start failed: it was ended",
        "hook 2 for success failed: its exit code was 3",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    let (head, body) = thread.join().unwrap();
    assert!(head.starts_with("POST /t0ken "), "{head}");
    assert_eq!(
        (&body["event"], &body["exit_code"]),
        (&"success".into(), &0.into())
    );
    assert!(
        !format!("{}{}", said.stdout, said.stderr).contains("t0ken"),
        "{}",
        said.stderr
    );
    let stored = tree(&repository);
    let has = |bytes: &Vec<u8>, word: &[u8]| bytes.windows(word.len()).any(|w| w == word);
    assert!(
        stored
            .values()
            .any(|bytes| has(bytes, b"--hook-failure=..."))
    );
    assert!(!stored.values().any(|bytes| has(bytes, b"t0ken")));
}
