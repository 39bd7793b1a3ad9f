//! The history of backups on the server, in xtrabackup's table (`PERCONA_SCHEMA.xtrabackup_history`).

use super::error::BackupError;
use super::options::BackupReport;
use crate::cancel::Cancel;
use crate::innodb::Lsn;
use crate::manifest::{TableFilter, line_value};
use crate::server::{ConnectOptions, HistoryEntry, HistoryKey, HistoryRow, Server, ServerError};

/// The columns that have the values of `xtrabackup_info`.
const COLUMNS: [&str; 16] = [
    "uuid",
    "name",
    "tool_name",
    "tool_command",
    "tool_version",
    "ibbackup_version",
    "server_version",
    "lock_time",
    "binlog_pos",
    "innodb_from_lsn",
    "innodb_to_lsn",
    "partial",
    "incremental",
    "format",
    "compressed",
    "encrypted",
];

/// In `tool_version`, what is between the version and the UUID of the server.
const SERVER: &str = " server_uuid=";

/// The history of a server, to which a backup is to be added.
#[derive(Debug)]
pub struct BackupHistory {
    connect: ConnectOptions,
    cancel: Cancel,
    read_only: bool,
}

impl BackupHistory {
    /// Makes the table if it is missing, and checks that a row can be added. To be called before the backup, so that a
    /// missing privilege is found before the work. A read-only server gets no row, which is logged as a warning.
    ///
    /// # Errors
    /// [`BackupError::History`] with the missing privileges; an error of the server.
    pub fn open(connect: &ConnectOptions, cancel: &Cancel) -> Result<Self, BackupError> {
        let writable = Server::connect_until(connect, cancel)?.history_open();
        let writable = writable.map_err(denied)?;
        if !writable {
            warn_read_only();
        }
        Ok(Self {
            connect: connect.clone(),
            cancel: cancel.clone(),
            read_only: !writable,
        })
    }

    /// Adds a finished backup. A server that became read-only gets no row, which is logged as a warning.
    ///
    /// # Errors
    /// [`BackupError::History`]: the backup is complete, but the history lacks it.
    pub fn add(&self, report: &BackupReport) -> Result<(), BackupError> {
        if self.read_only {
            return Ok(());
        }
        let added = Server::connect_until(&self.connect, &self.cancel)
            .and_then(|mut server| server.history_add(&row(report)))
            .map_err(|error| BackupError::History {
                what: format!("the backup is complete, but could not be added: {error}"),
            })?;
        if !added {
            warn_read_only();
        }
        Ok(())
    }
}

fn warn_read_only() {
    tracing::warn!(
        "the server is read-only: the backup is not added to PERCONA_SCHEMA.xtrabackup_history"
    );
}

/// Returns the `to_lsn` of the newest backup that the key selects, for an incremental with this filter.
///
/// # Errors
/// [`BackupError::History`] if the history has no such backup, or if the newest is of another server, or partial and this
/// one is not, or the other way round; an error of the server.
pub fn history_lsn(
    connect: &ConnectOptions,
    cancel: &Cancel,
    key: &HistoryKey,
    filter: &TableFilter,
) -> Result<Lsn, BackupError> {
    let (what, value) = match key {
        HistoryKey::Name(name) => ("name", name),
        HistoryKey::Uuid(uuid) => ("uuid", uuid),
    };
    let mut server = Server::connect_until(connect, cancel)?;
    let newest = server.history_newest(key).map_err(denied)?;
    let newest = newest.ok_or_else(|| BackupError::History {
        what: format!(
            "no backup with the {what} '{value}' was found; correct it, or take a full backup first"
        ),
    })?;
    let uuid = server.identity()?.server_uuid;
    continues(&newest, &uuid, filter).map_err(|why| BackupError::History {
        what: format!("the newest backup with the {what} '{value}' {why}"),
    })?;
    Ok(newest.to_lsn)
}

/// Checks that an incremental of a server can continue a backup of the history. Rows of other programs don't have the
/// UUID of their server.
///
/// # Errors
/// The reason why it can't.
fn continues(newest: &HistoryEntry, server: &str, filter: &TableFilter) -> Result<(), String> {
    let tool = newest.tool_version.as_deref().unwrap_or_default();
    if let Some((_, of)) = tool.split_once(SERVER)
        && of != server
    {
        return Err(format!(
            "is one of server {of}, this one is {server}: their LSNs can't be compared; take a full backup of this server \
             first"
        ));
    }
    // Whether a filter that only leaves out makes a partial backup is known only later.
    match newest.partial {
        Some(true) if filter.is_empty() => Err(
            "is partial, and this one has no filter; give it the same filter, or take a whole full backup first"
                .to_owned(),
        ),
        Some(false) if filter.includes() => Err(
            "is a whole one, and this one is partial; take a full backup with the same filter first"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn denied(error: ServerError) -> BackupError {
    match error {
        ServerError::MissingPrivilege { message, .. } => BackupError::History {
            what: format!(
                "{message}; GRANT CREATE, INSERT, SELECT ON PERCONA_SCHEMA.* to the account"
            ),
        },
        other => other.into(),
    }
}

fn row(report: &BackupReport) -> HistoryRow {
    let value = |column: &'static str| {
        let text = line_value(&report.info, column).filter(|text| !text.is_empty());
        let text = text.map(|text| match (column, text) {
            ("compressed", "compressed") => "Y".to_owned(),
            ("tool_version", version) => {
                format!("{version}{SERVER}{}", report.manifest.server.uuid)
            }
            (_, other) => other.to_owned(),
        });
        (column, text)
    };
    HistoryRow {
        values: COLUMNS.into_iter().map(value).collect(),
        start_time: report.manifest.started_at.timestamp(),
        end_time: report.manifest.finished_at.timestamp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_backup_of_the_same_server_and_kind_is_continued() {
        let entry = |tool: Option<&str>, partial| HistoryEntry {
            to_lsn: Lsn(1),
            tool_version: tool.map(str::to_owned),
            partial,
        };
        let none = TableFilter::default();
        let one = TableFilter {
            databases: vec!["d".to_owned()],
            ..TableFilter::default()
        };
        let excluding = TableFilter {
            databases_exclude: vec!["lost+found".to_owned()],
            ..TableFilter::default()
        };
        let (ours, other) = (Some("0.1.0 server_uuid=u1"), Some("0.1.0 server_uuid=u2"));
        for (tool, partial, filter, words) in [
            (ours, Some(false), &none, None),
            (ours, Some(true), &one, None),
            (ours, Some(false), &excluding, None),
            (ours, Some(true), &excluding, None),
            (Some("8.4.0-4"), Some(false), &none, None),
            (None, None, &none, None),
            (
                other,
                Some(false),
                &none,
                Some("is one of server u2, this one is u1"),
            ),
            (
                ours,
                Some(true),
                &none,
                Some("is partial, and this one has no filter"),
            ),
            (
                ours,
                Some(false),
                &one,
                Some("is a whole one, and this one is partial"),
            ),
            (Some("8.4.0-4"), Some(true), &none, Some("is partial")),
        ] {
            let found = continues(&entry(tool, partial), "u1", filter);
            match words {
                None => assert_eq!(found, Ok(()), "{tool:?} {partial:?} {filter}"),
                Some(words) => assert!(found.unwrap_err().contains(words), "{words}"),
            }
        }
    }
}
