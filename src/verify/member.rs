//! One backup: its manifest, then what it names.

use super::links::{Known, Walk};
use super::report::{MemberReport, Problem, ProblemKind};
use super::{Level, VerifyError, VerifyOptions, data, present};
use crate::manifest::{BackupName, Manifest, Summary};
use crate::progress::Progress;
use crate::reader::unwrap;
use crate::store::{Repository, StoreError};

/// What every member is verified with.
pub(super) struct Job<'a> {
    pub(super) repo: &'a Repository,
    pub(super) options: &'a VerifyOptions,
    pub(super) progress: &'a dyn Progress,
}

/// Verifies one backup; gives its manifest, if it can be read. `damaged` is what the listing said, `walk`
/// has the members before it.
pub(super) fn verify(
    job: &Job<'_>,
    name: &BackupName,
    summary: Option<&Summary>,
    damaged: Option<&str>,
    walk: &Walk,
    report: &mut MemberReport,
) -> Result<Option<Manifest>, VerifyError> {
    let manifest = match job.repo.manifest(name) {
        Ok(manifest) => manifest,
        Err(error) => {
            report.add(unreadable(name, error)?);
            return Ok(None);
        }
    };
    report.kind = Some(manifest.kind);
    report.dictionary.clone_from(&manifest.dictionary);
    if let Some(summary) = summary
        && summary.manifest_digest != manifest.digest
    {
        report.add(Problem::new(
            ProblemKind::Manifest,
            format!("{name}/lsnap_manifest.json"),
            format!("a manifest with the {}", manifest.digest),
            format!("{}, says the summary", summary.manifest_digest),
        ));
    }
    let readable = key(job, &manifest, report)?;
    present::check(job.repo, &manifest, report)?;
    if let (Some(reason), true) = (damaged, report.problems.is_empty()) {
        // What the listing saw and nothing else did is about the summary.
        report.add(Problem::told(
            ProblemKind::Manifest,
            format!("{name}/lsnap_summary.json"),
            reason,
        ));
    }
    if job.options.level >= Level::Data {
        let base = walk.base_of(&manifest).and_then(Known::spaces);
        data::check(job, &manifest, base, readable, report)?;
    }
    Ok(Some(manifest))
}

fn unreadable(name: &BackupName, error: StoreError) -> Result<Problem, StoreError> {
    Ok(match error {
        StoreError::Damaged { object, what } => Problem::told(ProblemKind::Manifest, object, &what),
        StoreError::NotFound { .. } | StoreError::NotFinished { .. } => Problem::new(
            ProblemKind::Missing,
            format!("{name}/lsnap_manifest.json"),
            "nothing",
            "the manifest of a finished backup",
        ),
        other => Problem::of_store(other)?,
    })
}

/// Whether the key at hand reads this backup's files. Without any key nothing is wrong: the digests
/// can be compared all the same.
fn key(job: &Job<'_>, manifest: &Manifest, report: &mut MemberReport) -> Result<bool, VerifyError> {
    let Some(key) = &job.options.key else {
        return Ok(false);
    };
    let opening = unwrap::Opening {
        key: Some(key),
        unauthenticated: job.options.accept_unauthenticated,
    };
    match unwrap::check(std::slice::from_ref(manifest), opening) {
        Ok(accepted) => {
            accepted.iter().for_each(|text| tracing::warn!("{text}"));
            Ok(true)
        }
        Err(error) => {
            report.add(Problem::of_read(error)?);
            Ok(false)
        }
    }
}
