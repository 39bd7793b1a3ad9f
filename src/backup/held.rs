//! The session that holds the locks, watched while others work.
//!
//! Locks end with the session. If it is lost, DDL runs again, and what was copied and what will be copied are no
//! longer of one server. A copy may take hours; so the session is asked all the time, and the work ends with it.

use super::error::BackupError;
use crate::cancel::Cancel;
use crate::server::{Server, ServerError};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How often the session is asked.
const EVERY: Duration = Duration::from_secs(2);

/// Does `work` while the session is watched. When the session is lost, `parts` is cancelled, which must end the work.
///
/// # Errors
/// [`BackupError::SessionLost`], which comes before an error of the work; else that.
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

/// Until the other end of `ended` is dropped, and once more then: the work was done under the locks.
fn watch(server: &mut Server, ended: &Receiver<()>) -> Result<(), ServerError> {
    loop {
        let is_over = ended.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
        server.still_there()?;
        if is_over {
            return Ok(());
        }
    }
}
