//! Servers by name, through `tools/sandbox`, removed when the test ends.

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A running (or stopped) sandbox server. Dropping it stops it and removes its files.
pub struct Sandbox {
    pub name: String,
    env: serde_json::Value,
    /// See [`Sandbox::shared`].
    guard: Option<Child>,
}

/// Options of every source: GTIDs, small caches, a quick purge, and no sync at each commit (a
/// backup must support this anyway, because it requests a flush of the redo).
pub const SOURCE: &[&str] = &[
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--server-id=1",
    "--innodb-buffer-pool-size=96M",
    "--innodb-redo-log-capacity=64M",
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
    "--innodb-purge-rseg-truncate-frequency=1",
    "--max-allowed-packet=64M",
    "--event-scheduler=OFF",
];

/// Options of every restored server: it must be able to become a replica of its source, and must
/// not change anything by itself.
pub const RESTORED: &[&str] = &[
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--server-id=2",
    "--innodb-buffer-pool-size=96M",
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
    "--max-allowed-packet=64M",
    "--skip-replica-start",
    "--event-scheduler=OFF",
];

fn tool() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/sandbox")
}

fn call(arguments: &[String]) -> Output {
    let tool = tool();
    Command::new(&tool)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{} does not run: {error}", tool.display()))
}

fn must(arguments: &[String]) -> String {
    let out = call(arguments);
    assert!(
        out.status.success(),
        "tools/sandbox {arguments:?} failed: {}\n{}",
        String::from_utf8_lossy(&out.stderr),
        String::from_utf8_lossy(&out.stdout)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Installs the server once for all tests of this run.
fn installed() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        must(&["install".to_owned()]);
    });
}

/// Starts a process that resets the server at the end of its standard input, which is the end of
/// this process. Returns when no other guard of this name exists.
fn guard(name: &str) -> Child {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e");
    std::fs::create_dir_all(&lock).unwrap();
    let script = "echo ready; cat; [ -n \"$LSNAP_E2E_KEEP\" ] || exec \"$0\" reset \"$1\"";
    let mut guard = Command::new("flock")
        .arg(lock.join(format!("{name}.lock")))
        .args(["sh", "-c", script])
        .arg(tool())
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // a signal that interrupts the tests must not interrupt the guard
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("flock: {error}"));
    let mut line = String::new();
    let mut output = BufReader::new(guard.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "the guard of {name} did not start");
    guard
}

impl Sandbox {
    /// Starts a new server; the files that an earlier run left under that name are removed first.
    pub fn start(name: &str, options: &[&[&str]]) -> Self {
        installed();
        let _ = call(&["reset".to_owned(), name.to_owned()]);
        let mut server = Self::named(name);
        server.launch(None, options);
        server
    }

    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            env: serde_json::Value::Null,
            guard: None,
        }
    }

    /// Same as [`start`](Self::start), for the only server of a test program, in a static. Statics
    /// are not dropped, so a separate guard process resets the server when the program has ended,
    /// also if it was killed. If two programs use the same name, the second one waits until the
    /// first one's server is removed.
    pub fn shared(name: &str, options: &[&[&str]]) -> Self {
        installed();
        let guard = guard(name);
        let mut server = Self::start(name, options);
        server.guard = Some(guard);
        server
    }

    /// Starts a server on a finished data directory (a restored one).
    pub fn start_on(name: &str, datadir: &Path, options: &[&[&str]]) -> Self {
        Self::try_start_on(name, datadir, options).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Same as [`start_on`](Self::start_on), for tests in which the start may fail.
    pub fn try_start_on(name: &str, datadir: &Path, options: &[&[&str]]) -> Result<Self, String> {
        installed();
        let _ = call(&["reset".to_owned(), name.to_owned()]);
        let mut server = Self::named(name);
        server.try_launch(Some(datadir), options)?;
        Ok(server)
    }

    /// Starts the server again after [`stop`](Self::stop) or [`kill`](Self::kill), on the same
    /// data.
    pub fn restart(&mut self, options: &[&[&str]]) {
        self.launch(None, options);
    }

    fn launch(&mut self, datadir: Option<&Path>, options: &[&[&str]]) {
        self.try_launch(datadir, options)
            .unwrap_or_else(|why| panic!("{why}"));
    }

    fn try_launch(&mut self, datadir: Option<&Path>, options: &[&[&str]]) -> Result<(), String> {
        let mut arguments = vec!["start".to_owned(), self.name.clone()];
        arguments.extend(options.iter().copied().flatten().map(|o| (*o).to_owned()));
        arguments.extend(datadir.map(|dir| format!("--datadir={}", dir.display())));
        let out = call(&arguments);
        if !out.status.success() {
            return Err(format!(
                "tools/sandbox {arguments:?} failed: {}\n{}",
                String::from_utf8_lossy(&out.stderr),
                String::from_utf8_lossy(&out.stdout)
            ));
        }
        let text = must(&["env".to_owned(), self.name.clone(), "--json".to_owned()]);
        self.env = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        Ok(())
    }

    /// Shuts the server down cleanly; the data is kept.
    pub fn stop(&self) {
        must(&["stop".to_owned(), self.name.clone()]);
    }

    /// Kills the server with SIGKILL; the data is kept.
    pub fn kill(&self) {
        must(&["kill".to_owned(), self.name.clone()]);
    }

    fn field(&self, key: &str) -> String {
        match &self.env[key] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            other => panic!("tools/sandbox env {}: {key} is {other}", self.name),
        }
    }

    pub fn socket(&self) -> String {
        self.field("SOCKET")
    }

    /// Returns whether the server has the release `major.minor` or a later one.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        let version = self.value("SELECT VERSION()");
        let mut numbers = version.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
        (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
    }

    /// Returns the statement that shows the end of the binary log: it was renamed in 8.2.
    pub fn show_binary_log_status(&self) -> &'static str {
        if self.at_least(8, 2) {
            "SHOW BINARY LOG STATUS"
        } else {
            "SHOW MASTER STATUS"
        }
    }

    /// Returns whether the release has this component or plugin. The server that the suite installs
    /// has all of them; with another server (`LSNAP_SANDBOX`), a test prints that it was not run.
    pub fn has(&self, library: &str) -> bool {
        let dir = self.value("SELECT @@plugin_dir");
        let there = Path::new(&dir).join(library).exists();
        assert!(
            there || std::env::var_os("LSNAP_SANDBOX").is_some(),
            "{dir} has no {library}"
        );
        if !there {
            let version = self.value("SELECT VERSION()");
            eprintln!("not run: MySQL {version} in LSNAP_SANDBOX has no {library}");
        }
        there
    }

    pub fn port(&self) -> u16 {
        self.field("PORT").parse().unwrap()
    }

    pub fn pid(&self) -> i32 {
        self.field("PID").parse().unwrap()
    }

    pub fn datadir(&self) -> PathBuf {
        self.field("DATADIR").into()
    }

    pub fn error_log(&self) -> String {
        std::fs::read(self.field("ERRLOG"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Returns the path of a program next to `mysqld`.
    pub fn program(&self, name: &str) -> PathBuf {
        Path::new(&self.field("BINDIR")).join(name)
    }

    pub fn try_connect(&self) -> mysql::Result<Conn> {
        let options = OptsBuilder::new()
            .user(Some("root"))
            .socket(Some(self.socket()))
            .prefer_socket(false)
            .max_allowed_packet(Some(64 << 20))
            .tcp_keepalive_time_ms(None);
        let mut conn = Conn::new(options)?;
        conn.query_drop("SET NAMES utf8mb4")?;
        Ok(conn)
    }

    /// Connects as root over the socket.
    pub fn connect(&self) -> Conn {
        self.try_connect()
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Runs one statement on a separate connection.
    pub fn run(&self, sql: &str) {
        run(&mut self.connect(), sql);
    }

    /// Returns one value, as text.
    pub fn value(&self, sql: &str) -> String {
        value(&mut self.connect(), sql)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::env::var_os("LSNAP_E2E_KEEP").is_some() {
            eprintln!("kept: server {}", self.name);
            return;
        }
        if std::thread::panicking() && !self.env.is_null() {
            let log = self.error_log();
            let lines: Vec<&str> = log.lines().rev().take(80).collect();
            eprintln!("--- the end of the error log of {}:", self.name);
            lines.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        let _ = call(&["reset".to_owned(), self.name.clone()]);
    }
}

/// Runs one statement; the message of a failure contains the statement.
pub fn run(conn: &mut Conn, sql: &str) {
    conn.query_drop(sql)
        .unwrap_or_else(|error| panic!("{}: {error}", sql.chars().take(300).collect::<String>()));
}

/// Returns the first column of the first row as text; a missing row or NULL is "".
pub fn value(conn: &mut Conn, sql: &str) -> String {
    conn.query_first::<mysql::Row, _>(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .map_or_else(String::new, |row| text(&row, 0))
}

/// Returns a column of a row as text.
pub fn text(row: &mysql::Row, column: usize) -> String {
    match row.as_ref(column) {
        None | Some(mysql::Value::NULL) => String::new(),
        Some(mysql::Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(other) => other.as_sql(true).trim_matches('\'').to_owned(),
    }
}

/// Polls until `done` returns true. Polling is the only way to wait for things that a server does
/// in the background.
pub fn wait_for(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < limit,
            "timed out after {limit:?} waiting for {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Creates a temporary directory on the same file system as the build (hole punching and big files
/// need a real file system, which `/tmp` may not be).
pub fn scratch() -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e");
    std::fs::create_dir_all(&root).unwrap();
    tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(&root)
        .unwrap()
}
