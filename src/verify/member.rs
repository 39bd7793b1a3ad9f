//! The verification of one backup: its manifest, then its objects.

use super::job::Job;
use super::links::{Known, Walk};
use super::report::{Authentication, MemberReport, Problem, ProblemKind};
use super::{Level, VerifyError, data, present};
use crate::manifest::{BackupName, Manifest, Summary};
use crate::reader::unwrap;
use crate::store::{BackupFault, StoreError};

/// Verifies one backup; returns its manifest if it can be read. `damaged` is the reason in the
/// listing, `walk` has the members before it.
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
            format!("{}, as in the summary", summary.manifest_digest),
        ));
    }
    if let Some(summary) = summary {
        compare_summary(summary, &manifest, report);
    }
    let base = walk.base_of(&manifest);
    let readable = key(job, &manifest, base.map(Known::manifest), report)?;
    present::check(job.repo, &manifest, report)?;
    if let (Some(reason), true) = (damaged, report.problems.is_empty()) {
        // If only the listing found damage, it is in the summary.
        report.add(Problem::of_finding(
            ProblemKind::Manifest,
            format!("{name}/lsnap_summary.json"),
            reason,
        ));
    }
    if job.options.level >= Level::Data {
        data::check(job, &manifest, base, readable, report)?;
        lower_case(base.and_then(Known::lower_case), &manifest, report);
    }
    Ok(Some(manifest))
}

fn unreadable(name: &BackupName, error: StoreError) -> Result<Problem, StoreError> {
    Ok(match error {
        StoreError::Damaged { object, what } => {
            Problem::of_finding(ProblemKind::Manifest, object, what)
        }
        StoreError::Backup(BackupFault::NotFound { .. })
        | StoreError::Backup(BackupFault::NotFinished { .. }) => Problem::new(
            ProblemKind::Missing,
            format!("{name}/lsnap_manifest.json"),
            "nothing",
            "the manifest of a finished backup",
        ),
        other => Problem::of_store(other)?,
    })
}

/// Compares the summary with the manifest: listings and the choice of `latest` use the summary.
fn compare_summary(summary: &Summary, manifest: &Manifest, report: &mut MemberReport) {
    for (field, found, expected) in summary.differences(manifest) {
        report.add(Problem::new(
            ProblemKind::Manifest,
            format!("{}/lsnap_summary.json", manifest.name),
            format!("{field} {found}"),
            format!("{expected}, as in the manifest"),
        ));
    }
}

/// Compares the setting with the one in the data dictionary: a server with another value doesn't
/// start on it.
fn lower_case(of_base: Option<u8>, manifest: &Manifest, report: &mut MemberReport) {
    report.pages.lower_case = report.pages.lower_case.or(of_base);
    let recorded = manifest.server.lower_case_table_names;
    if let Some(found) = report.pages.lower_case.filter(|found| *found != recorded) {
        report.add(Problem::new(
            ProblemKind::Manifest,
            format!("{}/lsnap_manifest.json", manifest.name),
            format!("lower_case_table_names {recorded}"),
            format!("{found}, as in the data dictionary"),
        ));
    }
}

/// Returns whether the key can decrypt this backup's files, and records whether it authenticates
/// the manifest. Without a key the digests can still be compared, and only problems that are
/// visible without it are reported.
fn key(
    job: &Job<'_>,
    manifest: &Manifest,
    base: Option<&Manifest>,
    report: &mut MemberReport,
) -> Result<bool, VerifyError> {
    report.authentication = Some(Authentication::NotAuthenticated);
    let Some(key) = &job.options.key else {
        if let Err(error) = unwrap::check_without_key(base, manifest) {
            report.add(Problem::of_read(error)?);
        } else if !manifest.is_encrypted() && !job.encrypted_only {
            report.authentication = Some(Authentication::NotEncrypted);
        }
        return Ok(false);
    };
    let opening = unwrap::Opening {
        key: Some(key),
        unauthenticated: job.options.accept_unauthenticated,
    };
    match unwrap::check(std::slice::from_ref(manifest), opening) {
        Ok(accepted) => {
            report.authentication = Some(if accepted.is_empty() {
                Authentication::Proven
            } else {
                Authentication::Accepted
            });
            accepted.iter().for_each(|text| tracing::warn!("{text}"));
            Ok(true)
        }
        Err(error) => {
            report.add(Problem::of_read(error)?);
            Ok(false)
        }
    }
}
