//! The start of a backup's redo: the newest checkpoint of the server.
//!
//! The server may reuse the redo after a checkpoint before the follower has read it. As long as no
//! page was read, a start at a newer checkpoint loses nothing, so the backup starts again there.

use super::error::BackupError;
use super::redo::Follower;
use super::redo_files::{RedoFiles, StartPoint};
use super::spool::Spool;
use crate::innodb::{Lsn, redo};
use crate::progress::{Phase, Progress};
use std::path::Path;
use std::sync::Arc;

/// Maximum number of starts.
const STARTS: u32 = 10;

/// The directories that a follower uses, and the time of the backup.
pub(super) struct Origin<'a> {
    /// The server's `#innodb_redo`.
    pub redo_dir: &'a Path,
    /// Directory for the redo until it is stored.
    pub spool_dir: &'a Path,
    /// The time of the backup, in the notation of the redo header.
    pub stamp: &'a str,
}

/// A follower that has reached the end of the redo log: pages may be read after that.
pub(super) struct Started {
    pub start: StartPoint,
    /// The redo copied so far, from the header on.
    pub spool: Arc<Spool>,
    pub follower: Follower,
}

/// Follows the redo from the newest checkpoint to the end of the log. `check` verifies each
/// checkpoint that is tried, and returns the end of the log.
///
/// # Errors
/// Errors of `check`; [`BackupError::RedoOverwritten`] if the server reused the redo of every
/// checkpoint that was tried.
pub(super) fn begin(
    from: &Origin<'_>,
    progress: &dyn Progress,
    mut check: impl FnMut(&RedoFiles, &StartPoint) -> Result<Lsn, BackupError>,
) -> Result<Started, BackupError> {
    let mut starts = 0;
    loop {
        starts += 1;
        let files = RedoFiles::open(from.redo_dir)?;
        let start = files.start_point()?;
        let end = check(&files, &start)?;
        let checkpoint = start.checkpoint.lsn();
        // A new spool for each start: it must not contain redo of an earlier one.
        let spool = Arc::new(Spool::new(from.spool_dir)?);
        spool.append(&redo::logfile_header(
            &start.header,
            checkpoint,
            from.stamp,
        )?)?;
        let mut follower = Follower::new(files, &start, Arc::clone(&spool));
        let behind = end.0.saturating_sub(checkpoint.0);
        progress.phase(Phase::RedoCatchUp, Some(behind));
        match follower.catch_up(|n| progress.advance(Phase::RedoCatchUp, n)) {
            Ok(()) => {
                return Ok(Started {
                    start,
                    spool,
                    follower,
                });
            }
            Err(error @ BackupError::RedoOverwritten { .. }) if starts < STARTS => {
                tracing::debug!("{error}");
                progress.note(
                    "the server reused redo log before it was read: starting again at a newer checkpoint",
                );
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
#[path = "redo_start_tests.rs"]
mod tests;
