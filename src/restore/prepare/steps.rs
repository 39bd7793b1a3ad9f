//! One step, from the checks to the marks at its end.

use super::carried::carry_server;
use super::error::PrepareError;
use super::files::{Budget, Files, io};
use super::journal::{JOURNAL, Journal, MemberId, Phase};
use super::member::{self, Member, STATE};
use super::merging::{self, Merging};
use super::partial;
use super::prepared::PreparedList;
use super::recovery::{self, LastStep};
use super::scan;
use super::states::{self, Action};
use super::{PrepareOptions, PrepareReport, Prepared};
use crate::manifest::{CHECKPOINTS, Checkpoints, MANIFEST};
use crate::progress::{Phase as Shown, Progress};
use crate::restore::{ApplierPlan, RestoreError, running_server};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// The number of changes that a step may make; only a test limits it.
pub(super) type Steps = Budget;

/// Executes one step, or continues it.
pub(super) fn run(
    options: &PrepareOptions,
    progress: &dyn Progress,
    budget: &Steps,
) -> Result<PrepareReport, PrepareError> {
    recovery::refuse_xtrabackup(options)?;
    progress.phase(Shown::Preparing, None);
    let target = options
        .target
        .canonicalize()
        .map_err(io("open the directory", &options.target))?;
    let lock = lock(&target)?;
    let files = Files::of(&target, budget)?;
    let id = options.incremental.as_deref().map(member::id).transpose()?;
    let step = Step {
        options,
        progress,
        files: &files,
        lock: &lock,
        id,
    };
    match Journal::read(&target)? {
        Some(journal) if journal.is_of(step.id.as_ref(), options.log_only) => {
            no_server(&target)?;
            step.resume(journal)
        }
        Some(journal) => Err(PrepareError::Unfinished {
            target,
            log_only: journal.log_only,
            incremental: journal.incremental.map(|id| id.path),
        }),
        None => step.begin(),
    }
}

/// Attempts to lock the target, and the time between two: a process that this one has just started
/// shares its locks until it executes its own program.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Locks the target for this step; the recovering server inherits the lock.
fn lock(target: &Path) -> Result<File, PrepareError> {
    let directory = File::open(target).map_err(io("open the directory", target))?;
    for _ in 0..ATTEMPTS {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            // Some file systems have no locks.
            Ok(()) | Err(_) => return Ok(directory),
        }
    }
    Err(PrepareError::Busy {
        target: target.to_path_buf(),
    })
}

/// Refuses a directory in which a server runs.
fn no_server(target: &Path) -> Result<(), PrepareError> {
    match running_server::in_directory(target)? {
        None => Ok(()),
        Some(found) => Err(RestoreError::ServerRuns {
            path: target.to_path_buf(),
            pid: found.pid,
            sign: found.sign,
        }
        .into()),
    }
}

struct Step<'a> {
    options: &'a PrepareOptions,
    progress: &'a dyn Progress,
    files: &'a Files<'a>,
    lock: &'a File,
    /// The incremental.
    id: Option<MemberId>,
}

impl Step<'_> {
    fn begin(&self) -> Result<PrepareReport, PrepareError> {
        let root = self.files.root;
        let options = self.options;
        let before = member::checkpoints(root)?;
        let incremental = options.incremental.as_deref();
        let checkpoints = incremental.map(member::checkpoints).transpose()?;
        let action = states::action(
            root,
            &before,
            incremental.zip(checkpoints.as_ref()),
            options.log_only,
        )?;
        partial::check_export(options, action == Action::Nothing)?;
        let after = match action {
            Action::Nothing => {
                return Ok(report(Prepared::Already, &before, None));
            }
            Action::Mark(after) => return self.mark(&before, &after),
            Action::Change(after) => after,
        };
        no_server(root)?;
        let target = member::open_target(root)?;
        partial::check_target(&target)?;
        let mut warnings = target.warnings.clone();
        let mut applier = None;
        let mut newest = None;
        let mut moves = Vec::new();
        if let Some(directory) = incremental {
            let directory = directory
                .canonicalize()
                .map_err(io("open the directory", directory))?;
            apart(root, &directory)?;
            let mut next = member::open_incremental(&directory)?;
            partial::carry(&target.manifest, &mut next)?;
            carry_server(&target.manifest, &mut next);
            merging::check_link(&target, &next, member::log_start(root)?)?;
            let merging = self.merging(&next);
            let changes = merging.changes(&target)?;
            self.progress.phase(Shown::Verify, None);
            merging.check_content(&changes.fresh)?;
            member::open_log(&directory)?;
            recovery::check_log(&next, options, self.progress)?;
            warnings.extend(next.warnings.clone());
            warnings.extend(changes.warnings);
            moves = changes.moves;
            if !options.log_only {
                applier = Some(recovery::choose(&next, options)?);
                newest = Some(next.manifest.clone());
            }
        } else {
            // Every file that the backup has is there.
            scan::scan(root, &target.manifest)?;
            recovery::check_log(&target, options, self.progress)?;
            applier = Some(recovery::choose(&target, options)?);
        }
        if let Some(applier) = &applier {
            let newest = newest.as_ref().unwrap_or(&target.manifest);
            partial::check_applier(newest, applier, options)?;
            self.last().check()?;
        }
        member::write_state(&target.manifest, self.files)?;
        let journal = Journal {
            incremental: self.id.clone(),
            log_only: options.log_only,
            phase: Phase::Started,
            after: after.to_string(),
            moves,
        };
        journal.write(self.files)?;
        let unfinished = states::unfinished(&before);
        self.files.replace(CHECKPOINTS, unfinished.as_bytes())?;
        // It describes files as they were before.
        self.files.remove(MANIFEST)?;
        self.go_on(journal, applier, warnings, false)
    }

    fn resume(&self, journal: Journal) -> Result<PrepareReport, PrepareError> {
        if journal.phase == Phase::Started {
            // The step may have been interrupted between the journal and these marks.
            let before = member::checkpoints(self.files.root).ok();
            if let Some(before) = before {
                let unfinished = states::unfinished(&before);
                self.files.replace(CHECKPOINTS, unfinished.as_bytes())?;
            }
            self.files.remove(MANIFEST)?;
        }
        self.go_on(journal, None, Vec::new(), true)
    }

    /// Does the phases that are left.
    fn go_on(
        &self,
        mut journal: Journal,
        applier: Option<ApplierPlan>,
        mut warnings: Vec<String>,
        continued: bool,
    ) -> Result<PrepareReport, PrepareError> {
        let options = self.options;
        let root = self.files.root;
        if let Some(directory) = options
            .incremental
            .as_deref()
            .filter(|_| journal.phase < Phase::Merged)
        {
            let mut next = member::open_incremental(directory)?;
            let target = self.state()?;
            partial::carry(&target.manifest, &mut next)?;
            carry_server(&target.manifest, &mut next);
            self.progress.phase(Shown::Merge, None);
            self.merging(&next).run(&mut journal)?;
            member::write_state(&next.manifest, self.files)?;
            journal.advance(Phase::Merged, self.files)?;
        }
        let mut used = applier.clone();
        let mut rolled_back = 0;
        let mut exported = None;
        if !options.log_only && journal.phase < Phase::Done {
            let target = self.state()?;
            if journal.phase < Phase::Redo && (continued || journal.incremental.is_some()) {
                scan::scan(root, &target.manifest)?;
            }
            let applier = match applier {
                Some(applier) => applier,
                None => recovery::choose(&target, options)?,
            };
            partial::check_applier(&target.manifest, &applier, options)?;
            warnings.extend(recovery::warnings(options, &applier, &target));
            let recovered = self.last().run(&mut journal, &target, &applier)?;
            rolled_back = recovered.rolled_back;
            if let Some(done) = recovered.exported {
                exported = Some(done.tables);
                let refused = done.refused.iter();
                warnings.extend(refused.map(|table| format!("not exported: {table}")));
            }
            warnings.extend(
                (recovered.complaints.iter())
                    .map(|line| format!("the recovering server logged: {line}")),
            );
            if recovered.prepared > 0 {
                warnings.push(format!(
                    "prepared when the backup was made: {}, with locks held until XA COMMIT or XA ROLLBACK (see XA \
                     RECOVER)",
                    crate::counted::count(recovered.prepared, "XA transaction")
                ));
            }
            PreparedList::of(root, &target.manifest, applier.kind)?.write(self.files)?;
            used = Some(applier);
        }
        if journal.phase < Phase::Done {
            journal.advance(Phase::Done, self.files)?;
        }
        // The marks: each can be made again.
        if let Some(directory) = &options.incremental {
            member::mark_used(directory, self.files)?;
        }
        if !options.log_only {
            member::mark_used(root, self.files)?;
        }
        self.files.replace(CHECKPOINTS, journal.after.as_bytes())?;
        if !options.log_only {
            self.files.remove(STATE)?;
        }
        self.files.remove(JOURNAL)?;
        self.files.sync_directories()?;
        let after = member::checkpoints(root)?;
        let state = if options.log_only {
            Prepared::LogApplied
        } else {
            Prepared::Ready
        };
        let mut report = report(state, &after, used);
        report.warnings = warnings;
        report.continued = continued;
        report.rolled_back = rolled_back;
        report.exported = exported;
        Ok(report)
    }

    /// Changes only the type of the target.
    fn mark(
        &self,
        before: &Checkpoints,
        after: &Checkpoints,
    ) -> Result<PrepareReport, PrepareError> {
        let target = member::open_target(self.files.root)?;
        let mut warnings = target.warnings.clone();
        // The redo log of the last member is what counts.
        if let Err(error) = recovery::check_log(&target, self.options, self.progress) {
            self.options.cancel.check().map_err(RestoreError::from)?;
            warnings.push(format!(
                "the redo log is damaged, so the directory can only be used with an incremental: {error}"
            ));
        }
        if before != after {
            member::write_state(&target.manifest, self.files)?;
            // It has the length of the old checkpoints.
            self.files.remove(MANIFEST)?;
            self.files
                .replace(CHECKPOINTS, after.to_string().as_bytes())?;
        }
        let mut report = report(Prepared::LogApplied, after, None);
        report.warnings = warnings;
        Ok(report)
    }

    /// Returns the backup whose files the target has now.
    fn state(&self) -> Result<Member, PrepareError> {
        let root = self.files.root;
        let manifest = member::state(root)?.ok_or_else(|| PrepareError::State {
            path: root.join(STATE),
            why: "it is missing, although a step was interrupted; extract the backup again"
                .to_owned(),
        })?;
        Ok(Member {
            directory: root.to_path_buf(),
            manifest,
            foreign: false,
            warnings: Vec::new(),
        })
    }

    fn merging<'m>(&'m self, next: &'m Member) -> Merging<'m> {
        Merging {
            options: self.options,
            progress: self.progress,
            files: self.files,
            next,
        }
    }

    fn last(&self) -> LastStep<'_> {
        LastStep {
            options: self.options,
            progress: self.progress,
            files: self.files,
            lock: self.lock,
        }
    }
}

/// Refuses an incremental that is in the target, or the other way round.
fn apart(target: &Path, incremental: &Path) -> Result<(), PrepareError> {
    if !target.starts_with(incremental) && !incremental.starts_with(target) {
        return Ok(());
    }
    Err(PrepareError::State {
        path: incremental.to_path_buf(),
        why: format!(
            "the incremental and the target {} must be different directories, and neither in the other",
            target.display()
        ),
    })
}

fn report(
    state: Prepared,
    checkpoints: &Checkpoints,
    applier: Option<ApplierPlan>,
) -> PrepareReport {
    PrepareReport {
        state,
        applier,
        to_lsn: checkpoints.to_lsn.0,
        last_lsn: checkpoints.last_lsn.0,
        continued: false,
        rolled_back: 0,
        exported: None,
        warnings: Vec::new(),
    }
}
