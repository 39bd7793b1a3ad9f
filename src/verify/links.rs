//! Which backups are looked at, and whether each continues the one before it.

use super::report::{MemberReport, Problem, ProblemKind, VerifyReport};
use super::{VerifyError, Which};
use crate::innodb::SpaceId;
use crate::restore::{RestoreError, chain};
use crate::store::{BackupName, Listed, ListedState, Manifest, Repository, StoreError};
use std::collections::{BTreeMap, HashSet};

/// Backups that belong together, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) members: Vec<BackupName>,
    /// The one to restore.
    pub(super) restore: Option<BackupName>,
}

/// Chooses what is looked at.
pub(super) fn choose(
    repo: &Repository,
    which: Which<'_>,
    listed: &[Listed],
    report: &mut VerifyReport,
) -> Result<Vec<Chain>, VerifyError> {
    match which {
        Which::Named("latest") => {
            let name = repo.resolve_in(listed, "latest");
            let damaged = listed.iter().filter(|l| is_damaged(l));
            let mut chains: Vec<Chain> = match name {
                Ok(name) => vec![chain_of(repo, name, listed)?],
                // Nothing but damaged ones: those are told below.
                Err(StoreError::NotFound { .. }) if listed.iter().any(is_damaged) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            // `latest` is the newest that looks whole: one that is newer and was damaged must not
            // be passed over in silence.
            for backup in damaged {
                if !chains.iter().any(|c| c.members.contains(&backup.name)) {
                    chains.push(Chain {
                        members: vec![backup.name.clone()],
                        restore: None,
                    });
                }
            }
            Ok(chains)
        }
        Which::Named(text) => {
            let name = repo.resolve_in(listed, text)?;
            Ok(vec![chain_of(repo, name, listed)?])
        }
        Which::All => Ok(all(listed, report)),
    }
}

fn is_damaged(listed: &Listed) -> bool {
    matches!(listed.state, ListedState::Damaged { .. })
}

/// What the restore of a backup needs. Ends where a manifest can't be read: that is told later.
fn chain_of(repo: &Repository, name: BackupName, listed: &[Listed]) -> Result<Chain, VerifyError> {
    let state = listed.iter().find(|l| l.name == name).map(|l| &l.state);
    match state {
        Some(ListedState::Foreign { .. }) => return Err(StoreError::Foreign { name }.into()),
        Some(ListedState::Unfinished | ListedState::Deleting) => {
            // The message of a missing manifest says more.
            repo.manifest(&name)?;
        }
        _ => {}
    }
    let mut members = vec![name.clone()];
    let mut at = name.clone();
    while let Some(base) = base_of(repo, &at, listed) {
        // A manifest that names a later one, or itself, ends the walk; the link is judged later.
        if base >= at || !listed.iter().any(|l| l.name == base) {
            break;
        }
        members.push(base.clone());
        at = base;
    }
    members.reverse();
    Ok(Chain {
        members,
        restore: Some(name),
    })
}

fn base_of(repo: &Repository, name: &BackupName, listed: &[Listed]) -> Option<BackupName> {
    let known = listed.iter().find(|l| l.name == *name)?.finished();
    if let Some(summary) = known {
        return summary.base.as_ref().map(|base| base.name.clone());
    }
    let manifest = repo.manifest(name).ok()?;
    manifest.base.map(|base| base.name)
}

fn all(listed: &[Listed], report: &mut VerifyReport) -> Vec<Chain> {
    let mut chains: BTreeMap<BackupName, Chain> = BTreeMap::new();
    for backup in listed {
        match &backup.state {
            ListedState::Unfinished | ListedState::Deleting => {
                report.unfinished.push(backup.name.clone());
            }
            ListedState::Foreign { .. } => report.xtrabackups.push(backup.name.clone()),
            state => {
                let chain = chains.entry(backup.name.base()).or_default();
                chain.members.push(backup.name.clone());
                if matches!(state, ListedState::Finished(_)) {
                    chain.restore = chain.restore.take().max(Some(backup.name.clone()));
                }
            }
        }
    }
    let mut chains: Vec<Chain> = chains.into_values().collect();
    chains.iter_mut().for_each(|chain| chain.members.sort());
    chains
}

/// Goes through the members of a chain; holds one manifest.
#[derive(Default)]
pub(super) struct Walk {
    previous: Option<Manifest>,
}

impl Walk {
    /// Judges whether a member continues its base.
    pub(super) fn link(
        &mut self,
        repo: &Repository,
        member: Manifest,
        report: &mut MemberReport,
    ) -> Result<(), VerifyError> {
        if let Err(error) = chain::own_ranges(&member) {
            report.add(Problem::of_restore(error)?);
        }
        if let Some(reference) = &member.base {
            let base = match self.previous.take() {
                Some(previous) if previous.name == reference.name => Some(previous),
                _ => base(repo, &member, report)?,
            };
            if let Some(base) = base {
                for problem in judge(&base, &member)? {
                    report.add(problem);
                }
            }
        }
        self.previous = Some(member);
        Ok(())
    }
}

fn base(
    repo: &Repository,
    member: &Manifest,
    report: &mut MemberReport,
) -> Result<Option<Manifest>, VerifyError> {
    let Some(reference) = &member.base else {
        return Ok(None);
    };
    let found = match repo.manifest(&reference.name) {
        Ok(base) => return Ok(Some(base)),
        Err(StoreError::NotFound { .. }) => "no such backup".to_owned(),
        Err(StoreError::NotFinished { .. }) => "a backup without a manifest".to_owned(),
        Err(
            error @ (StoreError::Damaged { .. }
            | StoreError::UnknownFormat { .. }
            | StoreError::Foreign { .. }
            | StoreError::Streamed { .. }),
        ) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    report.add(Problem::new(
        ProblemKind::Chain,
        member.name.as_str(),
        format!("its base {}: {found}", reference.name),
        format!("a backup with the id {}", reference.id),
    ));
    Ok(None)
}

fn judge(base: &Manifest, member: &Manifest) -> Result<Vec<Problem>, RestoreError> {
    let mut problems = Vec::new();
    if let Some(reference) = &member.base {
        let same = [
            ("id", &base.id, &reference.id),
            (
                "to_lsn",
                &base.lsn.to_lsn.to_string(),
                &reference.to_lsn.to_string(),
            ),
        ];
        for (what, found, expected) in same {
            if found != expected {
                problems.push(Problem::new(
                    ProblemKind::Chain,
                    member.name.as_str(),
                    format!("its base {} has the {what} {found}", base.name),
                    expected.as_str(),
                ));
            }
        }
    }
    if member.name.base() != base.name.base() {
        problems.push(Problem::new(
            ProblemKind::Chain,
            member.name.as_str(),
            format!("its base {} is of another chain", base.name),
            member.name.base().as_str(),
        ));
    }
    problems.extend(lost(base, member));
    if let Err(error) = chain::link(base, member) {
        problems.push(Problem::of_restore(error)?);
    }
    Ok(problems)
}

/// Tables that the base has and the dictionary still had, and whose files were missing. A backup is not
/// made like that; one that is would hide at its restore that they were lost.
fn lost(base: &Manifest, member: &Manifest) -> Vec<Problem> {
    let spaces = base.files.iter().filter_map(|file| file.role.space());
    let had: HashSet<SpaceId> = spaces.map(|space| space.space_id).collect();
    let lost = member
        .missing_tables()
        .filter(|space| had.contains(&space.space_id));
    lost.map(|space| {
        Problem::new(
            ProblemKind::Chain,
            member.name.as_str(),
            format!(
                "no tablespace {} (space {}), which its base has",
                space.name, space.space_id
            ),
            "every tablespace of the base that was not dropped",
        )
    })
    .collect()
}
