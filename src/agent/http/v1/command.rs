//! The jobs of requests: each option becomes an argument of a command.

use super::super::error::ApiError;
use super::request::{BackupType, JobRequest, Reference, VerifyLevel};
use crate::agent::jobs::{JobKind, JobSpec, Origin};
use std::time::Duration;

/// The longest deadline of a job, in seconds: a year.
const LONGEST_DEADLINE: u32 = 31_536_000;

/// Collects the arguments of a command.
#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(mut self, name: &str, wanted: bool) -> Self {
        if wanted {
            self.0.push(name.to_owned());
        }
        self
    }

    fn value(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.0.extend([name.to_owned(), value.to_string()]);
        }
        self
    }

    fn name(mut self, name: Option<&Reference>) -> Self {
        self.0.extend(name.map(|name| name.0.clone()));
        self
    }
}

impl JobRequest {
    /// Returns the names of the repositories of the request.
    pub(super) fn repositories(&self) -> impl Iterator<Item = &str> {
        let into = match self {
            Self::Copy(copy) => Some(copy.into.as_str()),
            _ => None,
        };
        let (own, _) = self.place();
        own.as_deref()
            .into_iter()
            .chain(into)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn place(&self) -> (&Option<String>, Option<u32>) {
        match self {
            Self::Backup(r) => (&r.repository, r.deadline_seconds),
            Self::Consolidate(r) => (&r.repository, r.deadline_seconds),
            Self::Verify(r) => (&r.repository, r.deadline_seconds),
            Self::Prune(r) => (&r.repository, r.deadline_seconds),
            Self::Copy(r) => (&r.repository, r.deadline_seconds),
            Self::Check(r) => (&r.repository, r.deadline_seconds),
        }
    }

    /// Returns the job.
    pub(super) fn spec(&self) -> Result<JobSpec, ApiError> {
        let (kind, arguments) = self.arguments()?;
        let (repository, deadline) = self.place();
        if deadline.is_some_and(|seconds| !(1..=LONGEST_DEADLINE).contains(&seconds)) {
            return Err(ApiError::arguments(format!(
                "deadline_seconds: expected a number from 1 to {LONGEST_DEADLINE}"
            )));
        }
        Ok(JobSpec {
            kind,
            repository: repository.clone(),
            arguments,
            origin: Origin::Request,
            deadline: deadline.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }

    fn arguments(&self) -> Result<(JobKind, Vec<String>), ApiError> {
        let none = Arguments::default;
        let exclusive = |text: &str| Err(ApiError::arguments(text));
        let (kind, arguments) = match self {
            Self::Backup(r) => {
                if r.base.is_some() && r.backup_type != BackupType::Incremental {
                    return exclusive("base: only an incremental has a base");
                }
                let arguments = none()
                    .flag("--full", r.backup_type == BackupType::Full)
                    .flag("--incremental", r.backup_type == BackupType::Incremental)
                    .value("--base", r.base.as_ref().map(|base| &base.0))
                    .flag("--prune", r.prune);
                (JobKind::Backup, arguments)
            }
            Self::Consolidate(r) => {
                let latest = Reference("latest".to_owned());
                let name = r.backup.as_ref().unwrap_or(&latest);
                (JobKind::Consolidate, none().name(Some(name)))
            }
            Self::Verify(r) => {
                if r.all && r.backup.is_some() {
                    return exclusive("all and backup exclude each other");
                }
                let arguments = none()
                    .flag("--all", r.all)
                    .flag("--data", r.level == VerifyLevel::Data)
                    .flag("--restore", r.level == VerifyLevel::Restore)
                    .name(r.backup.as_ref());
                (JobKind::Verify, arguments)
            }
            Self::Prune(r) => {
                let arguments = none()
                    .flag("--dry-run", r.dry_run)
                    .flag("--unfinished-only", r.unfinished_only);
                (JobKind::Prune, arguments)
            }
            Self::Copy(r) => {
                let chosen = [r.all, r.kept, r.backup.is_some()];
                if chosen.iter().filter(|chosen| **chosen).count() > 1 {
                    return exclusive("all, kept and backup exclude each other");
                }
                let arguments = none()
                    .value("--into", Some(&r.into))
                    .flag("--all", r.all)
                    .flag("--kept", r.kept)
                    .flag("--with-pins", r.with_pins)
                    .name(r.backup.as_ref());
                (JobKind::Copy, arguments)
            }
            Self::Check(r) => {
                if r.max_age_hours == Some(0) {
                    return exclusive("max_age_hours: expected at least 1");
                }
                let age = r.max_age_hours.map(|hours| format!("{hours}h"));
                (JobKind::Check, none().value("--max-age", age))
            }
        };
        Ok((kind, arguments.0))
    }
}

/// Returns the job that deletes a backup.
pub(super) fn delete(
    name: &Reference,
    repository: String,
    cascade: bool,
    dry_run: bool,
) -> JobSpec {
    let arguments = Arguments::default()
        .flag("--cascade", cascade)
        .flag("--dry-run", dry_run)
        .name(Some(name));
    on_backup(JobKind::Delete, arguments, repository)
}

/// Returns the job that pins a chain, or ends its pin.
pub(super) fn pin(name: &Reference, repository: String, pin: bool) -> JobSpec {
    let kind = if pin { JobKind::Pin } else { JobKind::Unpin };
    on_backup(kind, Arguments::default().name(Some(name)), repository)
}

fn on_backup(kind: JobKind, arguments: Arguments, repository: String) -> JobSpec {
    JobSpec {
        kind,
        repository: Some(repository),
        arguments: arguments.0,
        origin: Origin::Request,
        deadline: None,
    }
}
