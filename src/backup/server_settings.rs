//! The settings of the server that the manifest records for the steps after a restore.

use super::session::Session;
use crate::manifest::ServerSettings;
use std::path::Path;

/// Returns the settings of the server of a session.
pub(super) fn of(session: &Session<'_>) -> ServerSettings {
    let v = &session.variables;
    let elsewhere = |directory: &Path| {
        (directory != v.datadir).then(|| directory.to_string_lossy().into_owned())
    };
    let index = v.log_bin_index.as_deref().filter(|_| v.log_bin);
    let reported = v.report_port.filter(|port| *port != 0);
    ServerSettings {
        report_host: v.report_host.clone(),
        port: reported.unwrap_or(session.identity.port),
        server_id: v.server_id,
        gtid_mode: session.identity.gtid_mode.clone(),
        log_replica_updates: v.log_replica_updates,
        binary_log_directory: index
            .map(|index| v.datadir.join(index))
            .and_then(|index| elsewhere(index.parent()?)),
        redo_directory: elsewhere(&session.paths().redo_dir),
    }
}
