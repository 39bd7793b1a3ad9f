//! A hook that is a command.

use crate::child;
use crate::cli::{human, interrupt};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// Time between two looks at the process.
const POLL: Duration = Duration::from_millis(20);

/// Runs a command in a process group of its own, which is ended after `timeout`. It has the variables in addition to
/// those that every child process of lsnap inherits. Its output goes to standard error: standard output can be a
/// stream or a document.
pub(super) fn run(
    text: &str,
    variables: Vec<(&'static str, String)>,
    timeout: Duration,
) -> Result<(), String> {
    let output = std::io::stderr().as_fd().try_clone_to_owned();
    let output = output.map_or_else(|_| Stdio::null(), Stdio::from);
    let mut child = child::command("/bin/sh")
        .arg("-c")
        .arg(text)
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(output)
        .process_group(0)
        .spawn()
        .map_err(|e| format!("/bin/sh can't be started: {e}"))?;
    let was_cancelled = interrupt::cancel().is_cancelled();
    let stop = || !was_cancelled && interrupt::cancel().is_cancelled();
    let why = match wait(&child, timeout, &stop) {
        End::Exited => None,
        End::TimedOut => Some(format!(
            "it was ended because it ran longer than {}",
            human::duration(timeout)
        )),
        End::Stopped => Some("it was ended by a signal to lsnap".to_owned()),
    };
    if why.is_some() {
        end_group(&child);
    }
    let status = child
        .wait()
        .map_err(|e| format!("its exit status can't be read: {e}"))?;
    match (why, status.code(), status.signal()) {
        (Some(why), ..) => Err(why),
        (None, Some(0), _) => Ok(()),
        (None, Some(code), _) => Err(format!("its exit code was {code}, expected 0")),
        (None, None, signal) => Err(format!("signal {} ended it", signal.unwrap_or(0))),
    }
}

enum End {
    Exited,
    TimedOut,
    Stopped,
}

/// Waits without reaping the process: until then, its id and its group's are not used for others.
fn wait(child: &Child, timeout: Duration, stop: &dyn Fn() -> bool) -> End {
    let begun = Instant::now();
    loop {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(Pid::from_child(child)), options) {
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return End::Exited,
        }
        if stop() {
            return End::Stopped;
        }
        if begun.elapsed() >= timeout {
            return End::TimedOut;
        }
        std::thread::sleep(POLL);
    }
}

/// Ends all processes of the group: SIGTERM, then SIGKILL.
fn end_group(child: &Child) {
    let group = Pid::from_child(child);
    // An error means that there is no process left.
    let _ = kill_process_group(group, Signal::TERM);
    // Not only for the shell, which can end before its children.
    std::thread::sleep(GRACE);
    let _ = kill_process_group(group, Signal::KILL);
}
