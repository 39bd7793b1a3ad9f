//! The facts and resources of one backup that all parts use. This module doesn't depend on the
//! parts.

use super::applier::StoppedAppliers;
use super::error::BackupError;
use super::options::BackupOptions;
use super::sink::Sink;
use super::wrap::WrapMode;
use crate::datadir::ServerPaths;
use crate::innodb::{Lsn, ScanFloor, StartCheckpoint};
use crate::locked::Locked;
use crate::manifest::{BackupKind, BackupName, Manifest, PageTracking};
use crate::progress::Progress;
use crate::server::{Identity, Variables};
use crate::store::PassedOver;
use chrono::{DateTime, Utc};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

/// The base of an incremental.
pub(super) enum Base {
    /// A backup with its manifest.
    Backup(Box<Manifest>),
    /// The `to_lsn` of a backup of which nothing else is known.
    Lsn(Lsn),
}

impl Base {
    /// Returns the LSN at which the incremental begins: the `to_lsn` of the base.
    pub(super) const fn to_lsn(&self) -> Lsn {
        match self {
            Self::Backup(manifest) => manifest.lsn.to_lsn,
            Self::Lsn(lsn) => *lsn,
        }
    }

    /// Returns the manifest of the base, if there is one.
    pub(super) const fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Backup(manifest) => Some(manifest),
            Self::Lsn(_) => None,
        }
    }
}

/// One backup.
pub(super) struct Session<'a> {
    pub options: &'a BackupOptions,
    pub progress: &'a dyn Progress,
    pub identity: Identity,
    pub variables: Variables,
    pub base: Option<Base>,
    pub name: BackupName,
    pub started: DateTime<Utc>,
    /// The end of the redo on disk at the time of the instance lock.
    pub flushed: Lsn,
    /// The page tracking of the server, which was started before the lock.
    pub tracking: PageTracking,
    /// Appliers that are stopped until the position is read.
    pub stopped: Mutex<Option<StoppedAppliers>>,
    /// The reason for a full or an incremental backup, if the session made the choice.
    pub why: Option<String>,
    /// Backups that are newer than the base and may be of this server.
    pub passed_over: Vec<PassedOver>,
    pub sink: Sink,
    /// Bytes that were read from the tablespaces.
    pub read_bytes: AtomicU64,
}

impl Session<'_> {
    pub(super) fn kind(&self) -> BackupKind {
        if self.base.is_some() {
            BackupKind::Incremental
        } else {
            BackupKind::Full
        }
    }

    /// Returns the LSN from which pages go into the deltas (`docs/design.md#overlap`).
    pub(super) fn floor(&self) -> Option<ScanFloor> {
        self.base.as_ref().map(|base| match base {
            // Even if its `to_lsn` is above that.
            Base::Backup(base) if self.options.overlap => {
                ScanFloor::of_base(StartCheckpoint::at(base.lsn.start_checkpoint))
            }
            Base::Backup(_) | Base::Lsn(_) => ScanFloor::at(base.to_lsn()),
        })
    }

    /// Returns the manifest of the base.
    pub(super) fn base_manifest(&self) -> Option<&Manifest> {
        self.base.as_ref().and_then(Base::manifest)
    }

    /// Starts the stopped appliers; only the first call has an effect.
    pub(super) fn start_appliers(&self) -> Result<(), BackupError> {
        let stopped = self.stopped.locked().take();
        stopped.map_or(Ok(()), |mut stopped| stopped.start())
    }

    pub(super) fn interrupted(&self) -> bool {
        self.options.cancel.is_cancelled()
    }

    /// Returns the error that caused the others, of the errors of several threads.
    pub(super) fn reason(&self, errors: impl Iterator<Item = BackupError>) -> BackupError {
        let mut errors = errors.filter(|error| !matches!(error, BackupError::Interrupted));
        match errors.next() {
            Some(error) if !self.interrupted() => error,
            _ => BackupError::Interrupted,
        }
    }

    pub(super) fn paths(&self) -> ServerPaths {
        let v = &self.variables;
        // Relative paths are relative to the datadir; an absolute path replaces it.
        let inside = |dir: &str| v.datadir.join(dir);
        ServerPaths {
            datadir: v.datadir.clone(),
            data_home: PathBuf::from(&v.innodb_data_home_dir),
            data_file_path: v.innodb_data_file_path.clone(),
            undo_dir: inside(&v.innodb_undo_directory),
            redo_dir: inside(&v.innodb_log_group_home_dir),
            doublewrite_dir: v.innodb_doublewrite_dir.as_deref().map(inside),
            temp_dir: inside(&v.innodb_temp_tablespaces_dir),
            page_size: v.page_size,
        }
    }

    /// Returns the warnings about the choice of the base.
    pub(super) fn newer_than_base(&self) -> Vec<String> {
        let base = self.base_manifest().into_iter();
        base.flat_map(|base| newer(&self.passed_over, &base.name))
            .collect()
    }

    /// Returns the wrap mode of the redo: redo that the server encrypts can't be compressed.
    pub(super) const fn redo_wrap_mode(&self) -> WrapMode {
        if self.variables.redo_log_encrypt {
            WrapMode::Ciphertext
        } else {
            WrapMode::All
        }
    }
}

/// Returns the warnings about newer backups that were not chosen as base.
pub(super) fn newer(passed_over: &[PassedOver], base: &BackupName) -> Vec<String> {
    let warning = |passed: &PassedOver| {
        format!(
            "{passed}: the incremental is made on {base}, which is older, and contains all changes since then"
        )
    };
    passed_over.iter().map(warning).collect()
}
