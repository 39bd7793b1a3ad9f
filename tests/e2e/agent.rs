//! `lsnap agent` beside a real server: its schedules run, kills leave a state from which the next one goes on, and
//! everything that it says it has is sound and restored.

use crate::common::program::{PROGRAM, Running, Said, command, lsnap, spawn};
use crate::lsnap::{list, restore};
use crate::sandbox::{SOURCE, Sandbox, scratch, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
/// A slot of an agent that was killed is free after the time of its claim, and a grace.
const AFTER_KILL: Duration = Duration::from_secs(180);

struct Host {
    server: Sandbox,
    dir: tempfile::TempDir,
}

impl Host {
    fn new(name: &str, more: &str) -> Self {
        let host = Self {
            server: Sandbox::start(name, &[SOURCE]),
            dir: scratch(),
        };
        host.server.run("CREATE DATABASE d");
        host.server
            .run("CREATE TABLE d.t (a INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(200))");
        host.server
            .run("INSERT INTO d.t (b) VALUES ('one'), ('two'), ('three')");
        host.configure(more);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "cluster = 'shop'\n[server]\nuser = 'root'\nsocket = '{}'\n[agent]\nname = 'one'\nstate-dir = '{}'\n\
             listen = '{}'\nshutdown-grace = '1s'\nrefresh = '2s'\n[repository]\nurl = 'file://{}'\n{more}",
            self.server.socket(),
            self.path("state").display(),
            self.path("api").display(),
            self.repository().display(),
        );
        std::fs::write(self.path("lsnap.toml"), text).unwrap();
    }

    fn agent(&self, arguments: &[&str]) -> Agent {
        // The file, because the output of a running process can't be read here.
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("agent.log"));
        let mut agent = std::process::Command::new(PROGRAM);
        agent
            .args(["agent", "--config"])
            .arg(self.path("lsnap.toml"))
            .args(arguments)
            .env("HOME", "/nonexistent")
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", "400000")
            .stdin(std::process::Stdio::null())
            .stderr(log.unwrap());
        let _ = std::fs::remove_file(self.path("notify"));
        let notify = UnixDatagram::bind(self.path("notify")).unwrap();
        notify.set_nonblocking(true).unwrap();
        Agent {
            process: agent.spawn().unwrap(),
            notify,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }

    fn until_logged(&self, words: &str) {
        wait_for(words, SOON, || self.log().contains(words));
    }

    fn lsnap(&self, arguments: &[&str]) -> Said {
        let mut program = command();
        program
            .arg("--config")
            .arg(self.path("lsnap.toml"))
            .args(arguments);
        crate::common::program::said(program.output().unwrap())
    }

    /// Returns the names of the finished backups.
    fn finished(&self) -> Vec<String> {
        if !self.repository().exists() {
            return Vec::new();
        }
        let listed = list(&self.repository());
        let all = listed.as_array().unwrap().iter();
        let finished = all.filter(|one| one["state"] == "finished");
        finished
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn until_finished(&self, count: usize, limit: Duration) {
        let what = format!("{count} backups\n{}", self.log());
        wait_for(&what, limit, || self.finished().len() >= count);
    }
}

struct Agent {
    process: std::process::Child,
    notify: UnixDatagram,
}

impl Agent {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn end(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.until_notified("STOPPING=1");
        self.process.wait().unwrap().code()
    }

    /// Returns the ids of the processes of jobs.
    fn jobs(&self) -> Vec<u32> {
        let id = self.process.id();
        let mut found = Vec::new();
        // Only one thread begins processes, but which one is not said.
        for task in std::fs::read_dir(format!("/proc/{id}/task"))
            .unwrap()
            .flatten()
        {
            let children = std::fs::read_to_string(task.path().join("children"));
            let children = children.unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .map(|id| id.parse::<u32>().unwrap()),
            );
        }
        found
    }

    /// Waits for a notification of the service manager with this text.
    fn until_notified(&self, words: &str) {
        wait_for(words, SOON, || {
            let mut buffer = [0; 4096];
            loop {
                match self.notify.recv(&mut buffer) {
                    Ok(count) if String::from_utf8_lossy(&buffer[..count]).contains(words) => {
                        return true;
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lives(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

const EVERY_TWO_SECONDS: &str = "[backup]\nfull-every = '7d'\nmax-incrementals = 3\n[[schedule]]\nname = 'often'\ncron = '*/2 * * * * *'\njob = 'auto'\n";

#[test]
fn what_a_killed_and_reloaded_agent_says_it_has_is_restored() {
    let host = Host::new("e2e-agent", EVERY_TWO_SECONDS);
    let mut agent = host.agent(&[]);
    agent.until_notified("READY=1");
    agent.until_notified("STATUS=");
    agent.until_notified("WATCHDOG=1");
    host.until_finished(2, SOON);
    let rows = host.server.value("SELECT COUNT(*) FROM d.t");
    host.server.run("INSERT INTO d.t (b) SELECT b FROM d.t");

    // A wrong file is refused, and the schedule goes on.
    let before = std::fs::read_to_string(host.path("lsnap.toml")).unwrap();
    std::fs::write(
        host.path("lsnap.toml"),
        before.replace("*/2 * * * * *", "61 * * * * *"),
    )
    .unwrap();
    agent.signal(Signal::HUP);
    host.until_logged("the one before stays");
    std::fs::write(host.path("lsnap.toml"), &before).unwrap();
    let so_far = host.finished().len();
    host.until_finished(so_far + 1, SOON);
    agent.signal(Signal::HUP);
    host.until_logged("the configuration was loaded");

    let status = host.lsnap(&["agent", "status", "--json"]);
    assert_eq!(status.code, 0, "{}{}", status.stdout, status.stderr);
    assert_eq!(status.json["schedules"][0]["name"], "often");
    assert_eq!(
        status.json["schedules"][0]["last"][0]["outcome"],
        "succeeded"
    );

    // Killed while a job runs, which ends with it.
    let mut jobs = Vec::new();
    wait_for("a job", SOON, || {
        jobs = agent.jobs();
        !jobs.is_empty()
    });
    agent.process.kill().unwrap();
    agent.process.wait().unwrap();
    wait_for("the end of its jobs", SOON, || {
        !jobs.iter().any(|id| lives(*id))
    });
    let so_far = host.finished().len();

    let agent = host.agent(&[]);
    host.until_finished(so_far + 2, AFTER_KILL);
    assert_eq!(agent.end(), Some(0), "{}", host.log());

    let verified = host.lsnap(&["verify", "--all", "--data", "--json"]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let finished = host.finished();
    // No chain is forked: each backup is the base of one other at most.
    let listed = list(&host.repository());
    let mut bases: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["base"].as_str())
        .collect();
    let count = bases.len();
    bases.sort_unstable();
    bases.dedup();
    assert_eq!(bases.len(), count, "{listed:#}");
    for (number, name) in [finished.first().unwrap(), finished.last().unwrap()]
        .into_iter()
        .enumerate()
    {
        let datadir = host.path(&format!("restored{number}"));
        restore(&host.server, &host.repository(), name, &datadir);
        let restored = Sandbox::start_on(&format!("e2e-agent-{number}"), &datadir, &[]);
        let found: u64 = restored.value("SELECT COUNT(*) FROM d.t").parse().unwrap();
        let expected = rows.parse::<u64>().unwrap() * (1 + number as u64);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_backup_that_a_shutdown_ends_is_not_finished() {
    let slow =
        "max-rate = '64K'\n[[schedule]]\nname = 'slow'\ncron = '* * * * * *'\njob = 'full'\n";
    let host = Host::new("e2e-agent-end", slow);
    let agent = host.agent(&[]);
    let mut jobs = Vec::new();
    wait_for("a job", SOON, || {
        jobs = agent.jobs();
        // Its uploads began.
        !jobs.is_empty() && host.repository().exists()
    });
    assert_eq!(agent.end(), Some(0), "{}", host.log());
    assert!(!jobs.iter().any(|id| lives(*id)));
    assert_eq!(host.finished(), [""; 0]);
    assert!(host.log().contains("was cancelled after"), "{}", host.log());
    // The next one can work at once: nothing is locked.
    let quick = host.lsnap(&["backup", "--json", "--max-rate", "1GiB"]);
    assert_eq!(quick.code, 0, "{}{}", quick.stdout, quick.stderr);
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Runs an agent that can't start, without a server.
fn refused(dir: &Path, arguments: &[&str]) -> Value {
    let state = dir.join("other");
    let state = state.to_str().unwrap();
    let said = lsnap(
        ["agent", "--json", "--state-dir", state]
            .iter()
            .chain(arguments),
    );
    assert_ne!(said.code, 0);
    said.error
}

#[test]
fn an_agent_that_cannot_start_says_why() {
    let dir = scratch();
    let text = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (state, port) = (text("state"), free_port());
    let at = format!("127.0.0.1:{port}");
    let mut first = command();
    first.args(["agent", "--state-dir", &state, "--listen", &at]);
    first
        .args(["--log-format", "json"])
        .env("LSNAP_JOB_ID", "a-1");
    let first: Running = spawn(first);
    wait_for("the agent", SOON, || {
        std::net::TcpStream::connect(&at).is_ok()
    });

    let error = refused(dir.path(), &["--listen", &at]);
    assert_eq!(error["exit_code"], 11, "{error}");
    assert!(error["message"].as_str().unwrap().contains(&at), "{error}");
    let error = refused(dir.path(), &["--listen", "none", "--sidecar-listen", &at]);
    assert_eq!(error["exit_code"], 11, "{error}");
    let error = refused(dir.path(), &["--listen", "none", "--state-dir", &state]);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("cannot be used multiple"),
        "{error}"
    );
    let said = lsnap(["agent", "--json", "--state-dir", &state, "--listen", "none"]);
    assert_eq!(said.error["exit_code"], 11, "{}", said.error);
    assert!(
        said.error["message"]
            .as_str()
            .unwrap()
            .contains("another agent"),
        "{}",
        said.error
    );
    let error = refused(dir.path(), &["--listen", "0.0.0.0:0"]);
    assert_eq!(
        error["exit_code"], 2,
        "beyond loopback without TLS: {error}"
    );

    kill_process(Pid::from_raw(first.pid() as i32).unwrap(), Signal::INT).unwrap();
    let said = first.wait();
    assert_eq!(said.code, 0);
    let lines = said.stderr.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(line["job"], "a-1");
        line["message"].as_str().unwrap().to_owned()
    });
    let lines: Vec<String> = lines.collect();
    assert!(
        lines.iter().any(|line| line.contains("is ready")),
        "{lines:?}"
    );
    let status = lsnap(["agent", "status", "--json", "--listen", &at]);
    assert_eq!(status.error["kind"], "unreachable", "{}", status.error);
}

#[test]
fn once_runs_what_is_due_and_ends() {
    let host = Host::new("e2e-agent-once", EVERY_TWO_SECONDS);
    let once = || host.lsnap(&["agent", "--once", "--json"]);
    // A new schedule doesn't catch up the past.
    let first = once();
    assert_eq!(first.code, 0, "{}{}", first.stdout, first.stderr);
    // The next slot is due after 2 s.
    wait_for("a slot", SOON, || {
        let next = once();
        assert_eq!(next.code, 0, "{}{}", next.stdout, next.stderr);
        let slots = next.json["slots"].as_array().unwrap().clone();
        slots.iter().any(|slot| slot["outcome"] == "succeeded")
    });
    assert!(!host.finished().is_empty());
    host.server.stop();
    wait_for("a slot that waits for the server", SOON, || {
        let next = once();
        let stuck = next.json["stuck"].as_array().unwrap().clone();
        let expected = i32::from(!stuck.is_empty());
        assert_eq!(next.code, expected, "{}{}", next.stdout, next.stderr);
        !stuck.is_empty()
    });
    std::fs::rename(host.repository(), host.path("taken")).unwrap();
    std::fs::write(host.repository(), "no directory").unwrap();
    let next = once();
    assert_eq!(next.code, 1, "{}{}", next.stdout, next.stderr);
    assert_eq!(next.json["stuck"][0]["schedule"], "often");
}
