//! What SIGINT, SIGTERM and SIGHUP do to a command that must tidy up.

use super::exit::Failure;
use super::output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The process's flag, also of a command that watches for no signal: then nothing sets it. A repository ends
/// its waits by it.
pub(super) fn flag() -> Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    Arc::clone(FLAG.get_or_init(Arc::default))
}

/// Whether a signal told the process to stop.
pub(super) fn is_set() -> bool {
    flag().load(Ordering::Acquire)
}

/// As [`stop_on_signal_by`], for a command that uploads.
pub(super) fn stop_on_signal(
    also: impl FnOnce() + Send + 'static,
) -> Result<Arc<AtomicBool>, Failure> {
    stop_on_signal_by("what was uploaded is being removed", also)
}

/// A flag that the first of these signals sets, so that the command can tidy up; `doing` says what that is,
/// `also` is done after that. A second one ends the process at once. A SIGHUP that is ignored (`nohup`)
/// stays so.
pub(super) fn stop_on_signal_by(
    doing: &'static str,
    also: impl FnOnce() + Send + 'static,
) -> Result<Arc<AtomicBool>, Failure> {
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
    let stop = flag();
    let flag = Arc::clone(&stop);
    std::thread::spawn(move || runtime.block_on(wait(signals, &flag, doing, also)));
    Ok(stop)
}

async fn wait(mut signals: Signals, flag: &AtomicBool, doing: &str, also: impl FnOnce()) {
    signals.next().await;
    flag.store(true, Ordering::Release);
    also();
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
