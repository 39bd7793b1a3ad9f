//! Notifications for a service manager (`sd_notify(3)`), by a thread of their own: a manager that doesn't read them would
//! otherwise stop the agent, once the buffer of its socket is full.

use crate::locked::{Locked as _, Waited as _};
use sd_notify::NotifyState;
use std::mem::discriminant;
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notification {
    /// The service works. With its status.
    Ready(String),
    /// The configuration is being loaded.
    Reloading,
    /// The service ends, and takes up to this time for it.
    Stopping(Duration),
    /// A new status.
    Status(String),
    /// The watchdog is fed.
    Alive,
}

/// Those that are not sent yet, at most one of each kind.
#[derive(Debug, Default)]
struct Outbox {
    waiting: Mutex<Vec<Notification>>,
    changed: Condvar,
}

/// Sends a notification soon, in order. It replaces one of its kind that is not sent yet.
pub(super) fn send(notification: Notification) {
    static OUTBOX: OnceLock<Option<&'static Outbox>> = OnceLock::new();
    if let Some(outbox) = OUTBOX.get_or_init(start) {
        push(&mut outbox.waiting.locked(), notification);
        outbox.changed.notify_one();
    }
}

/// Starts the thread, if there is a service manager.
fn start() -> Option<&'static Outbox> {
    std::env::var_os("NOTIFY_SOCKET")?;
    let outbox: &'static Outbox = Box::leak(Box::default());
    let thread = std::thread::Builder::new().name("notify".to_owned());
    let started = thread.spawn(|| {
        loop {
            for notification in taken(outbox) {
                sent(&notification);
            }
        }
    });
    match started {
        Ok(_) => Some(outbox),
        Err(error) => {
            tracing::warn!("the service manager is not notified: {error}");
            None
        }
    }
}

fn push(waiting: &mut Vec<Notification>, notification: Notification) {
    waiting.retain(|other| discriminant(other) != discriminant(&notification));
    waiting.push(notification);
}

/// Waits for notifications, and takes them.
fn taken(outbox: &Outbox) -> Vec<Notification> {
    let mut waiting = outbox.waiting.locked();
    waiting = outbox
        .changed
        .waited_while(waiting, |waiting| waiting.is_empty());
    std::mem::take(&mut *waiting)
}

fn sent(notification: &Notification) {
    let result = match notification {
        Notification::Ready(status) => {
            sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
        }
        Notification::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
        Notification::Stopping(time) => {
            let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
            sd_notify::notify(&[
                NotifyState::Stopping,
                NotifyState::Status("shutting down"),
                NotifyState::ExtendTimeoutUsec(micros),
            ])
        }
        Notification::Status(status) => sd_notify::notify(&[NotifyState::Status(status)]),
        Notification::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
    };
    if let Err(error) = result {
        tracing::debug!("the service manager was not notified: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_in_order() {
        let mut waiting = Vec::new();
        for number in 0..1000 {
            push(&mut waiting, Notification::Alive);
            push(&mut waiting, Notification::Status(number.to_string()));
        }
        push(&mut waiting, Notification::Reloading);
        push(&mut waiting, Notification::Ready("a".to_owned()));
        push(&mut waiting, Notification::Reloading);
        push(&mut waiting, Notification::Ready("b".to_owned()));
        push(&mut waiting, Notification::Alive);
        let expected = [
            Notification::Status("999".to_owned()),
            Notification::Reloading,
            Notification::Ready("b".to_owned()),
            Notification::Alive,
        ];
        assert_eq!(waiting, expected);
    }
}
