//! Chooses the pages that an incremental reads from the server's page tracking
//! (`docs/design.md#page-tracking`).
//!
//! Pages that are not in the list need not be read, for the following reasons. Let T0 be the time
//! at which the base started page tracking (before it chose its start checkpoint, which is the scan
//! floor, and before it read its first page), R this backup's start checkpoint, and Q the time at
//! which the list is requested: after R was chosen, after DDL was locked out, before the first page
//! is read. The list contains every page that was written to its file between the reset point at or
//! below the floor and Q.
//! - A change below R was written to its file before R became a checkpoint, so before Q. So its
//!   page is in the list, or was last written before the reset point; then the base has it.
//! - A change above R is in the redo of this backup, independent of when it is written.
//! - Changes without redo (the sorted build of an index) are written before their DDL ends, so
//!   before Q.
//!
//! So the pages that are read are a superset of the necessary ones; the LSN filter of the scan
//! stays, and the result is that of a scan. Files that the list can't cover are read as a whole:
//! files that the base doesn't have (by their ids), the data dictionary, and files so small that
//! one read is sufficient. Writes that the server may not have listed are searched by
//! [`super::spot_check`]. In case of doubt, everything is scanned: if the server was restarted
//! since the base (it lists the pages that its recovery writes, but not those from the doublewrite
//! files), if tracking was interrupted, if the list is shorter than the server's own count, or if
//! another tool reads it at the same time.

use super::changed::{ChangedPages, ENTRY};
use super::error::BackupError;
use super::options::{BackupOptions, TrackingChoice};
use super::session::{Base, Session};
use super::spaces::SpaceToCopy;
use super::{spot_check, tracking_limit};
use crate::counted;
use crate::datadir::{Tablespace, TablespaceKind};
use crate::innodb::{Lsn, ScanFloor};
use crate::manifest::{Manifest, PageTracking};
use crate::progress::Progress;
use crate::server::{Server, ServerError};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Files up to this length (a new table has seven pages) are read as a whole, in bytes.
const SMALL: u64 = 128 << 10;
/// Time that a backup that starts tracking waits for the server's checkpoint to pass the start of
/// tracking, so that the next incremental can use it.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// The directory of the component's result files, relative to the datadir.
const RESULTS: &str = "#meb";
/// The first digits of ids of lsnap: a file with such an id was left behind by an lsnap.
const LSNAP_ID: &str = "57627";
/// Number of digits of an id of lsnap; ids of other tools are shorter.
const ID_DIGITS: usize = 20;
/// If the file system has less free space than this after the list was written, the list may be cut
/// off, in bytes.
const FREE: u64 = 1 << 20;

/// The cause why page tracking isn't used.
enum Unused {
    /// A scan is possible instead.
    Reason(String),
    /// A scan is possible instead: the server's list does not reach back to the floor.
    Gap,
    /// The backup fails.
    Failure(BackupError),
}

impl From<BackupError> for Unused {
    fn from(error: BackupError) -> Self {
        Self::Failure(error)
    }
}

impl From<ServerError> for Unused {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Interrupted { .. } => Self::Failure(error.into()),
            gone if gone.is_gone() => Self::Failure(gone.into()),
            ServerError::PageTrackingGap { .. } => Self::Gap,
            other => Self::Reason(other.to_string()),
        }
    }
}

/// Starts page tracking in the server, if it is requested and possible.
///
/// # Errors
/// A lost connection; every other cause if `BackupOptions::page_tracking` is
/// [`TrackingChoice::On`].
pub(super) fn begin(
    server: &mut Server,
    datadir: &Path,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<PageTracking, BackupError> {
    let without = |reason| PageTracking {
        reason: Some(reason),
        ..PageTracking::default()
    };
    if options.page_tracking == TrackingChoice::Off {
        return Ok(without("switched off (TrackingChoice::Off)".to_owned()));
    }
    match start(server, datadir, options, progress) {
        Ok(begun) => Ok(begun),
        Err(unused) => unused.report(options.page_tracking, progress).map(without),
    }
}

impl Unused {
    /// Reports the reason and returns it; with [`TrackingChoice::On`] it is an error.
    fn report(
        self,
        choice: TrackingChoice,
        progress: &dyn Progress,
    ) -> Result<String, BackupError> {
        match self {
            Self::Failure(error) => Err(error),
            Self::Gap => Self::Reason("pages were not tracked without a gap".to_owned())
                .report(choice, progress),
            Self::Reason(reason) if choice == TrackingChoice::On => {
                Err(BackupError::PageTracking { reason })
            }
            Self::Reason(reason) => {
                progress.note(&format!("page tracking is not used: {reason}"));
                Ok(reason)
            }
        }
    }
}

fn start(
    server: &mut Server,
    datadir: &Path,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<PageTracking, Unused> {
    // Fails if the component isn't installed.
    server.page_tracking_id()?;
    // Tracking must not be started if the account can't read the list.
    if !server.may_set_global_variables()? {
        return Err(Unused::Reason(
            "the account lacks the privilege to set mysqlbackup.backupid: GRANT SYSTEM_VARIABLES_ADMIN ON *.* to it"
                .to_owned(),
        ));
    }
    // A reset point beyond the limit may prevent the next start of the server.
    tracking_limit::check(datadir).map_err(Unused::Reason)?;
    let since = server.page_tracking_begin()?;
    let end = Instant::now() + CHECKPOINT_WAIT;
    // True immediately if pages were tracked before.
    loop {
        let checkpoint = server.checkpoint_lsn()?;
        if server.page_tracking_covers(checkpoint)? || options.cancel.is_cancelled() {
            break;
        }
        if Instant::now() > end {
            progress.note(&format!(
                "page tracking began at LSN {since}, above the server's checkpoint {checkpoint}: the next incremental \
                 will scan"
            ));
            break;
        }
        let _ = options.cancel.wait(POLL);
    }
    Ok(PageTracking {
        used: false,
        reason: None,
        since: Some(since),
        server_started: Some(server.started_at()?),
    })
}

impl Session<'_> {
    /// Sets the pages to read of each file, if page tracking can be used; otherwise the files are
    /// read as a whole. Returns the record for the manifest.
    pub(super) fn changed_pages(
        &self,
        server: &mut Server,
        spaces: &mut [SpaceToCopy],
    ) -> Result<PageTracking, BackupError> {
        let mut tracking = self.tracking.clone();
        let (Some(base), Some(floor), Some(_)) = (&self.base, self.floor(), tracking.since) else {
            return Ok(tracking);
        };
        let Base::Backup(base) = base else {
            // The server's list lacks pages if the server was restarted since the base, and the time of
            // the base is not known.
            let reason =
                "only the LSN of the base is known, so the server may have been restarted since";
            self.progress
                .note(&format!("page tracking is not used: {reason}"));
            tracking.reason = Some(reason.to_owned());
            return Ok(tracking);
        };
        match self.list_changed_pages(server, base, floor, spaces) {
            Ok(changed) => {
                changed.accept();
                tracking.used = true;
            }
            Err(unused) => {
                tracking.reason = Some(unused.report(self.options.page_tracking, self.progress)?);
            }
        }
        Ok(tracking)
    }

    fn list_changed_pages<'s>(
        &self,
        server: &mut Server,
        base: &Manifest,
        floor: ScanFloor,
        spaces: &'s mut [SpaceToCopy],
    ) -> Result<ChangedPages<'s>, Unused> {
        let from = self.reset_point(base, floor)?;
        server.page_tracking_claim()?;
        let known = |file: &SpaceToCopy| file.floor == Some(floor) && is_listed(&file.space);
        let mut changed = ChangedPages::new(spaces, known);
        let checked = self
            .list(server, from, &mut changed)
            .and_then(|()| self.check(server, from, &mut changed))
            .map_err(|unused| explained(unused, base, from, floor));
        // An error of the list is more useful than one of the release.
        let released = server.page_tracking_release();
        checked?;
        released?;
        Ok(changed)
    }

    /// Returns an LSN at or just above the reset point to use: at or below the floor, and without a
    /// restart of the server since.
    fn reset_point(&self, base: &Manifest, floor: ScanFloor) -> Result<Lsn, Unused> {
        let told = base.page_tracking.as_ref();
        let of_base = told.and_then(|t| Some((t.since?, t.server_started?)));
        let Some((since, started)) = of_base else {
            return Err(Unused::Reason(format!(
                "pages were not tracked when the base {} was made",
                base.name
            )));
        };
        if self.tracking.server_started != Some(started) {
            return Err(Unused::Reason(format!(
                "the server was restarted since the base {}",
                base.name
            )));
        }
        Ok(since.min(floor.lsn()))
    }

    /// Adds the pages that the server lists from the reset point at or below `from` up to now.
    fn list(
        &self,
        server: &mut Server,
        from: Lsn,
        changed: &mut ChangedPages<'_>,
    ) -> Result<(), Unused> {
        let dir = self.variables.datadir.join(RESULTS);
        refuse_others(server, &dir)?;
        let file = ResultFile::new(&dir);
        let least = server.write_changed_pages(&file.id, from)?;
        let entries = match File::open(&file.path) {
            Ok(list) => changed.add_list(list).map_err(|e| file.unusable(&e))?,
            // No page was listed.
            Err(e) if e.kind() == ErrorKind::NotFound => 0,
            Err(e) => return Err(file.unusable(&e)),
        };
        let free = rustix::fs::statvfs(&dir).map(|s| s.f_bavail.saturating_mul(s.f_frsize));
        if entries < least || (entries > 0 && free.is_ok_and(|free| free < FREE)) {
            return Err(Unused::Reason(format!(
                "{} holds {entries}, at least {least} were expected: the disk is full, or another tool set \
                 mysqlbackup.backupid",
                file.path.display(),
                entries = counted::count(entries, "page")
            )));
        }
        tracing::debug!(entries, bytes = entries * ENTRY as u64, %from, "changed pages listed");
        Ok(())
    }

    /// Reads some pages that aren't listed. If one has changed, requests a second list, because the
    /// page may have been written after the first.
    fn check(
        &self,
        server: &mut Server,
        from: Lsn,
        changed: &mut ChangedPages<'_>,
    ) -> Result<(), Unused> {
        let (mode, cancel) = (self.options.mode, &self.options.cancel);
        let unlisted_pages = spot_check::unlisted_pages(changed, from, mode, cancel)?;
        if unlisted_pages.is_empty() {
            return Ok(());
        }
        self.list(server, from, changed)?;
        let unlisted = unlisted_pages.iter().find_map(|page| {
            let file = changed.file(page.file)?;
            let is_listed = file.pages.as_ref()?.has(page.page);
            (!is_listed).then_some((page, file.space()))
        });
        let Some((missed, space)) = unlisted else {
            return Ok(());
        };
        let reason = format!(
            "page {} of {} was written at LSN {}, but is not among the pages that are tracked from LSN {from} \
             on: the file was not written by the server, or the server's list is wrong",
            missed.page, space.name, missed.lsn
        );
        tracing::warn!("{reason}");
        Err(Unused::Reason(reason))
    }
}

/// Explains why the server's list does not reach back to the floor. The server returns one code for
/// all causes; if tracking started after the base had chosen its start checkpoint, that is the
/// cause.
fn explained(unused: Unused, base: &Manifest, from: Lsn, floor: ScanFloor) -> Unused {
    let since = base.page_tracking.as_ref().and_then(|t| t.since);
    match (unused, since) {
        (Unused::Gap, Some(since)) if since > floor.lsn() => Unused::Reason(format!(
            "page tracking began at LSN {since}, after the start checkpoint {floor} of the base {}; the next \
             incremental can use it",
            base.name
        )),
        (Unused::Gap, _) => Unused::Reason(format!(
            "pages were not tracked without a gap from LSN {from} on (tracking was stopped, or its data were purged), \
             or nothing was written since then"
        )),
        (other, _) => other,
    }
}

/// Returns whether the server lists each write to the file, and the list saves reads of it.
fn is_listed(ts: &Tablespace) -> bool {
    ts.kind != TablespaceKind::Dictionary && ts.bytes > SMALL
}

/// Refuses to replace the id of another tool: setting an id removes the file of the previous one,
/// which that tool may not have read yet.
fn refuse_others(server: &mut Server, dir: &Path) -> Result<(), Unused> {
    let Some(id) = server.page_tracking_id()? else {
        return Ok(());
    };
    let ours = id.len() == ID_DIGITS && id.starts_with(LSNAP_ID);
    let file = dir.join(format!("{id}.idx"));
    if ours || !id.bytes().all(|b| b.is_ascii_digit()) || file.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Unused::Reason(format!(
        "{} belongs to another tool, and the server would remove it: remove it when that tool is done",
        file.display()
    )))
}

/// The list that the server writes for this backup; removed when dropped.
struct ResultFile {
    id: String,
    path: PathBuf,
}

impl ResultFile {
    fn new(dir: &Path) -> Self {
        let random = uuid::Uuid::new_v4().as_u128() % 10u128.pow(15);
        let id = format!("{LSNAP_ID}{random:015}");
        Self {
            path: dir.join(format!("{id}.idx")),
            id,
        }
    }

    fn unusable(&self, error: &std::io::Error) -> Unused {
        Unused::Reason(format!("{} can't be read: {error}", self.path.display()))
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!("{} can't be removed: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{full_name, manifest};

    #[test]
    fn a_start_of_tracking_after_the_base_is_reported() {
        let mut base = manifest(&full_name(1), None, 7, Vec::new());
        let why = |base: &Manifest, floor: u64| match explained(
            Unused::Gap,
            base,
            Lsn(floor),
            ScanFloor::at(Lsn(floor)),
        ) {
            Unused::Reason(why) => why,
            _ => panic!("no reason"),
        };
        base.page_tracking = Some(PageTracking {
            since: Some(Lsn(500)),
            ..PageTracking::default()
        });
        let late = why(&base, 400);
        assert!(late.contains("began at LSN 500"), "{late}");
        assert!(!late.contains("stopped"), "{late}");
        for floor in [500, 600] {
            let gap = why(&base, floor);
            assert!(gap.contains("tracking was stopped"), "{gap}");
        }
    }
}
