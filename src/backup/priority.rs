//! The priority of the page workers in the kernel's schedulers: for the CPU (nice) and for the
//! disk.
//!
//! On Linux both are attributes of a thread, so only those of the page workers are changed: the
//! redo follower must keep up with the server and keeps its priority. The I/O class is set by
//! `ionice` (util-linux, BusyBox), because no maintained crate offers a safe interface to the
//! system call. The kernel respects it if the disk's scheduler is bfq or mq-deadline
//! (`/sys/block/*/queue/scheduler`).

use super::error::BackupError;
use crate::child;
use std::process::Stdio;
use std::str::FromStr;

/// The priority of the threads that read and check pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Priority {
    /// The nice value, 0 to 19; a thread with a higher nice value keeps it.
    pub nice: Option<u8>,
    /// The I/O class.
    pub io: Option<IoClass>,
}

/// A class of the I/O scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoClass {
    /// I/O only when no other process uses the disk.
    Idle,
    /// Level within the best-effort class: 0 is the highest, 7 the lowest.
    BestEffort(u8),
}

impl FromStr for IoClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let level = match text.split_once(':') {
            None if text == "idle" => return Ok(Self::Idle),
            None if text == "best-effort" => Some(4),
            Some(("best-effort", level)) => level.parse().ok().filter(|level| *level <= 7),
            _ => None,
        };
        level
            .map(Self::BestEffort)
            .ok_or_else(|| format!("{text:?} is not an I/O class: expected idle, best-effort or best-effort:0 to best-effort:7"))
    }
}

impl Priority {
    /// Checks, before anything is locked, that the I/O class can be set.
    ///
    /// # Errors
    /// [`BackupError::Priority`].
    pub(super) fn check(&self) -> Result<(), BackupError> {
        match self.io {
            None => Ok(()),
            Some(_) => ionice(&["-p", &std::process::id().to_string()]),
        }
    }

    /// Sets the priority of the calling thread.
    ///
    /// # Errors
    /// [`BackupError::Priority`].
    pub(super) fn apply(&self) -> Result<(), BackupError> {
        if let Some(nice) = self.nice {
            let set = |e: rustix::io::Errno| BackupError::Priority {
                what: "the nice value",
                problem: std::io::Error::from(e).to_string(),
            };
            let present = rustix::process::getpriority_process(None).map_err(set)?;
            let wanted = i32::from(nice);
            if wanted > present {
                rustix::process::setpriority_process(None, wanted).map_err(set)?;
            }
        }
        let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
        match self.io {
            None => Ok(()),
            Some(IoClass::Idle) => ionice(&["-c", "3", "-p", &thread]),
            Some(IoClass::BestEffort(n)) => {
                ionice(&["-c", "2", "-n", &n.to_string(), "-p", &thread])
            }
        }
    }
}

fn ionice(arguments: &[&str]) -> Result<(), BackupError> {
    let wrong = |problem: String| BackupError::Priority {
        what: "the I/O class (program ionice)",
        problem,
    };
    let mut command = child::command("ionice");
    let done = command.args(arguments).stdin(Stdio::null()).output();
    let done = done.map_err(|e| wrong(e.to_string()))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(wrong(format!("{}: {}", done.status, said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn stat_of(thread: &str) -> i64 {
        // proc(5): field 19 is the nice value; the name in field 2 may contain any character except
        // ')'.
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        after_name
            .split_whitespace()
            .nth(16)
            .unwrap()
            .parse()
            .unwrap()
    }

    fn thread() -> String {
        rustix::thread::gettid().as_raw_nonzero().to_string()
    }

    fn io_class(thread: &str) -> String {
        let out = Command::new("ionice")
            .args(["-p", thread])
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn only_the_calling_thread_is_changed() {
        let (here, before) = (thread(), stat_of(&thread()));
        let priority = Priority {
            nice: Some(17),
            io: Some(IoClass::Idle),
        };
        priority.check().unwrap();
        let of_worker = std::thread::spawn(move || {
            priority.apply().unwrap();
            let lower = Priority {
                nice: Some(3),
                io: Some(IoClass::BestEffort(6)),
            };
            let idle = (stat_of(&thread()), io_class(&thread()));
            lower.apply().unwrap();
            (idle, (stat_of(&thread()), io_class(&thread())))
        });
        let (first, second) = of_worker.join().unwrap();
        assert_eq!(first, (17, "idle".to_owned()));
        assert_eq!(
            second,
            (17, "best-effort: prio 6".to_owned()),
            "the nice value is never lowered"
        );
        assert_eq!(stat_of(&here), before);
        assert_ne!(io_class(&here), "idle");
    }

    #[test]
    fn io_classes_are_parsed() {
        assert_eq!("idle".parse(), Ok(IoClass::Idle));
        assert_eq!("best-effort".parse(), Ok(IoClass::BestEffort(4)));
        assert_eq!("best-effort:7".parse(), Ok(IoClass::BestEffort(7)));
        for wrong in [
            "",
            "realtime",
            "idle:1",
            "best-effort:8",
            "best-effort:",
            "best-effort:-1",
        ] {
            assert!(wrong.parse::<IoClass>().is_err(), "{wrong}");
        }
    }
}
