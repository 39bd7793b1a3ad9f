//! A running redo applier. It ends when it is done, when the restore fails, or when the restore is
//! cancelled.

use super::error::{RestoreError, io};
use crate::cancel::Cancel;
use crate::locked::Locked;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Interval between two checks of a program.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// Timeout of one wait of the thread that waits for the end of the restore; it waits again.
const LONG: Duration = Duration::from_secs(3600);

/// A program in a process group of its own, so that a Ctrl-C doesn't reach it, and all its child
/// processes can be killed with it. Dropping it kills it and waits for its end: its files are
/// removed.
pub(super) struct Running {
    program: PathBuf,
    child: Arc<Mutex<Child>>,
    /// Ends the thread that waits for the end of the restore.
    done: Cancel,
    watcher: Option<JoinHandle<()>>,
    kill_on_exit: Mutex<Option<KillOnExit>>,
}

impl Running {
    /// Starts the program. It is killed as soon as `cancel` is cancelled, independent of other
    /// waits.
    ///
    /// # Errors
    /// [`RestoreError::Program`].
    pub(super) fn start(
        command: &mut Command,
        program: &Path,
        cancel: &Cancel,
    ) -> Result<Self, RestoreError> {
        let refused = |error: std::io::Error| RestoreError::Program {
            program: program.to_path_buf(),
            what: format!("cannot be started: {error}"),
        };
        let child = command.process_group(0).spawn().map_err(refused)?;
        let mut running = Self {
            program: program.to_path_buf(),
            child: Arc::new(Mutex::new(child)),
            done: cancel.child(),
            watcher: None,
            kill_on_exit: Mutex::default(),
        };
        let group = lock(&running.child).id();
        running.kill_on_exit = Mutex::new(KillOnExit::start(group));
        let (child, done) = (Arc::clone(&running.child), running.done.clone());
        let cancel = cancel.clone();
        let watch = move || {
            while !done.wait(LONG) {}
            if cancel.is_cancelled() {
                kill(&mut lock(&child));
            }
        };
        let watcher = std::thread::Builder::new().name("watch-child".to_owned());
        running.watcher = Some(watcher.spawn(watch).map_err(refused)?);
        Ok(running)
    }

    /// Returns its status if it has ended.
    pub(super) fn ended(&self) -> Result<Option<ExitStatus>, RestoreError> {
        let ended = lock(&self.child)
            .try_wait()
            .map_err(io("wait for", &self.program))?;
        if ended.is_some() {
            // From now on its pid may be reused.
            drop(lock(&self.kill_on_exit).take());
        }
        Ok(ended)
    }

    /// Waits for its end.
    pub(super) fn wait(&self) -> Result<ExitStatus, RestoreError> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.done.cancel();
        drop(lock(&self.kill_on_exit).take());
        {
            let mut child = lock(&self.child);
            kill(&mut child);
            let _ = child.wait();
        }
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

/// Kills the program with its group, unless its end was already awaited: only until then its pid
/// can't be reused.
fn kill(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let group = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

/// A shell that kills a process group when this process ends, even if this process is killed: it
/// waits for the end of a pipe that only this process can write to. (`PR_SET_PDEATHSIG` of the
/// kernel is tied to the thread and is reset when the user changes.) Without a shell, or if this
/// process is killed before the shell is started, the next restore to the same target stops the
/// program ([`super::orphan`]).
struct KillOnExit(Child);

impl KillOnExit {
    fn start(group: u32) -> Option<Self> {
        let mut command = crate::child::command("sh");
        command
            .args(["-c", "read -r _; kill -s KILL -- \"-$1\"", "sh"])
            .arg(group.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let started = command.spawn();
        if let Err(error) = &started {
            tracing::debug!(
                "could not start a shell that ends the redo applier if this process is killed: {error}"
            );
        }
        started.ok().map(Self)
    }
}

impl Drop for KillOnExit {
    fn drop(&mut self) {
        // Before the pipe is closed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lock<T>(child: &Mutex<T>) -> MutexGuard<'_, T> {
    child.locked()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn sleeper(cancel: &Cancel) -> Running {
        // The sleep is a child process of the shell.
        let mut command = crate::child::command("sh");
        command.args(["-c", "sleep 600; true"]);
        Running::start(&mut command, Path::new("sh"), cancel).unwrap()
    }

    #[test]
    fn a_cancellation_kills_it_with_its_child_processes() {
        let cancel = Cancel::new();
        let running = sleeper(&cancel);
        assert!(running.ended().unwrap().is_none());
        let begun = Instant::now();
        cancel.cancel();
        assert!(!running.wait().unwrap().success());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn dropping_kills_it() {
        let cancel = Cancel::new();
        let running = sleeper(&cancel);
        let pid = lock(&running.child).id();
        drop(running);
        ends(pid);
    }

    /// Waits until the process group has no process.
    fn ends(group: u32) {
        let begun = Instant::now();
        let alive = |process: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            // proc(5): state, parent and process group follow the name.
            let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            fields.split_whitespace().nth(2) == Some(&group.to_string()) && !stat.contains(") Z")
        };
        while std::fs::read_dir("/proc").unwrap().flatten().any(alive) {
            let waited = begun.elapsed();
            assert!(
                waited < Duration::from_secs(10),
                "process group {group} is left"
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Closing the pipe simulates the end of this process.
    #[test]
    fn it_is_killed_when_the_parent_ends() {
        let cancel = Cancel::new();
        let running = sleeper(&cancel);
        let pipe = lock(&running.kill_on_exit).as_mut().unwrap().0.stdin.take();
        assert!(running.ended().unwrap().is_none());
        drop(pipe);
        ends(lock(&running.child).id());
    }
}
