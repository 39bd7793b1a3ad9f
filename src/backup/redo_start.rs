//! Where the redo of a backup starts: at the newest checkpoint of the server.
//!
//! The server may reuse the redo behind a checkpoint before the follower has read it. As long as no page was read,
//! nothing is lost by a start at a newer checkpoint, so the backup begins there.

use super::error::BackupError;
use super::redo::Follower;
use super::redo_files::{RedoFiles, StartPoint};
use super::spool::Spool;
use crate::innodb::{Lsn, redo};
use crate::progress::{Phase, Progress};
use std::path::Path;
use std::sync::Arc;

/// How often a backup begins, at most.
const STARTS: u32 = 10;

/// The files that a follower begins with.
pub(super) struct Origin<'a> {
    /// The server's `#innodb_redo`.
    pub redo_dir: &'a Path,
    /// Where the redo waits until it is stored.
    pub spool_dir: &'a Path,
    /// The time of the backup, as the header of the redo has it.
    pub stamp: &'a str,
}

/// A follower that has reached the end of the redo log: pages may be read from now on.
pub(super) struct Started {
    pub start: StartPoint,
    /// What the follower has copied so far, from the header on.
    pub spool: Arc<Spool>,
    pub follower: Follower,
}

/// Follows the redo from the newest checkpoint to the end of the log. `check` looks at each checkpoint that is tried,
/// and returns the end of the log.
///
/// # Errors
/// Those of `check`; [`BackupError::RedoOverwritten`] if the server reused the redo of every checkpoint that was tried.
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
        // A spool of its own: nothing of an earlier start may be in it.
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
                    "the server reused redo log that was just to be read: beginning again at a newer checkpoint",
                );
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
#[path = "redo_start_tests.rs"]
mod tests;
