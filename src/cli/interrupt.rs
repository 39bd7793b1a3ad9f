//! SIGINT, SIGTERM and SIGHUP: cancel a command, so that it cleans up.

use super::exit::Failure;
use super::output;
use crate::cancel::Cancel;
use crate::locked::Locked;
use std::sync::{Mutex, OnceLock};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Message of a command that uploads, after a signal.
pub(super) const UPLOADS: &str = "the uploaded objects are being removed";
/// Message of a command that writes files, after a signal.
pub(super) const FILES: &str = "incomplete files are being removed";
/// Message of a command that deletes, after a signal.
pub(super) const DELETIONS: &str = "run it again to delete the rest";

/// Returns the `Cancel` of the process. Without [`on_signal`] it is never cancelled. The waits of a
/// repository end when it is cancelled.
pub(super) fn cancel() -> &'static Cancel {
    static CANCEL: OnceLock<Cancel> = OnceLock::new();
    CANCEL.get_or_init(Cancel::new)
}

/// Returns the `Cancel` of the process, which the first signal cancels, so that the command can clean
/// up; `doing` describes the cleanup. A second signal ends the process at once. An ignored SIGHUP
/// (`nohup`) stays ignored. A later call only replaces the description.
pub(super) fn on_signal(doing: &'static str) -> Result<Cancel, Failure> {
    let watched = DOING.locked().replace(doing).is_some();
    if watched {
        return Ok(cancel().clone());
    }
    let failed = |e| Failure::internal(format!("cannot watch for signals: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    // Not in the thread: the handlers must be installed when this function returns.
    let signals = {
        let _inside = runtime.enter();
        Signals::watch().map_err(failed)?
    };
    std::thread::spawn(move || runtime.block_on(wait(signals)));
    Ok(cancel().clone())
}

/// The description of the cleanup; `None` as long as signals end the process.
static DOING: Mutex<Option<&'static str>> = Mutex::new(None);

async fn wait(mut signals: Signals) {
    signals.next().await;
    cancel().cancel();
    let doing = DOING.locked().unwrap_or_default();
    output::err(&format!("lsnap: stopping; {doing}\n"));
    signals.next().await;
    std::process::exit(130);
}

struct Signals {
    int: Signal,
    term: Signal,
    hup: Option<Signal>,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        let hup = (!hup_is_ignored()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: hup.transpose()?,
        })
    }

    async fn next(&mut self) {
        let hup = async {
            match &mut self.hup {
                Some(hup) => hup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { _ = self.int.recv() => {}, _ = self.term.recv() => {}, _ = hup => {} }
    }
}

/// Returns whether this process was started with SIGHUP ignored: the lowest bit of SigIgn in
/// `proc_pid_status(5)`.
fn hup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 != 0)
}
