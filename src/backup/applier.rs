//! Holds the appliers of a replica until the position is read (`--safe-slave-backup`).
//!
//! An applier that is stopped has a position that is certain, and no temporary tables that later statements of
//! its source count on. The server refuses to stop it while the instance is locked for a backup (error 3857), but
//! starts it: so it is stopped before the lock, as xtrabackup does, and started when the position is read, or in
//! any other ending of the backup.
//!
//! `STOP REPLICA` returns when the applier has finished what it was applying, which may take as long as the
//! source's longest transaction. It can't be taken back: when the connection ends, the server goes on stopping.
//! So it runs on a connection of its own, and whoever must give up sends `START REPLICA` on another one: the
//! server carries it out as soon as the stop is done, even if nobody waits for the answer.

use super::error::BackupError;
use crate::cancel::Cancel;
use crate::server::{ConnectOptions, Server, ServerError};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often the temporary tables are looked at.
const POLL: Duration = Duration::from_millis(100);
/// How long the answer to `START REPLICA` is waited for.
const START_WAIT: Duration = Duration::from_secs(20);

/// Appliers that were running and are stopped. They are started when it is dropped.
pub(super) struct StoppedAppliers {
    connect: ConnectOptions,
    channels: Vec<String>,
}

impl StoppedAppliers {
    /// Stops every applier that runs, and makes sure that none has temporary tables open.
    ///
    /// # Errors
    /// [`BackupError::Applier`] if that takes longer than `limit`, [`BackupError::Interrupted`], a missing
    /// privilege. The appliers run again then.
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
                    // From now on it may stop at any time.
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
                    "the applier had temporary tables open whenever it was looked at".to_owned(),
                ));
            }
            if cancel.wait(POLL) {
                return Err(BackupError::Interrupted);
            }
        }
    }

    /// Whether it stopped in time.
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

    /// Starts them again.
    ///
    /// # Errors
    /// [`BackupError::Applier`] with the statement to run where that was not possible.
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
                "the applier was stopped for the backup and could not be started again: {}; look at SHOW REPLICA \
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

/// Runs a statement for a channel on a connection of its own.
fn send(
    connect: &ConnectOptions,
    name: &str,
    statement: impl FnOnce(&mut Server, &str) -> Result<(), ServerError> + Send + 'static,
) -> Receiver<Result<(), ServerError>> {
    let (answer, answered) = channel();
    let (connect, name) = (connect.clone(), name.to_owned());
    std::thread::spawn(move || {
        let done = Server::connect(&connect).and_then(|mut server| statement(&mut server, &name));
        // Nobody may wait for it any more.
        let _ = answer.send(done);
    });
    answered
}
