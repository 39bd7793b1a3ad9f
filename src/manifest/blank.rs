//! A manifest of nothing, to be filled in where not every field is known or matters: of a backup that another
//! program made, and in tests. A backup of this program names every field, so that a new one is not forgotten.

use chrono::DateTime;

use crate::innodb::{Lsn, PageSize};
use crate::manifest::{
    BackupKind, BackupName, Layout, LsnRange, MANIFEST_FORMAT, Manifest, PageCounts, ServerIdentity,
};

impl Manifest {
    /// The manifest of a full backup of an unknown server, without files, at LSN 0: for
    /// `Manifest { files, ..Manifest::blank(name) }`. Until id and server are filled in it is refused by
    /// [`Manifest::check`].
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
        }
    }
}

impl Manifest {
    /// The same manifest without files, and without what belongs to the backup itself: id, base, digest and MAC. A
    /// manifest grows with the database, so its files aren't copied to be thrown away.
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
    /// An unknown server, with pages of the default size.
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
        }
    }
}
