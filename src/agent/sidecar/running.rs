//! The backup that runs. There is at most one.

use super::config::BackupConfig;
use crate::locked::Locked;
use std::sync::{Arc, Condvar, Mutex};

/// The place of the backup that runs. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    backup: Mutex<Option<BackupConfig>>,
    ended: Condvar,
}

/// The place is taken as long as this exists.
#[derive(Debug)]
pub(super) struct Taken(Running);

impl Running {
    /// Takes the place, if it is free.
    pub(super) fn take(&self, config: &BackupConfig) -> Option<Taken> {
        let mut backup = self.0.backup.locked();
        if backup.is_some() {
            return None;
        }
        *backup = Some(config.clone());
        drop(backup);
        Some(Taken(self.clone()))
    }

    /// Returns the backup that runs, without secrets.
    pub(super) fn shown(&self) -> Option<serde_json::Value> {
        self.0.backup.locked().as_ref().map(BackupConfig::public)
    }

    /// Returns whether the backup that runs has this destination.
    pub(super) fn is_to(&self, destination: &str) -> bool {
        let backup = self.0.backup.locked();
        backup
            .as_ref()
            .is_some_and(|b| b.destination == destination)
    }

    /// Waits until no backup runs.
    pub(super) fn wait(&self) {
        use crate::locked::Waited as _;
        let backup = self.0.backup.locked();
        drop(self.0.ended.waited_while(backup, |backup| backup.is_some()));
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.0.0.backup.locked() = None;
        self.0.0.ended.notify_all();
    }
}
