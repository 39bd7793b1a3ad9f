//! Names of backups. They have the form of the Percona operator, so that lsnap reads its buckets
//! and it reads those of lsnap (`docs/format/manifest.md#backup-names`).

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

/// The suffix of the directory of a chain, after the name of its full backup.
pub(super) const CHAIN_SUFFIX: &str = ".incr";
/// The name of a backup within a repository: `<cluster>-YYYY-MM-DD-HH:MM:SS-full`, or `<full
/// backup>.incr/<cluster>-YYYY-MM-DD-HH:MM:SS-incr`. Any component is accepted when a name is read,
/// because users of xbcloud choose names freely; new names always have this form. Within a chain,
/// the order of the names is the order of the members.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct BackupName(pub(super) String);

impl BackupName {
    /// Returns the name of a backup in a directory whose name is not a valid backup name.
    #[must_use]
    pub fn unnamed() -> Self {
        Self("unnamed".to_owned())
    }

    /// Returns the whole name, including `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last path component.
    #[must_use]
    pub fn last_part(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns whether it is in a chain's directory.
    #[must_use]
    pub fn is_incremental(&self) -> bool {
        self.0.contains('/')
    }

    /// Returns the full backup of this backup's chain; the name itself for a full backup.
    #[must_use]
    pub fn base(&self) -> Self {
        let full = self
            .0
            .split_once('/')
            .and_then(|(chain, _)| chain_directory(chain));
        full.map_or_else(|| self.clone(), |full| Self(full.to_owned()))
    }
}

impl BackupName {
    /// Returns the directory of this backup's chain, which contains its incrementals.
    pub(crate) fn chain_directory(&self) -> String {
        format!("{}{CHAIN_SUFFIX}", self.base())
    }
}

impl BackupName {
    /// Returns the cluster and the time of a name `<cluster>-<time>-full` or `...-incr`. The time
    /// has the form that lsnap and the operator write, or that of the operator's examples (a day,
    /// or `YYYY-MM-DDTHHMMSS`).
    pub(super) fn stamp(&self) -> Option<(&str, DateTime<Utc>)> {
        let last = self.last_part();
        let rest = last
            .strip_suffix("-full")
            .or_else(|| last.strip_suffix("-incr"))?;
        for (len, format) in [(19, "%Y-%m-%d-%H:%M:%S"), (17, "%Y-%m-%dT%H%M%S")] {
            if let Some((cluster, time)) = split_stamp(rest, len)
                && let Ok(time) = NaiveDateTime::parse_from_str(time, format)
            {
                return Some((cluster, time.and_utc()));
            }
        }
        let (cluster, day) = split_stamp(rest, 10)?;
        let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?;
        Some((cluster, day.and_time(NaiveTime::MIN).and_utc()))
    }

    /// Returns the cluster in the name; `None` if the name doesn't have the form of lsnap's names.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.stamp().map(|(cluster, _)| cluster)
    }

    /// Returns the time in the name; `None` if the name doesn't have the form of lsnap's names.
    #[must_use]
    pub fn time(&self) -> Option<DateTime<Utc>> {
        self.stamp().map(|(_, time)| time)
    }
}

/// Splits `<cluster>-<the last len bytes>`.
fn split_stamp(text: &str, len: usize) -> Option<(&str, &str)> {
    let (head, stamp) = text.split_at_checked(text.len().checked_sub(len)?)?;
    let cluster = head.strip_suffix('-').filter(|c| !c.is_empty())?;
    // chrono also accepts signs and spaces.
    stamp
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some((cluster, stamp))
}

/// Returns the name of the full backup if `directory` is the directory of a chain.
pub(crate) fn chain_directory(directory: &str) -> Option<&str> {
    directory.strip_suffix(CHAIN_SUFFIX)
}

impl AsRef<str> for BackupName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<BackupName> for String {
    fn from(name: BackupName) -> Self {
        name.0
    }
}
