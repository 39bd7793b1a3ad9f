//! What SIGINT, SIGTERM and SIGHUP do to a command that must tidy up.

use super::exit::Failure;
use super::output;
use crate::cancel::Cancel;
use std::sync::OnceLock;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a command that uploads says when a signal stops it.
pub(super) const UPLOADS: &str = "what was uploaded is being removed";
/// What a command that writes files says when a signal stops it.
pub(super) const FILES: &str = "files that are not whole are being removed";
/// What a command that deletes says when a signal stops it.
pub(super) const DELETIONS: &str = "run it again to delete the rest";

/// The `Cancel` of the process, also of a command that watches for no signal: then nothing cancels it. A repository
/// ends its waits by it.
pub(super) fn cancel() -> &'static Cancel {
    static CANCEL: OnceLock<Cancel> = OnceLock::new();
    CANCEL.get_or_init(Cancel::new)
}

/// The `Cancel` of the process, which the first of these signals cancels, so that the command can tidy up; `doing` says
/// what that is. A second one ends the process at once. A SIGHUP that is ignored (`nohup`) stays so.
pub(super) fn on_signal(doing: &'static str) -> Result<Cancel, Failure> {
    let failed = |e| Failure::internal(format!("cannot watch for signals: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    // Not in the thread: whoever comes back from here is safe from a signal that just ends the process.
    let signals = {
        let _inside = runtime.enter();
        Signals::watch().map_err(failed)?
    };
    std::thread::spawn(move || runtime.block_on(wait(signals, doing)));
    Ok(cancel().clone())
}

async fn wait(mut signals: Signals, doing: &str) {
    signals.next().await;
    cancel().cancel();
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

/// Whether this process was started with SIGHUP ignored: the lowest bit of what `proc_pid_status(5)` calls
/// SigIgn.
fn hup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 != 0)
}
