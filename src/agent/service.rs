//! What a service manager gets: notifications (`sd_notify(3)`), the watchdog; and its signals.

use super::notify::{self, Notification};
use std::io;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the main thread of the agent waits for.
#[derive(Debug)]
pub(super) enum Message {
    /// SIGHUP: load the configuration.
    Reload,
    /// SIGTERM or SIGINT: end.
    End,
    /// A part of the agent ended, after a cancellation or a failure.
    Ended(&'static str, Result<(), String>),
}

/// Tells the service manager that the agent works.
pub(super) fn ready(status: &str) {
    notify::send(Notification::Ready(status.to_owned()));
}

/// Tells the service manager that the configuration is being loaded. [`ready`] must follow.
pub(super) fn reloading() {
    notify::send(Notification::Reloading);
}

/// Tells the service manager that the agent ends, and takes up to `time` for it.
pub(super) fn stopping(time: Duration) {
    notify::send(Notification::Stopping(time));
}

/// Changes the status line.
pub(super) fn status(status: &str) {
    notify::send(Notification::Status(status.to_owned()));
}

/// Feeds the watchdog.
pub(super) fn alive() {
    notify::send(Notification::Alive);
}

/// Returns the time within which the watchdog must be fed, if there is one.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Sends the signals that arrive from now on.
///
/// # Errors
/// The handlers can't be installed.
pub(super) fn watch(asked: Sender<Message>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = {
        // The handlers are installed when this function returns.
        let _inside = runtime.enter();
        Signals {
            hup: signal(SignalKind::hangup())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(signals.send(asked)))?;
    Ok(())
}

struct Signals {
    hup: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    async fn send(mut self, asked: Sender<Message>) {
        loop {
            let message = tokio::select! {
                _ = self.hup.recv() => Message::Reload,
                _ = self.term.recv() => Message::End,
                _ = self.int.recv() => Message::End,
            };
            if asked.send(message).is_err() {
                return;
            }
        }
    }
}
