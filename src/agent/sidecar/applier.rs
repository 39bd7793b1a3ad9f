//! The appliers of a replica. `--safe-slave-backup` stops them for the backup, and starts them again; only a program that
//! is killed doesn't. So after a failure, those that ran before are started.

use super::children::in_memory;
use super::{Sidecar, USER, calls};
use crate::server::{ConnectOptions, FileChoice, Overrides, Server, ServerError};
use std::os::fd::AsRawFd as _;

/// Connects with the account of backups.
fn connect(sidecar: &Sidecar, password: &str) -> Result<Server, String> {
    let options = calls::client_options(password, &sidecar.option_files);
    let file = in_memory(&options).map_err(|error| error.to_string())?;
    let choice = FileChoice {
        defaults_file: Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into()),
        ..FileChoice::default()
    };
    let overrides = Overrides {
        user: Some(USER.to_owned()),
        ..Overrides::default()
    };
    let failed = |error: ServerError| error.to_string();
    let options = ConnectOptions::load(&choice, &overrides, None).map_err(failed)?;
    Server::connect_until(&options, &sidecar.cancel).map_err(failed)
}

/// Returns the channels whose applier runs.
///
/// # Errors
/// The server can't be reached.
pub(super) fn running(sidecar: &Sidecar, password: &str) -> Result<Vec<String>, String> {
    let mut server = connect(sidecar, password)?;
    let replica = server.replica().map_err(|error| error.to_string())?;
    let running = replica.channels.into_iter().filter(|c| c.applier_runs);
    Ok(running.map(|channel| channel.name).collect())
}

/// Starts the appliers of these channels.
///
/// # Errors
/// One of them can't be started.
pub(super) fn start(sidecar: &Sidecar, password: &str, channels: &[String]) -> Result<(), String> {
    if channels.is_empty() {
        return Ok(());
    }
    let mut server = connect(sidecar, password)?;
    for channel in channels {
        server
            .start_applier(channel)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
