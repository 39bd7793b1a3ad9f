//! Stops the appliers of a replica until the position is read (`BackupOptions::stop_applier`).
//!
//! The position of a stopped applier is exact, and a stopped applier has no temporary tables that
//! later statements of its source need. The server refuses to stop an applier while the instance is
//! locked for a backup (error 3857), but allows starting one. So the appliers are stopped before
//! the lock, as xtrabackup does, and started when the position has been read or the backup ends for
//! any other reason.
//!
//! `STOP REPLICA` returns when the applier has finished the transaction in progress, which may take
//! as long as the longest transaction of the source. It can't be revoked: if the connection ends,
//! the server continues to stop the applier. So the statement runs on its own connection, and a
//! caller that gives up sends `START REPLICA` on another one: the server executes it as soon as the
//! stop is complete, even if no client waits for the result.

use super::error::BackupError;
use crate::cancel::Cancel;
use crate::server::{ConnectOptions, Server, ServerError};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Interval between two checks for temporary tables.
const POLL: Duration = Duration::from_millis(100);
/// Time limit for the answer to `START REPLICA`.
const START_WAIT: Duration = Duration::from_secs(20);

/// Stopped appliers that were running before. Dropping this value starts them again.
pub(super) struct StoppedAppliers {
    connect: ConnectOptions,
    channels: Vec<String>,
}

impl StoppedAppliers {
    /// Stops every running applier, and checks that none has temporary tables open.
    ///
    /// # Errors
    /// [`BackupError::Applier`] if it takes longer than `limit`; [`BackupError::Interrupted`]; an
    /// error of the server if a privilege is missing. In each case the appliers are started again.
    pub(super) fn stop(
        server: &mut Server,
        connect: &ConnectOptions,
        limit: Duration,
        cancel: &Cancel,
    ) -> Result<Self, BackupError> {
        let end = Instant::now() + limit;
        let running = server.replica()?.channels.into_iter();
        let running = running.filter(|c| c.applier_runs).map(|c| c.name);
        let mut this = Self {
            connect: connect.clone(),
            channels: running.collect(),
        };
        let names = std::mem::take(&mut this.channels);
        let late = |what: String| BackupError::Applier {
            what: format!("{what} for {} s", limit.as_secs()),
        };
        loop {
            let open = server.replica_open_temp_tables()?;
            if open == 0 || names.is_empty() {
                for name in &names {
                    // From here on it may stop at any time.
                    this.channels.push(name.clone());
                    if !this.stop_one(name, end, cancel)? {
                        return Err(late(format!(
                            "the applier of channel '{name}' did not stop"
                        )));
                    }
                }
                let open = server.replica_open_temp_tables()?;
                if open == 0 {
                    return Ok(this);
                }
                this.start()?;
            }
            if Instant::now() > end {
                return Err(late(
                    "the applier had temporary tables open at every check".to_owned(),
                ));
            }
            if cancel.wait(POLL) {
                return Err(BackupError::Interrupted);
            }
        }
    }

    /// Stops the applier of one channel; returns whether it stopped before `end`.
    fn stop_one(&self, name: &str, end: Instant, cancel: &Cancel) -> Result<bool, BackupError> {
        let stopping = send(&self.connect, name, Server::stop_applier);
        loop {
            match stopping.recv_timeout(POLL) {
                Ok(answer) => return answer.map(|()| true).map_err(BackupError::from),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(BackupError::Panicked("applier"));
                }
                Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => {
                    return Err(BackupError::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > end => return Ok(false),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Starts the appliers again.
    ///
    /// # Errors
    /// [`BackupError::Applier`] with the statement to run, if an applier can't be started.
    pub(super) fn start(&mut self) -> Result<(), BackupError> {
        let mut failed = Vec::new();
        for name in std::mem::take(&mut self.channels) {
            match send(&self.connect, &name, Server::start_applier).recv_timeout(START_WAIT) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed.push(format!("channel '{name}': {error}")),
                Err(_) => failed.push(format!(
                    "channel '{name}': the server is still stopping it and starts it afterwards"
                )),
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(BackupError::Applier {
            what: format!(
                "the applier was stopped for the backup and could not be started again: {}; check SHOW REPLICA \
                 STATUS and run START REPLICA SQL_THREAD",
                failed.join("; ")
            ),
        })
    }
}

impl Drop for StoppedAppliers {
    fn drop(&mut self) {
        if let Err(error) = self.start() {
            tracing::error!("{error}");
        }
    }
}

/// Runs a statement for a channel on its own connection.
fn send(
    connect: &ConnectOptions,
    name: &str,
    statement: impl FnOnce(&mut Server, &str) -> Result<(), ServerError> + Send + 'static,
) -> Receiver<Result<(), ServerError>> {
    let (answer, answered) = channel();
    let (connect, name) = (connect.clone(), name.to_owned());
    std::thread::spawn(move || {
        let done = Server::connect(&connect).and_then(|mut server| statement(&mut server, &name));
        // The receiver may have been dropped.
        let _ = answer.send(done);
    });
    answered
}
