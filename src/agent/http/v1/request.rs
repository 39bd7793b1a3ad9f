//! What can be asked for: a closed set of options for each kind of job. Arguments of the command line are never taken,
//! because they can name hooks, files and other repositories.

use super::super::error::ApiError;
use crate::manifest::BackupName;
use crate::shown::shown;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A body that is JSON. Other bodies are refused with the one shape of errors.
pub(super) struct Given<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Given<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let given: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        Ok(Self(given?.0))
    }
}

/// A job to start.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum JobRequest {
    Backup(BackupRequest),
    Consolidate(ConsolidateRequest),
    Verify(VerifyRequest),
    Prune(PruneRequest),
    Copy(CopyRequest),
    Check(CheckRequest),
}

// An untagged enum would say only that no variant fits.
impl<'de> Deserialize<'de> for JobRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Kind {
            Backup,
            Consolidate,
            Verify,
            Prune,
            Copy,
            Check,
        }
        fn of<T: DeserializeOwned, E: serde::de::Error>(
            value: serde_json::Value,
            variant: impl FnOnce(T) -> JobRequest,
        ) -> Result<JobRequest, E> {
            serde_json::from_value(value)
                .map(variant)
                .map_err(E::custom)
        }
        let value = serde_json::Value::deserialize(deserializer)?;
        let kind = value
            .get("kind")
            .ok_or_else(|| D::Error::missing_field("kind"))?;
        match Kind::deserialize(kind).map_err(D::Error::custom)? {
            Kind::Backup => of(value, Self::Backup),
            Kind::Consolidate => of(value, Self::Consolidate),
            Kind::Verify => of(value, Self::Verify),
            Kind::Prune => of(value, Self::Prune),
            Kind::Copy => of(value, Self::Copy),
            Kind::Check => of(value, Self::Check),
        }
    }
}

macro_rules! kinds {
    ($($name:ident)*) => {$(
        /// The kind of the job.
        #[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum $name {
            $name,
        }
    )*};
}

mod kind {
    use serde::{Deserialize, Serialize};
    use utoipa::ToSchema;
    kinds!(Backup Consolidate Verify Prune Copy Check);
}

/// A backup of the server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupRequest {
    #[schema(inline)]
    kind: kind::Backup,
    /// The repository, by its name in the configuration; without it the configured one.
    #[serde(default)]
    pub(super) repository: Option<String>,
    /// The job is cancelled if it takes longer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub(super) deadline_seconds: Option<u32>,
    /// The type of the backup.
    #[serde(default, rename = "type")]
    #[schema(inline)]
    pub(super) backup_type: BackupType,
    /// The base of an incremental: its name, or the last part of its name.
    #[serde(default)]
    pub(super) base: Option<Reference>,
    /// Delete the backups that the retention policy doesn't keep, after the backup.
    #[serde(default)]
    pub(super) prune: bool,
}

/// The type of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BackupType {
    /// As `full-every` and `max-incrementals` of the configuration decide; full without them.
    #[default]
    Auto,
    Full,
    Incremental,
}

/// A full backup that is made from a chain, without the server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsolidateRequest {
    #[schema(inline)]
    kind: kind::Consolidate,
    /// The repository, by its name in the configuration; without it the configured one.
    #[serde(default)]
    pub(super) repository: Option<String>,
    /// The job is cancelled if it takes longer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub(super) deadline_seconds: Option<u32>,
    /// The backup whose state the new one has [default: latest].
    #[serde(default)]
    pub(super) backup: Option<Reference>,
}

/// A verification.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyRequest {
    #[schema(inline)]
    kind: kind::Verify,
    /// The repository, by its name in the configuration; without it the configured one.
    #[serde(default)]
    pub(super) repository: Option<String>,
    /// The job is cancelled if it takes longer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub(super) deadline_seconds: Option<u32>,
    /// The backup [default: latest]. The backups that its restore needs are verified with it.
    #[serde(default)]
    pub(super) backup: Option<Reference>,
    /// Verify every backup of the repository.
    #[serde(default)]
    pub(super) all: bool,
    /// What is checked.
    #[serde(default)]
    #[schema(inline)]
    pub(super) level: VerifyLevel,
}

/// The level of a verification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum VerifyLevel {
    /// Every object exists and has its length.
    #[default]
    Present,
    /// Every byte is read and checked.
    Data,
    /// The backup is restored, and a mysqld checks every table.
    Restore,
}

/// The deletion of the backups that the configured retention policy doesn't keep.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneRequest {
    #[schema(inline)]
    kind: kind::Prune,
    /// The repository, by its name in the configuration; without it the configured one.
    #[serde(default)]
    pub(super) repository: Option<String>,
    /// The job is cancelled if it takes longer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub(super) deadline_seconds: Option<u32>,
    /// Report what would be deleted, delete nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// Delete no chain, only unfinished backups and the rest of interrupted deletions.
    #[serde(default)]
    pub(super) unfinished_only: bool,
}

/// A copy of backups to another repository.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CopyRequest {
    #[schema(inline)]
    kind: kind::Copy,
    /// The repository to copy from, by its name in the configuration; without it the configured one.
    #[serde(default)]
    pub(super) repository: Option<String>,
    /// The job is cancelled if it takes longer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub(super) deadline_seconds: Option<u32>,
    /// The repository to copy to, by its name in the configuration.
    pub(super) into: String,
    /// The backup [default: latest]. The backups that its restore needs are copied with it.
    #[serde(default)]
    pub(super) backup: Option<Reference>,
    /// Copy every finished backup.
    #[serde(default)]
    pub(super) all: bool,
    /// Copy the backups that the configured retention policy keeps.
    #[serde(default)]
    pub(super) kept: bool,
    /// Pin the chains in the target that are pinned in the source.
    #[serde(default)]
    pub(super) with_pins: bool,
}

/// A check of the age and the completeness of the backups, as `lsnap check`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckRequest {
    #[schema(inline)]
    kind: kind::Check,
    /// The repository, by its name in the configuration; without it the configured one.
    #[serde(default)]
    pub(super) repository: Option<String>,
    /// The job is cancelled if it takes longer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub(super) deadline_seconds: Option<u32>,
    /// Largest age of the newest finished backup, in hours [default: 26].
    #[serde(default)]
    #[schema(minimum = 1, maximum = 65535)]
    pub(super) max_age_hours: Option<u16>,
}

/// The name of a backup, or the last part of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 512)]
pub(super) struct Reference(pub(super) String);

impl Reference {
    /// Checks a name. It becomes an argument of a command, so it must not look like an option.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!(
                "{} is not the name of a backup: {why}",
                shown(text)
            ))
        };
        if text.starts_with('-') {
            return wrong("it begins with `-`");
        }
        match BackupName::parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => wrong(&error.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}
