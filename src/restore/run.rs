//! The restore itself: merge, redo, move to the target.

use super::adopted::Adopted;
use super::applier::ApplierKind;
use super::binary_log::BinaryLog;
use super::complete::Absent;
use super::error::RestoreError;
use super::held::WorkDirectories;
use super::merge::Output;
use super::mysqld::{Recovered, Recovery, Workplace};
use super::next::NextSteps;
use super::owner::Owner;
use super::plan::{MergeMethod, RestorePlan};
use super::report::RestoreReport;
use super::syncing::Syncing;
use super::target::Target;
use super::{
    RestoreOptions, direct, finished, held, merge, mysqld, partial, plain, reach, redo, stepwise,
    syncing, xtrabackup,
};
use crate::counted;
use crate::manifest::{BackupName, Manifest};
use crate::progress::{Phase, Progress};
use crate::reader::counters::Counters;
use crate::reader::fetch::Fetcher;
use crate::reader::source::Source;
use crate::reader::stored::fitting;
use crate::reader::{ReadError, bitmap};
use crate::store::Repository;
use rayon::ThreadPool;
use std::time::{Duration, Instant};

/// Executes the plan. The target directory appears at the end, or not at all.
///
/// # Errors
/// See [`RestoreError`]. A log of the redo applier is kept in `<datadir>.lsnap-restoring`.
pub fn run(
    repo: &Repository,
    plan: &RestorePlan,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport, RestoreError> {
    // A stream that was uploaded to the repository contains its manifest, and may have another
    // name.
    let streams: Vec<_> = plan.streams.iter().flatten().map(|s| s.name()).collect();
    let mut put = plan.streams.iter();
    let names = plan.chain.iter().map(|member| match put.next() {
        Some(Some(stream)) => stream.name().clone(),
        _ => member.name.clone(),
    });
    let names: Vec<BackupName> = names.collect();
    let has_manifest = |name: &BackupName| !streams.contains(&name);
    let _reading = repo.announce_reading_some("restore", &names, &has_manifest)?;
    let source = match plan.streams.as_slice() {
        [] => Source::Repository(repo),
        streams => Source::Streams(repo, streams),
    };
    run_from(source, plan, options, progress)
}

/// Executes a plan of [`super::plan_directories`]. The directories are only read.
///
/// # Errors
/// The same as those of [`run`].
pub fn run_directories(
    plan: &RestorePlan,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport, RestoreError> {
    let source = Source::Directories(&plan.directories);
    run_from(source, plan, options, progress)
}

fn run_from(
    source: Source<'_>,
    plan: &RestorePlan,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport, RestoreError> {
    let newest = plan.chain.first().ok_or_else(|| {
        RestoreError::Read(ReadError::damaged(
            &plan.target,
            "lsnap_manifest.json",
            "the plan has no members",
        ))
    })?;
    let owner = Owner::wanted(options.user.as_deref())?;
    if let Some(owner) = owner
        .as_ref()
        .filter(|_| plan.applier.kind == ApplierKind::Mysqld)
    {
        reach::check(&plan.datadir, owner)?;
    }
    options.cancel.check()?;
    partial::check_applier(newest, &plan.applier, &plan.datadir)?;
    let target = Target::begin(&plan.datadir, options.into())?;
    let adopted = target.kept_root();
    let adopted = adopted
        .map(|root| Adopted::take(root, owner.as_ref()))
        .transpose()?;
    match restore(
        source,
        plan,
        options,
        progress,
        newest,
        owner.as_ref(),
        &target,
    ) {
        Ok(mut report) => {
            report.moved_aside = target.hand_over()?;
            if let Some(adopted) = adopted {
                report.warnings.extend(adopted.warning());
                adopted.keep();
            }
            Ok(report)
        }
        Err(error) => {
            // After a cancellation, other operations end with errors of their own.
            let interrupted = options.cancel.check();
            if interrupted.is_err() && !options.keep_failed {
                target.discard()?;
            }
            interrupted?;
            Err(error)
        }
    }
}

/// Does everything except for the move to the target.
fn restore(
    source: Source<'_>,
    plan: &RestorePlan,
    options: &RestoreOptions,
    progress: &dyn Progress,
    newest: &Manifest,
    owner: Option<&Owner>,
    target: &Target,
) -> Result<RestoreReport, RestoreError> {
    if !options.skip_space_check {
        target.check_space(plan.write_bytes)?;
    }
    let log = BinaryLog::of(newest)?;
    let directories = WorkDirectories::of(target.work(), target.root());
    let job = Job {
        plan,
        options,
        target,
        newest,
        owner,
        log: log.as_ref(),
        directories: &directories,
    };
    let counters = Counters::new(plan.members.len());
    let fetcher = Fetcher {
        source,
        progress,
        phase: Phase::Merge,
        counters: &counters,
        key: options.key.as_ref(),
        limit: options.memory as u64,
        cancel: &options.cancel,
    };
    let begun = Instant::now();
    progress.phase(Phase::Merge, Some(plan.fetch_bytes));
    // The redo applier needs the files to be written, but not to be synced: syncing is awaited
    // last.
    let (recovered, left, merge_time) = syncing::with_syncing(|syncing| {
        let left = fill(&fetcher, &job, syncing)?;
        let merge_time = begun.elapsed();
        let mut recovered = Recovered::default();
        if plan.applier.kind == ApplierKind::Server {
            progress.note(&format!("redo left for {}", plan.applier));
        } else if plan.way == MergeMethod::Merge {
            // Only a server reports its progress.
            let redo = (plan.applier.kind == ApplierKind::Mysqld).then_some(plan.redo_bytes);
            progress.phase(Phase::Apply, redo);
            progress.note(&format!("redo applied by {}", plan.applier));
            recovered = apply(&job, progress)?;
        }
        Ok((recovered, left, merge_time))
    })
    .map_err(|error| error.with_planned(plan.write_bytes))?;
    options.cancel.check()?;
    let apply_time = begun.elapsed() - merge_time;

    progress.phase(Phase::HandOver, None);
    held::place_held(&directories)?;
    if plan.applier.kind == ApplierKind::Server {
        // Without the list, the log of the server would begin with an error.
        let warm = target.root().join(finished::WARM_PAGES);
        if !warm.exists() {
            plain::create(&warm)?;
        }
    }
    redo::renew_identity(&target.root(), newest.server.redo_log_uuid)?;
    if let Some(owner) = owner {
        owner.give_all(&target.root())?;
    }
    let datadir = target.datadir().to_path_buf();
    let times = (merge_time, apply_time);
    let next = NextSteps::of(plan, newest, options);
    let mut report = report(plan, newest, &counters, datadir, recovered, times, next);
    report.warnings.extend(finished::warnings(&left, plan));
    report.not_placed.extend(left);
    Ok(report)
}

/// The values that the parts of a restore share.
#[derive(Clone, Copy)]
struct Job<'a> {
    plan: &'a RestorePlan,
    options: &'a RestoreOptions,
    target: &'a Target,
    newest: &'a Manifest,
    owner: Option<&'a Owner>,
    log: Option<&'a BinaryLog>,
    directories: &'a WorkDirectories,
}

/// Writes all files from the backups. Returns the files that were not placed because of their
/// content.
fn fill(
    fetcher: &Fetcher<'_>,
    job: &Job<'_>,
    syncing: &Syncing,
) -> Result<Vec<String>, RestoreError> {
    let (plan, options, root) = (job.plan, job.options, job.target.root());
    let (pool, workers) = workers(plan, options)?;
    if plan.way == MergeMethod::Stepwise {
        pool.install(|| stepwise::run(fetcher, plan, options, job.target))?;
        return Ok(Vec::new());
    }
    plain::make_directories(plan, &root)?;
    pool.install(|| {
        // Small files, and the log that determines whether the redo is complete, come first.
        let left = match plan.applier.kind {
            ApplierKind::Mysqld | ApplierKind::Server => {
                let uuid = redo::new_log_uuid(job.newest.server.redo_log_uuid);
                redo::for_mysqld(fetcher, plan, &root, uuid)?;
                plain::copy(fetcher, plan, job.directories, job.log, options)?
            }
            ApplierKind::Xtrabackup => {
                redo::for_xtrabackup(fetcher, plan, &root)?;
                let left = plain::copy(fetcher, plan, job.directories, job.log, options)?;
                xtrabackup::checkpoints(fetcher, plan, job.newest, &root)?;
                if let Some(config) = &options.keyring_config {
                    held::copy_keyring(config, &root)?;
                }
                left
            }
        };
        merge::merge(fetcher, plan, &root, workers, syncing, Output::New)?;
        Ok(left)
    })
}

/// Returns a pool of the requested number of workers, or fewer: each must be able to hold one
/// largest object, in addition to the sets of pages of the files that are merged.
fn workers(
    plan: &RestorePlan,
    options: &RestoreOptions,
) -> Result<(ThreadPool, usize), RestoreError> {
    let sets = largest(
        plan.files.iter().map(bitmap::most_bytes_of),
        options.threads,
    );
    let memory = (options.memory as u64).saturating_sub(direct::BUFFERS_BYTES);
    let memory = memory.saturating_sub(sets);
    let fitting = fitting(plan.chain.iter(), memory);
    let workers = options.threads.min(fitting).max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .thread_name(|number| format!("restore-{number}"))
        .build()
        .map_err(|error| RestoreError::Target {
            path: plan.datadir.clone(),
            why: format!(
                "cannot start {workers}: {error}",
                workers = counted::count(workers, "thread")
            ),
        })?;
    Ok((pool, workers))
}

/// Returns the sum of the `count` largest.
pub(crate) fn largest(sizes: impl Iterator<Item = u64>, count: usize) -> u64 {
    let mut sizes: Vec<u64> = sizes.collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let largest = sizes.into_iter().take(count);
    largest.fold(0, u64::saturating_add)
}

/// Applies the redo log.
fn apply(job: &Job<'_>, progress: &dyn Progress) -> Result<Recovered, RestoreError> {
    match job.plan.applier.kind {
        ApplierKind::Mysqld => Recovery {
            place: &Workplace {
                root: job.target.root(),
                work: job.target.work().to_path_buf(),
                lock: job.target.lock_for_child()?,
                in_place: false,
            },
            plan: job.plan,
            manifest: job.newest,
            options: job.options,
            owner: job.owner,
            log: job.log,
            directories: job.directories,
            absent: &absent(job.newest),
            progress,
        }
        .run(),
        ApplierKind::Xtrabackup => {
            xtrabackup::prepare(job.target, job.plan, job.options, &xtrabackup::WHOLE)?;
            Ok(Recovered::default())
        }
        ApplierKind::Server => Ok(Recovered::default()),
    }
}

/// Returns the tablespaces that a restored server may lack: those that the manifest records as
/// absent. (Tablespaces that are discarded in the dictionary need no list.)
fn absent(newest: &Manifest) -> Absent {
    let absent = newest.dictionary.iter().flat_map(|d| &d.absent);
    absent.map(|space| space.space_id).collect()
}

/// Returns the warning for a redo log that is left for the first start of a server.
pub(super) fn left_for_server(newest: &Manifest) -> String {
    let version = &newest.server.version;
    let file = newest.binlog.as_ref().map(|log| log.file.as_str());
    let stem = file.and_then(|file| file.rsplit_once('.'));
    let log = stem.map_or_else(String::new, |(stem, _)| {
        format!(
            " Set log_bin = {stem} for this start: the binary log in the directory decides on prepared transactions."
        )
    });
    format!(
        "the redo log is not applied yet: its blocks were checked, and the first server that starts on the directory \
         applies it (MySQL {version}, or a later release of its series).{log} Until then, nothing checks the records \
         of the redo log, the GTIDs, or that every table has its files"
    )
}

fn report(
    plan: &RestorePlan,
    newest: &Manifest,
    counters: &Counters,
    datadir: std::path::PathBuf,
    recovered: Recovered,
    (merge_time, apply_time): (Duration, Duration),
    next: NextSteps,
) -> RestoreReport {
    let mut warnings = plan.warnings.clone();
    if plan.applier.kind == ApplierKind::Server {
        warnings.push(left_for_server(newest));
    }
    let complaint = |line: &String| format!("the recovering server logged: {line}");
    warnings.extend(recovered.complaints.iter().map(complaint));
    if recovered.prepared > 0 {
        warnings.push(format!(
            "prepared when the backup was made: {}, with locks held until \
             XA COMMIT or XA ROLLBACK (see XA RECOVER)",
            counted::count(recovered.prepared, "XA transaction")
        ));
    }
    let stored = plan.chain.iter().map(Manifest::stored_bytes);
    let names = plan.members.iter().map(|member| member.name.clone());
    RestoreReport {
        target: plan.target.clone(),
        datadir,
        members: counters.members(names.zip(stored.clone())),
        fetched_bytes: counters.fetched_total(),
        stored_bytes: stored.sum(),
        written_bytes: counters.written(),
        applier: plan.applier.to_string(),
        redo_applied: plan.applier.kind != ApplierKind::Server,
        gtid_executed: mysqld::recorded_gtids(newest).map(str::to_owned),
        gtid_verified: recovered.gtid_verified,
        tables_complete: recovered.tables_complete,
        tables: recovered.tables,
        queries: recovered.queries,
        check_time: recovered.check_time,
        merge_time,
        apply_time,
        settings: plan.settings.clone(),
        next,
        moved_aside: None,
        not_placed: plan.not_placed.clone(),
        warnings,
    }
}
