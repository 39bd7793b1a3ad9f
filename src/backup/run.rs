//! One backup from the connection to the manifest (`docs/design.md#order-of-a-backup`).

use super::begin::{Choice, Target};
use super::due::{FullWhen, unusable};
use super::error::BackupError;
use super::finish::Finished;
use super::options::{BackupOptions, BackupReport};
use super::session::{Base, Session};
use super::sink::Sink;
use super::stream::{Output, Streams};
use super::throttle::ThrottleReport;
use crate::innodb::Lsn;
use crate::manifest::Manifest;
use crate::progress::Progress;
use crate::server::Server;
use crate::store::Repository;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Makes one backup into `repo`.
///
/// # Errors
/// [`BackupError`]; uploaded objects are removed then, and the backup doesn't look complete.
pub fn run(
    repo: &Repository,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    let choice = Choice::of(options);
    make(
        Target::Repository(repo),
        Some(repo),
        choice,
        options,
        progress,
    )
}

/// Makes an incremental backup on the newest chain of the server, or a full backup if one is due, if
/// there is no chain, or if the chain can't be continued. [`BackupReport::reason`] is the reason for
/// the choice. [`BackupOptions::incremental`] is ignored.
///
/// # Errors
/// The same as [`run`]. A failure that doesn't concern the base is not a reason for a full backup.
pub fn run_due(
    repo: &Repository,
    when: FullWhen,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    let make = |choice| {
        make(
            Target::Repository(repo),
            Some(repo),
            choice,
            options,
            progress,
        )
    };
    match make(Choice::Due(when)) {
        Ok(report) => Ok(report),
        Err(error) => {
            let reason = unusable(error)?;
            make(Choice::Full { reason: &reason })
        }
    }
}

/// Makes one backup as one xbstream, or as several parallel ones. The manifest is the last file. If
/// the base of an incremental isn't given, it is searched in `bases`.
///
/// # Errors
/// [`BackupError`]; the streams then end within a chunk, so that no reader accepts them as
/// complete.
pub fn run_stream(
    outputs: Vec<Output>,
    bases: Option<&Repository>,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    let sink = Sink::streams(Streams::new(outputs), None, options.key.clone());
    let choice = Choice::of(options);
    make(Target::Streams(&sink), bases, choice, options, progress).map_err(|error| match error {
        BackupError::Interrupted => BackupError::InterruptedStream,
        other => other,
    })
}

fn make(
    target: Target<'_>,
    bases: Option<&Repository>,
    choice: Choice<'_>,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, BackupError> {
    let begun = Session::begin(target, bases, choice, options, progress).inspect_err(|_| {
        // After any error: a stream that was started must not look complete.
        if let Target::Streams(sink) = target {
            sink.abort();
        }
    });
    let (session, mut server) = begun?;
    let made = session.make(&mut server);
    if made.is_err() {
        // Before the abort: the removal of uploaded objects may take long.
        if let Err(error) = session.start_appliers() {
            tracing::error!("{error}");
        }
        session.sink.abort();
    }
    made
}

/// Returns a warning if the backup began at the LSN of its base: then each incremental from that LSN on has the same
/// LSNs, and their order can't be checked when they are restored.
fn same_start(base: Lsn, manifest: &Manifest) -> Option<String> {
    if manifest.lsn.to_lsn != base {
        return None;
    }
    let warning = format!(
        "the server's checkpoint was still at LSN {base}, where the base began: if several incrementals were made from \
         this LSN on, restore only the newest of them"
    );
    tracing::warn!("{warning}");
    Some(warning)
}

impl Session<'_> {
    fn make(&self, server: &mut Server) -> Result<BackupReport, BackupError> {
        let dump = self.start_dump(server)?;
        let copied = self.copy(server);
        if let Some(dump) = dump {
            let ended = self.end_dump(server, &dump, copied.is_ok());
            // The error of the copy is the cause.
            if copied.is_ok() {
                ended?;
            }
        }
        let copied = copied?;
        let (locked, throttle) = (copied.tables_locked, copied.contents.throttle.clone());
        let mut warnings = self.newer_than_base();
        warnings.extend(copied.contents.found.warnings.iter().cloned());
        let finished = self.finish(copied)?;
        match self.base {
            // Readers could not check a chain with a manifest that doesn't name its base.
            Some(Base::Lsn(lsn)) => {
                warnings.extend(same_start(lsn, &finished.manifest));
                self.sink.finish_alone(lsn)?;
            }
            _ => self.sink.finish(&finished.manifest)?,
        }
        let Finished {
            manifest,
            checkpoints,
            info,
        } = finished;
        Ok(BackupReport {
            warnings,
            checkpoints,
            info,
            ..self.report(manifest, locked, throttle)
        })
    }

    fn report(
        &self,
        manifest: Manifest,
        tables_locked: Duration,
        throttle: Option<ThrottleReport>,
    ) -> BackupReport {
        let objects = manifest.files.iter().flat_map(|f| &f.objects);
        BackupReport {
            reason: self.why.clone(),
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            stored_bytes: objects.map(|o| o.bytes).sum(),
            seconds: (manifest.finished_at - self.started).as_seconds_f64(),
            warnings: Vec::new(),
            checkpoints: String::new(),
            info: String::new(),
            tables_locked_seconds: tables_locked.as_secs_f64(),
            throttle,
            manifest,
        }
    }
}
