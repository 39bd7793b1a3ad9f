//! The sidecar for Percona's operator for MySQL: the HTTP API that its operator and its jobs call (port 6450).
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | the body of a request: where a backup is stored, and how |
//! | [`name`] | names of backups and destinations |
//! | [`calls`] | the arguments and the option file of each program |
//! | [`children`] | the programs: started, tied to this process, their messages in the log |
//! | [`work`] | a backup, a deletion, the checkpoint |
//! | [`key_file`] | waits for the encryption key |
//! | [`applier`] | starts the appliers of a replica again |
//! | [`running`] | the backup that runs; there is at most one |
//! | [`http`] | the requests |
//!
//! A backup is `lsnap xtrabackup --backup | lsnap xbcloud put`, with the options that the operator's own sidecar gives.
//! Secrets are not arguments: they are in a file in memory, which the program reads as its option file.
//!
//! A backup goes on if its client goes away, and the next request for it gets 409 while it runs, and 200 after it.
//!
//! Differences from the operator's sidecar, on purpose:
//!
//! - `GET` doesn't return secrets.
//! - A request for a destination with a finished backup gets 200, and nothing is changed. Unfinished objects are removed
//!   first.
//! - After a failure, the objects that this backup stored are removed.
//! - `DELETE` of a destination to which a backup runs gets 409.

mod applier;
mod calls;
mod checkpoint;
mod children;
mod config;
mod http;
mod key_file;
mod name;
mod running;
#[cfg(test)]
mod tests;
mod work;

use super::settings::{Program, SidecarSettings};
use crate::cancel::Cancel;
use std::path::PathBuf;
use std::time::Duration;

/// The operator's file with the options of the cluster's custom resource.
const CUSTOM_OPTIONS: &str = "/etc/mysql/config/my-config.cnf";
/// The account of backups.
const USER: &str = "xtrabackup";

/// The parts that all requests share.
#[derive(Debug)]
struct Sidecar {
    settings: SidecarSettings,
    program: Program,
    /// Option files that are read before the secrets, if they exist.
    option_files: Vec<PathBuf>,
    /// Whether replication is asynchronous, by the operator's `CLUSTER_TYPE`.
    asynchronous: bool,
    running: running::Running,
    /// The time for the headers of a request, and for its body.
    patience: Duration,
    cancel: Cancel,
}

/// Serves the API until `cancel` is cancelled. Then the running backup is cancelled, and new ones get 503 until it has
/// ended. Blocks its thread.
///
/// # Errors
/// The address can't be used, or the directory of logs can't be created.
pub(crate) fn serve(
    settings: SidecarSettings,
    program: Program,
    cancel: &Cancel,
) -> std::io::Result<()> {
    std::fs::create_dir_all(&settings.log_dir)?;
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".my.cnf"));
    let global = ["/etc/my.cnf", "/etc/mysql/my.cnf", CUSTOM_OPTIONS];
    let sidecar = Sidecar {
        option_files: global.map(PathBuf::from).into_iter().chain(home).collect(),
        asynchronous: std::env::var("CLUSTER_TYPE").is_ok_and(|kind| kind == "async"),
        running: running::Running::default(),
        patience: http::PATIENCE,
        cancel: cancel.clone(),
        settings,
        program,
    };
    http::serve(sidecar)
}
