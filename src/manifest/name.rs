//! Names of backups: those of the Percona operator, so that its buckets are ours and ours are its
//! (`docs/format/manifest.md#backup-names`).

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

/// What stands between a full backup's name and its incrementals' directory.
pub(super) const CHAIN_SUFFIX: &str = ".incr";
/// The name of a backup within a repository: `<cluster>-YYYY-MM-DD-HH:MM:SS-full`, or
/// `<full backup>.incr/<cluster>-YYYY-MM-DD-HH:MM:SS-incr`. Read tolerantly (any component will do:
/// xbcloud's users choose freely), made strictly. Within a chain, the order by name is that of the chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupName(pub(super) String);

impl BackupName {
    /// A name for a backup that lies in a directory of no name that could be one.
    #[must_use]
    pub fn unnamed() -> Self {
        Self("unnamed".to_owned())
    }

    /// The whole name, `/` included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last path component.
    #[must_use]
    pub fn last_part(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Whether it lies in a chain's directory.
    #[must_use]
    pub fn is_incremental(&self) -> bool {
        self.0.contains('/')
    }

    /// The full backup of this backup's chain; itself for a full one.
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
    /// The directory of this backup's chain: where its incrementals lie.
    pub(crate) fn chain_directory(&self) -> String {
        format!("{}{CHAIN_SUFFIX}", self.base())
    }
}

impl BackupName {
    /// The cluster and the time in a name `<cluster>-<time>-full` or `...-incr`; the time as lsnap and
    /// the operator write it, or as its examples show it (a day, or `YYYY-MM-DDTHHMMSS`).
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

    /// The cluster that the name begins with, when it has the form that lsnap gives names.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.stamp().map(|(cluster, _)| cluster)
    }

    /// The time in a name of the form that lsnap gives names.
    #[must_use]
    pub fn time(&self) -> Option<DateTime<Utc>> {
        self.stamp().map(|(_, time)| time)
    }
}

/// `<cluster>-<the last len bytes>`.
fn split_stamp(text: &str, len: usize) -> Option<(&str, &str)> {
    let (head, stamp) = text.split_at_checked(text.len().checked_sub(len)?)?;
    let cluster = head.strip_suffix('-').filter(|c| !c.is_empty())?;
    // chrono takes signs and blanks too
    stamp
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some((cluster, stamp))
}

/// The full backup's name when `directory` is one of a chain.
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
