//! Chooses the backups to copy, and compares them with those in the target.

use super::{CopyError, CopyReport, CopyWhich, NotCopied};
use crate::manifest::BackupName;
use crate::store::{Listed, ListedState, Repository, kept_backups};
use chrono::Utc;
use std::collections::{BTreeMap, BTreeSet};

/// The backups to copy, and the state of both repositories.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Chain by chain, the one with the newest backup first; in a chain base before member.
    pub(super) chains: Vec<Vec<Listed>>,
    /// The backups of the target, by name.
    pub(super) there: BTreeMap<BackupName, Listed>,
}

/// What the target has under the name of a backup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing, or an unfinished backup.
    Missing,
    /// The same finished backup.
    Same,
}

pub(super) fn choose(
    (from, to): (&Repository, &Repository),
    which: CopyWhich<'_>,
    report: &mut CopyReport,
) -> Result<Chosen, CopyError> {
    let listed = from.list().map_err(CopyError::of(from))?;
    let wanted: BTreeSet<BackupName> = match which {
        CopyWhich::Named(text) => {
            let choice = from.choose_in(&listed, text).map_err(CopyError::of(from))?;
            report.warnings.extend(choice.warnings());
            let chain = from.chain_of(&choice.name).map_err(CopyError::of(from))?;
            chain.into_iter().map(|member| member.name).collect()
        }
        CopyWhich::All => listed.iter().map(|l| l.name.clone()).collect(),
        CopyWhich::Kept(policy) => {
            kept_backups(&listed, policy, Utc::now()).map_err(CopyError::of(from))?
        }
    };
    let is_named = matches!(which, CopyWhich::Named(_));
    let of_cluster: BTreeSet<BackupName> = from
        .of_the_cluster(&listed)
        .map_err(CopyError::of(from))?
        .into_iter()
        .map(|l| l.name.clone())
        .collect();
    let mut chains: BTreeMap<BackupName, Vec<Listed>> = BTreeMap::new();
    for backup in listed {
        if !wanted.contains(&backup.name) || !(is_named || of_cluster.contains(&backup.name)) {
            continue;
        }
        match why_not(&backup) {
            None => chains.entry(backup.name.base()).or_default().push(backup),
            Some((reason, true)) => {
                if backup.summary().is_some() || has_no_digests(&backup.state) {
                    report
                        .warnings
                        .push(format!("{} was not copied: {reason}", backup.name));
                }
                report.skipped.push(NotCopied {
                    name: backup.name,
                    reason,
                    error: None,
                });
            }
            Some((reason, false)) => report.failed.push(NotCopied {
                name: backup.name,
                reason,
                error: None,
            }),
        }
    }
    let mut chains: Vec<Vec<Listed>> = chains.into_values().collect();
    chains.sort_by_key(|chain| std::cmp::Reverse(chain.iter().map(Listed::made_at).max()));
    let there = if chains.is_empty() {
        Vec::new()
    } else {
        to.list_if_any().map_err(CopyError::of(to))?
    };
    Ok(Chosen {
        chains,
        there: there.into_iter().map(|l| (l.name.clone(), l)).collect(),
    })
}

const fn has_no_digests(state: &ListedState) -> bool {
    matches!(
        state,
        ListedState::Stream { .. } | ListedState::Foreign { .. }
    )
}

/// Returns the reason why a listed backup isn't copied, and whether this is expected.
fn why_not(backup: &Listed) -> Option<(String, bool)> {
    let text = |text: &str, expected| Some((text.to_owned(), expected));
    match &backup.state {
        ListedState::Finished(_) => None,
        ListedState::Unfinished if backup.summarized => {
            text("its manifest is missing: it may have been finished", false)
        }
        ListedState::Unfinished | ListedState::Deleting => text("it is not finished", true),
        ListedState::Stream { .. } => text(
            "it is a stream: there are no digests of its objects; copy it with the store's own tools",
            true,
        ),
        ListedState::Foreign { .. } => text(
            "xtrabackup made it: there are no digests of its objects; copy it with the store's own tools",
            true,
        ),
        ListedState::BaseMissing(_) => text("its base is missing", false),
        ListedState::Damaged { reason } => Some((format!("it is damaged: {reason}"), false)),
    }
}

impl Chosen {
    /// Returns whether the target had this finished backup at the beginning.
    pub(super) fn has(&self, name: &BackupName) -> bool {
        self.there.get(name).is_some_and(|l| l.finished().is_some())
    }

    /// Returns another backup of the target with the same base.
    pub(super) fn sibling(&self, name: &BackupName, base: &BackupName) -> Option<&BackupName> {
        let has_base = |l: &&Listed| {
            l.summary()
                .is_some_and(|s| s.base.as_ref().is_some_and(|b| b.name == *base))
        };
        let mut others = self.there.values().filter(|l| l.name != *name);
        others.find(has_base).map(|l| &l.name)
    }

    /// Compares a backup with the one of its name in the target.
    pub(super) fn there(&self, backup: &Listed, to: &Repository) -> Result<There, CopyError> {
        let Some(found) = self.there.get(&backup.name) else {
            return Ok(There::Missing);
        };
        let refused = |why: String| CopyError::Refused {
            what: format!("{} in {}", backup.name, to.url()),
            why,
        };
        let digest = |l: &Listed| l.summary().map(|s| s.manifest_digest.clone());
        match &found.state {
            ListedState::Unfinished => Ok(There::Missing),
            ListedState::Finished(_) | ListedState::BaseMissing(_) => {
                let (found, expected) = (digest(found), digest(backup));
                if found == expected {
                    return Ok(There::Same);
                }
                Err(CopyError::OtherBackup {
                    name: backup.name.clone(),
                    url: to.url().to_owned(),
                    found: found.unwrap_or_default(),
                    expected: expected.unwrap_or_default(),
                })
            }
            ListedState::Damaged { reason } => Err(CopyError::DamagedThere {
                name: backup.name.clone(),
                url: to.url().to_owned(),
                object: backup.name.to_string(),
                what: reason.clone(),
            }),
            ListedState::Deleting => Err(refused(
                "it is being deleted; complete the deletion, then copy it again".to_owned(),
            )),
            ListedState::Stream { .. } | ListedState::Foreign { .. } => Err(refused(
                "it is another backup, which has no manifest of lsnap; copy into another repository".to_owned(),
            )),
        }
    }
}
