//! Runs the `lsnap` program.

use super::documents;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;

/// The path of the program, for tests that set its environment and its signals themselves.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_lsnap");

/// The output of a run.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    /// The result in the document of `--json`.
    pub json: Value,
    /// The error in that document.
    pub error: Value,
    pub stdout: String,
    pub stderr: String,
}

/// Returns the bare program, for tests that build their own argument lists.
pub fn command() -> Command {
    // The parent of the tests (`nohup`, a shell's `&`) may ignore signals, and children inherit
    // that.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,TERM", PROGRAM]);
    // The machine's own MySQL configuration must not affect a test.
    command
        .env_remove("MYSQL_HOST")
        .env_remove("MYSQL_PWD")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null());
    command
}

pub fn said(out: Output) -> Said {
    let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
    let (json, error) = documents::parts(&stdout);
    let code = out.status.code().unwrap_or(-1);
    if !(json.is_null() && error.is_null()) {
        let expected = error["exit_code"].as_i64().unwrap_or(0);
        assert_eq!(expected, i64::from(code), "exit code: {stdout}");
    }
    Said {
        code,
        json,
        error,
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        stdout,
    }
}

/// Returns the result in a document of `--json`.
#[track_caller]
pub fn result(document: &[u8]) -> Value {
    let text = String::from_utf8_lossy(document);
    let (result, _) = documents::parts(&text);
    assert!(!result.is_null(), "no result: {text}");
    result
}

pub fn lsnap<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Said {
    said(command().args(arguments).output().unwrap())
}

impl Said {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code, 0,
            "lsnap failed:\n{}{}",
            self.stderr, self.stdout
        );
        self
    }

    /// Checks that the program failed with `code`, and that its message contains each of `words`.
    #[track_caller]
    pub fn refused(&self, code: i32, words: &[&str]) {
        let all = format!("{}\n{}", self.stderr, self.stdout);
        assert_eq!(self.code, code, "expected exit code {code}:\n{all}");
        for word in words {
            assert!(
                all.contains(word),
                "the message does not contain {word:?}:\n{all}"
            );
        }
    }
}

/// Runs a program with `input` as its standard input.
pub fn fed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that refuses its input closes it early.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    })
}

/// Returns the standard output of a program that must succeed.
#[track_caller]
pub fn good(out: Output) -> Vec<u8> {
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{stderr}");
    out.stdout
}

/// Returns the standard error of a program that must exit with `code`.
#[track_caller]
pub fn failed(out: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{text}");
    text
}

/// Checks that the program exited with `code`, and that its standard error contains each of
/// `words`.
#[track_caller]
pub fn refused(out: &Output, code: i32, words: &[&str]) {
    let text = failed(out, code);
    for word in words {
        assert!(
            text.contains(word),
            "the message does not contain {word:?}: {text}"
        );
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Sends a signal to a running child.
pub fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).unwrap();
}

/// A program that runs concurrently with the test. Killed when dropped.
pub struct Running(Option<Child>);

pub fn spawn(mut command: Command) -> Running {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(Some(command.spawn().unwrap()))
}

impl Running {
    pub fn kill(&mut self) {
        self.0.as_mut().unwrap().kill().unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.0.as_mut().unwrap().try_wait(), Ok(None))
    }

    pub fn wait(mut self) -> Said {
        said(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns all files below a directory with their content.
pub fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}
