//! Starts child processes. All commands are created here, because a child must not inherit the
//! whole environment: the environment of lsnap can contain the credentials of object stores and of
//! the server (`AWS_SECRET_ACCESS_KEY`, `AZURE_STORAGE_KEY`, `MYSQL_PWD`).

use std::ffi::{OsStr, OsString};
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The variables that a child inherits. All others are removed.
const KEPT: [&str; 8] = [
    "PATH",
    "HOME",
    "LANG",
    "LANGUAGE",
    "TMPDIR",
    "TZ",
    // A server or xtrabackup that was unpacked outside the system directories finds its libraries
    // with it.
    "LD_LIBRARY_PATH",
    // Servers are commonly run with another allocator.
    "LD_PRELOAD",
];

/// Creates a command for `program` whose environment has only the variables of `KEPT` and `LC_*`.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(kept(std::env::vars_os()));
    command
}

/// Variables that are for one process: those of systemd's protocols.
const OWN: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// Creates a command for this same program, as a job of the agent. It has the whole environment: the job reads its
/// configuration and its credentials there, as the command of a person does.
pub(crate) fn same_program(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in OWN {
        command.env_remove(name);
    }
    command
}

/// The variable with the process id of the program without which this one must not go on.
const PARENT: &str = "LSNAP_PARENT_PID";

/// Makes a program of lsnap end with this process, also if this one is killed. The thread that starts it must live until
/// it has ended: the kernel sends the signal when that thread ends (`PR_SET_PDEATHSIG(2const)`).
pub(crate) fn tie(command: &mut Command) {
    command.env(PARENT, std::process::id().to_string());
}

/// Makes this process end with the one that started it, if that one tied it. Called first in `main`.
pub(crate) fn obey_tie() {
    let Some(parent) = std::env::var(PARENT)
        .ok()
        .and_then(|text| text.parse::<i32>().ok())
    else {
        return;
    };
    // A kernel without it has no such signals; the process then ends when its pipes are closed.
    let _unsupported = set_parent_process_death_signal(Some(Signal::TERM));
    // The parent may have ended before.
    if getppid().is_none_or(|found| found.as_raw_nonzero().get() != parent) {
        std::process::exit(1);
    }
}

fn kept(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    all.filter(|(name, _)| {
        let name = name.to_string_lossy();
        KEPT.contains(&&*name) || name.starts_with("LC_")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        let all = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("MYSQL_PWD", "x"),
            ("MYSQL_HOME", "/x"),
            ("AZURE_STORAGE_KEY", "x"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "x"),
            ("LSNAP_ENCRYPT_KEY", "x"),
        ];
        let all = all.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let kept: Vec<_> = kept(all.into_iter()).map(|(name, _)| name).collect();
        assert_eq!(kept, ["PATH", "LC_ALL"]);
    }

    #[test]
    fn a_child_inherits_only_the_kept_variables() {
        let out = command("env").output().unwrap();
        assert!(out.status.success());
        for line in String::from_utf8_lossy(&out.stdout).lines() {
            let name = line.split('=').next().unwrap();
            assert!(KEPT.contains(&name) || name.starts_with("LC_"), "{line}");
        }
        // Cargo sets many other variables in this process.
        assert!(std::env::vars_os().count() > KEPT.len() + 5);
    }
}
