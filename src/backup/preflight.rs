//! What must hold before a backup begins: a server that can be backed up, by this account, on this host.

use super::base::check_datadir;
use super::error::BackupError;
use super::options::BackupOptions;
use crate::server::{Identity, Server, Variables};

/// The server of a backup, which passed every check.
pub(super) struct Checked {
    pub server: Server,
    pub identity: Identity,
    pub variables: Variables,
}

/// Connects and checks: the version, the account's privileges, settings of the redo log without which no backup can be
/// made, and that the directory of the server is the one that this process can read.
pub(super) fn server(options: &BackupOptions) -> Result<Checked, BackupError> {
    let mut server = Server::connect_until(&options.connect, &options.cancel)?;
    let identity = server.identity()?;
    Server::check_supported(&identity, options.allow_untested)?;
    server.check_privileges()?;
    if options.stop_applier.is_some() && !server.may_stop_appliers()? {
        return Err(BackupError::Applier {
            what: "this account may not stop it: GRANT REPLICATION_SLAVE_ADMIN ON *.* to it"
                .to_owned(),
        });
    }
    if !server.redo_enabled()? {
        return Err(BackupError::RedoDisabled);
    }
    let variables = server.variables()?;
    if !variables.log_checksums {
        return Err(BackupError::LogChecksumsOff);
    }
    check_datadir(&variables.datadir, &identity)?;
    Ok(Checked {
        server,
        identity,
        variables,
    })
}

/// Makes the checks with which a backup begins, and no backup; nothing is changed. Returns what the server is.
///
/// # Errors
/// As [`run`](super::run) for the same options, as far as the server is the cause.
pub fn check_server(options: &BackupOptions) -> Result<Identity, BackupError> {
    options.priority.check()?;
    server(options).map(|checked| checked.identity)
}
