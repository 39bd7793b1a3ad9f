//! Which pages an incremental reads when the server tracks them (`docs/design.md#page-tracking`).
//!
//! Why what the list leaves out need not be read. Let T0 be the moment at which the base asked the server
//! to track (it did before it chose its start checkpoint, which is its scan floor, and before it read its
//! first page), R this backup's start checkpoint, and Q the moment at which the list is asked for: after R
//! was chosen, after DDL was locked out, before the first page is read. The list holds every page that was
//! written to its file between the reset point at or below the floor and Q.
//! - A change below R was written to its file before R became a checkpoint, so before Q: its page is in the
//!   list, or was last written before the reset point, and then the base has it.
//! - A change above R is in the redo of this backup, whenever it is written.
//! - Changes without redo (the sorted build of an index) are written before their DDL ends, so before Q.
//!
//! So the pages that are read are a superset of what must be; the LSN filter of the scan stays, and what the
//! scan would have found is found. What the list can't know is read as a whole: files that the base doesn't
//! know (by their ids), the data dictionary, and files so small that one read takes all of it. What the
//! server could have done without listing it is looked for in [`super::spot_check`]. Where anything is in
//! doubt, everything is scanned: the server was restarted since the base (it lists the pages that its
//! recovery writes, but not the ones that come from the doublewrite files), tracking was interrupted, its
//! list is shorter than its own count, another tool reads it at the same time.

use super::changed::{ChangedPages, ENTRY};
use super::error::BackupError;
use super::options::{BackupOptions, TrackingChoice};
use super::session::Session;
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
/// How long a backup that begins tracking waits for the server's checkpoint to pass the beginning, so that
/// the next incremental can use it.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// Where the component writes, in the datadir.
const RESULTS: &str = "#meb";
/// The first digits of an id of ours: what lies under such an id, an lsnap left behind.
const OURS: &str = "57627";
/// Length of an id of ours; no other tool's are as long.
const ID_DIGITS: usize = 20;
/// A list that was written while the file system had less than this left may be cut off, in bytes.
const FREE: u64 = 1 << 20;

/// Why pages aren't found by tracking.
enum Unused {
    /// A scan does as well.
    Reason(String),
    /// The same: the server's list does not reach back that far.
    Gap,
    /// Nothing would.
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

/// Has the server track pages from now on, if that is wanted and possible.
///
/// # Errors
/// A lost connection; with `--page-tracking=on` every reason why not.
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
        return Ok(without("switched off (--page-tracking=off)".to_owned()));
    }
    match start(server, datadir, options, progress) {
        Ok(begun) => Ok(begun),
        Err(unused) => unused.tell(options.page_tracking, progress).map(without),
    }
}

impl Unused {
    /// The reason, told; with `--page-tracking=on` it is an error.
    fn tell(self, choice: TrackingChoice, progress: &dyn Progress) -> Result<String, BackupError> {
        match self {
            Self::Failure(error) => Err(error),
            Self::Gap => Self::Reason("pages were not tracked without a gap".to_owned())
                .tell(choice, progress),
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
    // Tells whether the component is there.
    server.page_tracking_id()?;
    // What nobody could read must not be begun.
    if !server.may_set_global_variables()? {
        return Err(Unused::Reason(
            "the account may not set mysqlbackup.backupid: GRANT SYSTEM_VARIABLES_ADMIN ON *.* to it"
                .to_owned(),
        ));
    }
    // What is set beyond it may keep the server from starting again.
    tracking_limit::check(datadir).map_err(Unused::Reason)?;
    let since = server.page_tracking_begin()?;
    let end = Instant::now() + CHECKPOINT_WAIT;
    // True at once when pages were tracked before.
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
    /// Gives the files the pages that must be read of each, if page tracking can be used; otherwise they are read as
    /// a whole. Returns the manifest's record of it.
    pub(super) fn changed_pages(
        &self,
        server: &mut Server,
        spaces: &mut [SpaceToCopy],
    ) -> Result<PageTracking, BackupError> {
        let mut said = self.tracking.clone();
        let (Some(base), Some(floor), Some(_)) = (&self.base, self.floor(), said.since) else {
            return Ok(said);
        };
        match self.claimed(server, base, floor, spaces) {
            Ok(changed) => {
                changed.accept();
                said.used = true;
            }
            Err(unused) => {
                said.reason = Some(unused.tell(self.options.page_tracking, self.progress)?);
            }
        }
        Ok(said)
    }

    fn claimed<'s>(
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
        // What made the list fail is the better reason.
        let released = server.page_tracking_release();
        checked?;
        released?;
        Ok(changed)
    }

    /// The LSN of the reset point to ask from, or one just above it: at or below the floor, and known to
    /// have had no restart since.
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

    /// Adds what the server lists from the reset point at or below `from` up to now.
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

    /// Looks at pages that aren't listed. One that was written after it was looked up in the list is in the
    /// next list.
    fn check(
        &self,
        server: &mut Server,
        from: Lsn,
        changed: &mut ChangedPages<'_>,
    ) -> Result<(), Unused> {
        let (mode, cancel) = (self.options.mode, &self.options.cancel);
        let suspects = spot_check::suspects(changed, from, mode, cancel)?;
        if suspects.is_empty() {
            return Ok(());
        }
        self.list(server, from, changed)?;
        let unlisted = suspects.iter().find_map(|suspect| {
            let file = changed.file(suspect.file)?;
            let is_listed = file.pages.as_ref()?.has(suspect.page);
            (!is_listed).then_some((suspect, file.space()))
        });
        let Some((missed, space)) = unlisted else {
            return Ok(());
        };
        let reason = format!(
            "page {} of {} was written at LSN {}, but is not among the pages that are tracked from LSN {from} \
             on: the file was written past the server, or the server's list is wrong",
            missed.page, space.name, missed.lsn
        );
        tracing::warn!("{reason}");
        Err(Unused::Reason(reason))
    }
}

/// Why the server's list does not reach back to the floor. It answers with one code for all reasons; if tracking
/// began only after the base had chosen its start checkpoint, that is the reason.
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

/// Whether the server lists each write to the file, and looking the list up is worth it.
fn is_listed(ts: &Tablespace) -> bool {
    ts.kind != TablespaceKind::Dictionary && ts.bytes > SMALL
}

/// Setting an id removes the file of the one before: another tool may not have read its own yet.
fn refuse_others(server: &mut Server, dir: &Path) -> Result<(), Unused> {
    let Some(id) = server.page_tracking_id()? else {
        return Ok(());
    };
    let ours = id.len() == ID_DIGITS && id.starts_with(OURS);
    let file = dir.join(format!("{id}.idx"));
    if ours || !id.bytes().all(|b| b.is_ascii_digit()) || file.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Unused::Reason(format!(
        "{} is another tool's and would be removed by the server: remove it when that tool is done",
        file.display()
    )))
}

/// The file that the server writes for us; gone when dropped.
struct ResultFile {
    id: String,
    path: PathBuf,
}

impl ResultFile {
    fn new(dir: &Path) -> Self {
        let random = uuid::Uuid::new_v4().as_u128() % 10u128.pow(15);
        let id = format!("{OURS}{random:015}");
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
    fn tracking_that_began_after_the_base_is_called_so() {
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
