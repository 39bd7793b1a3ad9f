//! An empty manifest, for callers that don't know every field or don't need it: backups that
//! another program made, and tests. A backup by lsnap sets every field itself, so that a new field
//! is not forgotten.

use chrono::DateTime;

use crate::innodb::{Lsn, PageSize};
use crate::manifest::{
    BackupKind, BackupName, Layout, LsnRange, MANIFEST_FORMAT, Manifest, PageCounts, ServerIdentity,
};

impl Manifest {
    /// Returns the manifest of a full backup of an unknown server, without files, at LSN 0, for
    /// `Manifest { files, ..Manifest::blank(name) }`. [`Manifest::check`] refuses it until id and
    /// server are set.
    #[must_use]
    pub fn blank(name: BackupName) -> Self {
        Self {
            digest: String::new(),
            mac: None,
            format: MANIFEST_FORMAT,
            lsnap_version: String::new(),
            id: String::new(),
            name,
            kind: BackupKind::Full,
            base: None,
            started_at: DateTime::UNIX_EPOCH,
            finished_at: DateTime::UNIX_EPOCH,
            server: ServerIdentity::blank(),
            lsn: LsnRange {
                from_lsn: Lsn(0),
                scan_floor: Lsn(0),
                start_checkpoint: Lsn(0),
                to_lsn: Lsn(0),
                last_lsn: Lsn(0),
            },
            binlog: None,
            files: Vec::new(),
            left_out: Vec::new(),
            pages: PageCounts::default(),
            layout: Layout::default(),
            page_tracking: None,
            dictionary: None,
            replica: None,
            history: None,
            scheduled: None,
        }
    }
}

impl Manifest {
    /// Returns the same manifest without files and without the fields of the backup itself: id,
    /// base, digest and MAC. A manifest grows with the database, so the list of files is not
    /// copied.
    #[must_use]
    pub(crate) fn without_files(&self) -> Self {
        Self {
            format: self.format,
            kind: self.kind,
            started_at: self.started_at,
            finished_at: self.finished_at,
            server: self.server.clone(),
            lsn: self.lsn,
            binlog: self.binlog.clone(),
            left_out: self.left_out.clone(),
            layout: self.layout,
            page_tracking: self.page_tracking.clone(),
            dictionary: self.dictionary.clone(),
            replica: self.replica.clone(),
            history: self.history.clone(),
            ..Self::blank(self.name.clone())
        }
    }
}

impl ServerIdentity {
    /// Returns an unknown server, with pages of the default size.
    #[must_use]
    pub const fn blank() -> Self {
        Self {
            uuid: String::new(),
            version: String::new(),
            flavor: String::new(),
            hostname: String::new(),
            page_size: PageSize::DEFAULT,
            redo_format: 0,
            redo_creator: String::new(),
            redo_log_uuid: 0,
            data_file_path: String::new(),
            lower_case_table_names: 0,
            settings: None,
        }
    }
}
