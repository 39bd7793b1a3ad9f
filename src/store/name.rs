//! Names of backups, as the operator gives them (`specs/operator.md` section 1).

use super::StoreError;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What stands between a full backup's name and the directory of its incrementals.
const INCR: &str = ".incr";

/// `<cluster>-<time>-full`, or `<full>.incr/<cluster>-<time>-incr`. Sorted by name, the members of a
/// chain stand in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupName(String);

impl BackupName {
    /// The name of a full backup that begins at `time`.
    ///
    /// # Errors
    /// [`StoreError::Name`] when `cluster` can't be a part of a name.
    pub fn full(cluster: &str, time: DateTime<Utc>) -> Result<Self, StoreError> {
        Self::parse(&format!("{cluster}-{}-full", stamp(time)))
    }

    /// The name of an incremental of the chain of the full backup `base`.
    ///
    /// # Errors
    /// As [`Self::full`].
    pub fn incremental(
        base: &Self,
        cluster: &str,
        time: DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        Self::parse(&format!(
            "{}{INCR}/{cluster}-{}-incr",
            base.base(),
            stamp(time)
        ))
    }

    /// Checks a name.
    ///
    /// # Errors
    /// [`StoreError::Name`].
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let wrong = |why| {
            Err(StoreError::Name {
                name: text.to_owned(),
                why,
            })
        };
        let mut parts = text.split('/');
        let first = parts.next().unwrap_or_default();
        let second = parts.next();
        if parts.next().is_some() {
            return wrong("it has more than two parts");
        }
        for part in [Some(first), second].into_iter().flatten() {
            if part.is_empty() || part == "." || part == ".." {
                return wrong("a part of it is empty, \".\" or \"..\"");
            }
            if part.len() > 200 {
                return wrong("a part of it is longer than 200 bytes");
            }
            if part.chars().any(|c| c.is_control() || c == '\\') {
                return wrong("it contains a control character or a backslash");
            }
        }
        match (first.ends_with(INCR), second) {
            (true, Some(_)) => {
                if first.len() == INCR.len() {
                    return wrong("the directory of incrementals names no full backup");
                }
            }
            (true, None) => return wrong("it is the directory of a chain's incrementals"),
            (false, Some(_)) => {
                return wrong("only the incrementals of a chain lie in a directory");
            }
            (false, None) => {}
        }
        Ok(Self(text.to_owned()))
    }

    /// The full backup of this backup's chain; itself for a full one.
    #[must_use]
    pub fn base(&self) -> Self {
        match self.0.split_once('/') {
            Some((dir, _)) => Self(dir.strip_suffix(INCR).unwrap_or(dir).to_owned()),
            None => self.clone(),
        }
    }

    /// Whether it lies in a chain's directory.
    #[must_use]
    pub fn is_incremental(&self) -> bool {
        self.0.contains('/')
    }

    /// The last part.
    #[must_use]
    pub fn last_part(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

fn stamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d-%H:%M:%S").to_string()
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

impl TryFrom<String> for BackupName {
    type Error = StoreError;
    fn try_from(text: String) -> Result<Self, StoreError> {
        Self::parse(&text)
    }
}

impl From<BackupName> for String {
    fn from(name: BackupName) -> Self {
        name.0
    }
}
