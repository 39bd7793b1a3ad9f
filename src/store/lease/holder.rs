//! The identity of a process that holds a lease: enough for a person to find the process, and for a
//! process of the same host to detect that it no longer exists.

use std::{fmt, fs};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHolder {
    /// The host's name.
    pub host: String,
    /// The process ID.
    pub pid: u32,
    /// When it took the lease, by its own clock.
    pub started: DateTime<Utc>,
    /// The boot ID of the host and the PID namespace; empty if `/proc` doesn't have them.
    /// Containers of one host have the same boot ID, but different PID namespaces.
    #[serde(default)]
    pub place: String,
    /// When the process started, in clock ticks since boot, because PIDs are reused.
    #[serde(default)]
    pub ticks: u64,
}

impl LeaseHolder {
    /// Returns this process.
    #[must_use]
    pub fn this() -> Self {
        let pid = std::process::id();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            host: match host.trim() {
                "" => "unknown host".to_owned(),
                host => host.to_owned(),
            },
            pid,
            started: Utc::now(),
            place: boot_and_namespace().unwrap_or_default(),
            ticks: ticks(pid).ok().flatten().unwrap_or_default(),
        }
    }

    /// Returns whether the process certainly no longer exists: it ran on this host since the same
    /// boot, and its PID is unused or belongs to another process.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let here =
            !self.place.is_empty() && boot_and_namespace().is_some_and(|here| here == self.place);
        here && self.ticks != 0
            && match ticks(self.pid) {
                Ok(now) => now != Some(self.ticks),
                Err(()) => false,
            }
    }
}

impl fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = self.started.format("%Y-%m-%d %H:%M:%S");
        write!(
            f,
            "pid {} on {}, started {started} UTC",
            self.pid, self.host
        )
    }
}

fn boot_and_namespace() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Returns when a process started; `None` if it doesn't exist or is a zombie.
fn ticks(pid: u32) -> Result<Option<u64>, ()> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(()),
    };
    // the name in parentheses may contain anything; the state is field 3, the start time field 22
    let mut fields = text.rsplit_once(") ").ok_or(())?.1.split(' ');
    if matches!(fields.next(), Some("Z" | "X")) {
        return Ok(None);
    }
    fields
        .nth(18)
        .and_then(|t| t.parse().ok())
        .map(Some)
        .ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_gone_and_a_dead_one_is() {
        let me = LeaseHolder::this();
        assert!(me.ticks > 0 && !me.place.is_empty(), "{me:?}");
        assert!(!me.is_gone());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let mut other = me.clone();
        other.pid = child.id();
        child.wait().unwrap();
        assert!(other.is_gone());
        // the PID of this process, used before by another one
        let before = LeaseHolder {
            ticks: me.ticks + 1,
            ..me.clone()
        };
        assert!(before.is_gone());
        for place in ["", "another boot"] {
            let elsewhere = LeaseHolder {
                place: place.to_owned(),
                ..before.clone()
            };
            assert!(!elsewhere.is_gone(), "{place}");
        }
    }
}
