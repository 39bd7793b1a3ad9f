//! What SIGINT and SIGTERM do to a command that must tidy up.

use super::exit::Failure;
use super::output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A flag that the first SIGINT or SIGTERM sets, so that what was uploaded can be removed; `also` is done
/// after that. A second one ends the process at once.
pub(super) fn stop_on_signal(
    also: impl FnOnce() + Send + 'static,
) -> Result<Arc<AtomicBool>, Failure> {
    let failed = |e| Failure::internal(format!("cannot watch for signals: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    // Not in the thread: whoever comes back from here is safe from a signal that just ends the process.
    let (int, term) = {
        let _inside = runtime.enter();
        let watch = |kind| signal(kind).map_err(failed);
        (
            watch(SignalKind::interrupt())?,
            watch(SignalKind::terminate())?,
        )
    };
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    std::thread::spawn(move || runtime.block_on(wait(int, term, &flag, also)));
    Ok(stop)
}

async fn wait(mut int: Signal, mut term: Signal, flag: &AtomicBool, also: impl FnOnce()) {
    tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
    flag.store(true, Ordering::Release);
    also();
    output::err("lsnap: stopping; what was uploaded is being removed\n");
    tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
    std::process::exit(130);
}
