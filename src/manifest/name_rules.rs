//! The rules for names of backups: strict for names that lsnap creates, tolerant for names that it
//! reads.

use super::ManifestError;
use super::name::{BackupName, CHAIN_SUFFIX, chain_directory};
use crate::counted::count;
use chrono::{DateTime, Datelike, TimeDelta, Utc};

/// Longest component in bytes: with the suffix, a directory name on every file system.
const MAX_COMPONENT: usize = 255 - CHAIN_SUFFIX.len();
/// Longest cluster name in bytes: leaves space for `-YYYY-MM-DD-HH:MM:SS-full`.
const MAX_CLUSTER: usize = 200;

impl BackupName {
    /// Returns the name of a full backup that started at `time`.
    ///
    /// # Errors
    /// [`ManifestError::BadName`] if `cluster` has other characters than letters, digits, `-`, `.`
    /// and `_`, or the year doesn't have four digits.
    pub fn full(cluster: &str, time: DateTime<Utc>) -> Result<Self, ManifestError> {
        Self::parse(&stamped(cluster, time, "full")?)
    }

    /// Returns the name of an incremental in the chain of `base` (its full backup or any
    /// incremental). The operator restores the members of a chain in the order of their names. If
    /// the time in the base's name is `time` or later (a clock was ahead), the new name has the
    /// second after the base's.
    ///
    /// # Errors
    /// [`ManifestError::BadName`] as in [`Self::full`], and if no name of this cluster sorts after
    /// the name of an incremental base.
    pub fn incremental(
        base: &Self,
        cluster: &str,
        time: DateTime<Utc>,
    ) -> Result<Self, ManifestError> {
        let after = base.is_incremental().then(|| base.stamp()).flatten();
        let time = match after {
            Some((of, at)) if of == cluster => time.max(at + TimeDelta::seconds(1)),
            _ => time,
        };
        let last = stamped(cluster, time, "incr")?;
        let name = Self::parse(&format!("{}{CHAIN_SUFFIX}/{last}", base.base()))?;
        if base.is_incremental() && base.last_part() >= last.as_str() {
            return Err(bad(
                &name.0,
                format!(
                    "it does not sort after its base {base}, and members of a chain are restored in \
                     name order: check the cluster name"
                ),
            ));
        }
        Ok(name)
    }

    /// Returns the name of an incremental that started at `time` and whose base has no known name. It is not the name
    /// of a member of a chain in a repository.
    ///
    /// # Errors
    /// [`ManifestError::BadName`] as in [`Self::full`].
    pub fn incremental_alone(cluster: &str, time: DateTime<Utc>) -> Result<Self, ManifestError> {
        Self::parse(&stamped(cluster, time, "incr")?)
    }

    /// Parses a name of a repository.
    ///
    /// # Errors
    /// [`ManifestError::BadName`] if it is empty, has more levels than `<base>.incr/<name>`, or has
    /// a component that is hidden, `lost+found`, too long or contains control characters.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let mut components = text.split('/');
        let first = components.next().unwrap_or_default();
        match (components.next(), components.next()) {
            (None, _) => {
                check_component(text, first)?;
                if first.ends_with(CHAIN_SUFFIX) {
                    return Err(bad(
                        text,
                        format!("`{CHAIN_SUFFIX}` marks the directory of a chain"),
                    ));
                }
            }
            (Some(last), None) => {
                let Some(base) = first.strip_suffix(CHAIN_SUFFIX) else {
                    return Err(bad(
                        text,
                        "expected <full backup>.incr/<name>, one level of directories".to_owned(),
                    ));
                };
                check_component(text, base)?;
                check_component(text, last)?;
                if base.ends_with(CHAIN_SUFFIX) || last.ends_with(CHAIN_SUFFIX) {
                    return Err(bad(text, "chains do not nest".to_owned()));
                }
            }
            _ => return Err(bad(text, "too many `/`".to_owned())),
        }
        Ok(Self(text.to_owned()))
    }
}

/// Returns whether a directory at the top of a repository may contain backups. Hidden ones
/// (`.snapshot`) and `lost+found` are never opened.
pub(crate) fn may_hold_backups(directory: &str) -> bool {
    let name = chain_directory(directory).unwrap_or(directory);
    check_component(name, name).is_ok()
}

fn stamped(cluster: &str, time: DateTime<Utc>, kind: &str) -> Result<String, ManifestError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let head = cluster.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !head || cluster.len() > MAX_CLUSTER || !cluster.chars().all(plain) {
        return Err(bad(
            cluster,
            format!(
                "a cluster name has letters, digits, `-`, `.` and `_`, begins with a letter or a \
                 digit and has at most {MAX_CLUSTER} bytes"
            ),
        ));
    }
    if !(0..=9999).contains(&time.year()) {
        return Err(bad(
            cluster,
            format!("year {} has not four digits", time.year()),
        ));
    }
    Ok(format!(
        "{cluster}-{}-{kind}",
        time.format("%Y-%m-%d-%H:%M:%S")
    ))
}

fn check_component(whole: &str, component: &str) -> Result<(), ManifestError> {
    let reason = if component.is_empty() {
        "it has an empty component".to_owned()
    } else if component.starts_with('.') {
        "a component begins with `.`".to_owned()
    } else if component == "lost+found" {
        "lost+found belongs to the file system".to_owned()
    } else if component.len() > MAX_COMPONENT {
        format!(
            "a component has {}, at most {MAX_COMPONENT}",
            count(component.len(), "byte")
        )
    } else if component.chars().any(char::is_control) {
        "it holds control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(bad(whole, reason))
}

fn bad(name: &str, reason: String) -> ManifestError {
    ManifestError::BadName {
        name: name.escape_debug().to_string(),
        reason,
    }
}

impl std::str::FromStr for BackupName {
    type Err = ManifestError;
    fn from_str(text: &str) -> Result<Self, ManifestError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for BackupName {
    type Error = ManifestError;
    fn try_from(text: String) -> Result<Self, ManifestError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    fn at(second: i64) -> DateTime<Utc> {
        Utc.timestamp_opt(second, 0).unwrap()
    }

    #[test]
    fn names_have_the_form_of_the_operator() {
        let full = BackupName::full("prod.eu-1", at(1_795_000_000)).unwrap();
        assert_eq!(full.as_str(), "prod.eu-1-2026-11-18-11:06:40-full");
        let incr = BackupName::incremental(&full, "prod.eu-1", at(1_795_000_060)).unwrap();
        assert_eq!(
            incr.as_str(),
            "prod.eu-1-2026-11-18-11:06:40-full.incr/prod.eu-1-2026-11-18-11:07:40-incr"
        );
        assert_eq!(incr.base(), full);
        assert_eq!(full.base(), full);
        let next = BackupName::incremental(&incr, "prod.eu-1", at(1_795_000_061)).unwrap();
        assert_eq!(next.base(), full);
        assert!(next > incr && next.is_incremental());
    }

    #[test]
    fn a_clock_that_goes_back_gives_the_next_second() {
        let full = BackupName::full("c", at(1000)).unwrap();
        let incr = BackupName::incremental(&full, "c", at(2000)).unwrap();
        let next = BackupName::incremental(&full, "c", at(2001)).unwrap();
        for second in [0, 1999, 2000, 2001] {
            let name = BackupName::incremental(&incr, "c", at(second)).unwrap();
            assert_eq!(name, next);
        }
        // For another cluster there may be no name that sorts after it.
        let error = BackupName::incremental(&incr, "a", at(3000)).unwrap_err();
        assert!(error.to_string().contains("does not sort after"), "{error}");
        let last = BackupName::incremental(&full, "c", at(253_402_300_799)).unwrap();
        BackupName::incremental(&last, "c", at(0)).unwrap_err();
    }

    #[test]
    fn names_of_other_programs_are_read() {
        for name in [
            "b1",
            "prod-2026-04-06-full",
            "prod-2026-04-07T000000-full",
            "a b@0020#%~",
            "x-full.incr/2026-04-07T000000-incr",
            "größe-full",
        ] {
            assert_eq!(BackupName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_could_leave_the_repository_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "/",
            "/a",
            "a/",
            "a/b",
            "../a",
            "a.incr/..",
            "a.incr/",
            ".incr/a",
            "a.incr",
            "a.incr/b/c",
            "a\nb",
            "a\0",
            "a\u{85}b",
            "lost+found",
            ".snapshot",
            "a.incr.incr/b",
            "a.incr/b.incr",
        ] {
            assert!(BackupName::parse(name).is_err(), "{name:?}");
            assert!(
                serde_json::from_value::<BackupName>(name.into()).is_err(),
                "{name:?}"
            );
        }
        assert!(BackupName::parse(&"x".repeat(251)).is_err());
        for cluster in ["", "-a", "a/b", "a b", "..", "a\n", "ä"] {
            assert!(BackupName::full(cluster, at(0)).is_err(), "{cluster:?}");
        }
    }

    proptest! {
        #[test]
        fn parse_never_panics_and_round_trips(text in any::<String>()) {
            if let Ok(name) = BackupName::parse(&text) {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(!text.split('/').any(|c| c.is_empty() || c.starts_with('.')));
                let root = name.base();
                prop_assert!(!root.is_incremental());
                prop_assert_eq!(BackupName::parse(root.as_str()).unwrap(), root);
            }
        }

        #[test]
        fn order_by_name_is_order_in_time(a in 0i64..253_402_300_799, b in 0i64..253_402_300_799) {
            let full = BackupName::full("c", at(0)).unwrap();
            let name = |s| BackupName::incremental(&full, "c", at(s)).unwrap();
            prop_assert_eq!(name(a).cmp(&name(b)), a.cmp(&b));
        }
    }
}
