//! Watches the session that holds the locks during the copy.
//!
//! Locks end with the session. If it is lost, DDL can run again, and the files copied before and
//! after are no longer consistent. A copy may take hours; so the session is checked periodically,
//! and the work is cancelled when the session ends.

use super::error::BackupError;
use crate::cancel::Cancel;
use crate::server::{Server, ServerError};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Interval between two checks of the session.
const INTERVAL: Duration = Duration::from_secs(2);

/// Runs `work` while the session is watched. If the session is lost, `parts` is cancelled, which
/// must end the work.
///
/// # Errors
/// [`BackupError::SessionLost`], which takes precedence over an error of the work; otherwise the
/// error of the work.
pub(super) fn while_held<T>(
    server: &mut Server,
    parts: &Cancel,
    work: impl FnOnce() -> Result<T, BackupError>,
) -> Result<T, BackupError> {
    std::thread::scope(|scope| {
        let (done, ended) = channel();
        let watching = scope.spawn(move || {
            let watched = watch(server, &ended);
            if watched.is_err() {
                parts.cancel();
            }
            watched
        });
        let worked = work();
        drop(done);
        let watched = watching.join();
        match watched.map_err(|_| BackupError::Panicked("session"))? {
            Ok(()) => worked,
            Err(ServerError::Interrupted { .. }) => Err(BackupError::Interrupted),
            Err(lost) => Err(BackupError::SessionLost(lost)),
        }
    })
}

/// Checks the session until the other end of `ended` is dropped, and once more after that: this
/// proves that the work was done under the locks.
fn watch(server: &mut Server, ended: &Receiver<()>) -> Result<(), ServerError> {
    loop {
        let is_over = ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
        server.check_session()?;
        if is_over {
            return Ok(());
        }
    }
}
