//! The backups to verify, and the check that each continues the one before it.

use super::link::compare;
use super::report::{MemberReport, Problem, ProblemKind, VerifyReport};
use super::{VerifyError, Which};
use crate::manifest::{BackupName, Manifest};
use crate::reader::spaces::{Indexed, Spaces};
use crate::reader::{chain, layout};
use crate::restore::planning;
use crate::store::{BackupFault, BaseFault, Choice, Listed, ListedState, Repository, StoreError};
use chrono::{TimeDelta, Utc};
use std::collections::BTreeMap;

/// Backups of one chain, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) members: Vec<BackupName>,
    /// The backup that is restored.
    pub(super) restore: Option<BackupName>,
}

/// Chooses the backups to verify.
pub(super) fn choose(
    repo: &Repository,
    which: Which<'_>,
    listed: &[Listed],
    report: &mut VerifyReport,
) -> Result<Vec<Chain>, VerifyError> {
    match which {
        Which::Named("latest") => {
            let candidates = repo.candidates(listed)?;
            let choice = Choice::newest(&candidates);
            let chosen = choice.is_some();
            let mut chains: Vec<Chain> = match choice {
                Some(choice) => {
                    for text in choice.warnings() {
                        tracing::warn!("{text}");
                    }
                    report.passed_over = choice.passed_over;
                    vec![chain_of(repo, choice.name, listed)?]
                }
                // All backups are damaged: they are added below.
                None if candidates.iter().any(|l| is_broken(l)) => Vec::new(),
                None => vec![chain_of(
                    repo,
                    repo.choose_in(listed, "latest")?.name,
                    listed,
                )?],
            };
            // `latest` is the newest backup that seems complete: a newer one that was damaged must
            // be reported. Older ones are not needed to restore it.
            let passed_over = |l: &Listed| report.passed_over.iter().any(|p| p.name == l.name);
            let damaged = candidates
                .iter()
                .filter(|l| is_broken(l) && (!chosen || passed_over(l)));
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
            let name = repo.choose_in(listed, text)?.name;
            Ok(vec![chain_of(repo, name, listed)?])
        }
        Which::All => Ok(all(listed, report)),
    }
}

/// Returns whether the listing shows that it can't be restored, although it was finished.
fn is_broken(listed: &Listed) -> bool {
    matches!(
        listed.state,
        ListedState::Damaged { .. } | ListedState::BaseMissing(_)
    ) || lost_its_manifest(listed)
}

/// Time in minutes by which the manifest may be later than the summary.
const MANIFEST_LATE: i64 = 10;

/// Returns whether a backup was finished and its manifest is gone: the summary is written directly
/// before it.
fn lost_its_manifest(listed: &Listed) -> bool {
    let age = Utc::now().signed_duration_since(listed.newest);
    listed.state == ListedState::Unfinished
        && listed.summarized
        && age > TimeDelta::minutes(MANIFEST_LATE)
}

/// Returns the backups that are needed to restore a backup. The chain ends at a manifest that can't
/// be read, which is reported later.
fn chain_of(repo: &Repository, name: BackupName, listed: &[Listed]) -> Result<Chain, VerifyError> {
    let state = listed.iter().find(|l| l.name == name).map(|l| &l.state);
    match state {
        Some(ListedState::Foreign { .. }) => {
            return Err(StoreError::Backup(BackupFault::Foreign { name }).into());
        }
        Some(ListedState::Stream { .. }) => {
            return Err(StoreError::Backup(BackupFault::Streamed { name }).into());
        }
        Some(ListedState::Unfinished | ListedState::Deleting) => {
            // The error of a missing manifest has more details.
            repo.manifest(&name)?;
        }
        _ => {}
    }
    let mut members = vec![name.clone()];
    let mut at = name.clone();
    while let Some(base) = base_of(repo, &at, listed) {
        // A manifest that refers to a later backup, or to itself, ends the chain; the link is
        // checked later.
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
    let known = listed.iter().find(|l| l.name == *name)?.summary();
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
            ListedState::Unfinished | ListedState::Deleting if !lost_its_manifest(backup) => {
                report.unfinished.push(backup.name.clone());
            }
            ListedState::Stream { .. } => report.streams.push(backup.name.clone()),
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

/// Walks through the members of a chain, the full backup first; holds their manifests, like a
/// restore.
#[derive(Default)]
pub(super) struct Walk {
    chain: Vec<Known>,
}

/// A member that was already verified.
pub(super) struct Known {
    manifest: Manifest,
    /// `None`: the manifest contradicts itself.
    spaces: Option<Spaces>,
    /// True if it and all its bases can be restored, as far as the manifests show.
    sound: bool,
    lower_case: Option<u8>,
}

impl Known {
    /// Returns its manifest.
    pub(super) const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns `lower_case_table_names` in its dictionary's pages, or in those of a member before
    /// it.
    pub(super) const fn lower_case(&self) -> Option<u8> {
        self.lower_case
    }

    /// Returns its tablespace files.
    pub(super) const fn spaces(&self) -> Option<&Spaces> {
        self.spaces.as_ref()
    }

    fn indexed(&self) -> Option<Indexed<'_>> {
        Some(Indexed {
            manifest: &self.manifest,
            spaces: self.spaces.as_ref()?,
        })
    }
}

impl Walk {
    /// Returns the base of a member, if it was already verified.
    pub(super) fn base_of(&self, member: &Manifest) -> Option<&Known> {
        let name = &member.base.as_ref()?.name;
        self.chain
            .iter()
            .rfind(|known| known.manifest.name == *name)
    }

    /// Checks that a member can be restored: it continues its base, and the files of the chain up
    /// to it can be determined as in a restore.
    pub(super) fn link(
        &mut self,
        repo: &Repository,
        member: Manifest,
        report: &mut MemberReport,
    ) -> Result<(), VerifyError> {
        let mut problems = Vec::new();
        let sound = self.go_to_base(repo, &member, &mut problems)?;
        if let Err(error) = chain::own_ranges(&member) {
            problems.push(Problem::of_read(error)?);
        }
        if let Err(error) = planning::recoverable(&member) {
            problems.push(Problem::of_restore(error)?);
        }
        let spaces = match Spaces::of(&member) {
            Ok(spaces) => Some(spaces),
            Err(error) => {
                problems.push(Problem::of_read(error)?);
                None
            }
        };
        self.chain.push(Known {
            manifest: member,
            spaces,
            sound: false,
            lower_case: report.pages.lower_case,
        });
        if sound && problems.is_empty() {
            let newest_first = self.chain.iter().rev();
            let newest_first = newest_first.filter_map(Known::indexed).collect::<Vec<_>>();
            if let Err(error) = layout::lay_out_indexed(&newest_first) {
                problems.push(Problem::of_read(error)?);
            }
        }
        if let Some(known) = self.chain.last_mut() {
            known.sound = sound && problems.is_empty();
        }
        problems.into_iter().for_each(|problem| report.add(problem));
        Ok(())
    }

    /// Makes the base of a member the last one of the chain, and checks the link to it; returns
    /// whether the chain up to it is sound.
    fn go_to_base(
        &mut self,
        repo: &Repository,
        member: &Manifest,
        problems: &mut Vec<Problem>,
    ) -> Result<bool, VerifyError> {
        let Some(reference) = &member.base else {
            self.chain.clear();
            return Ok(true);
        };
        let at = self
            .chain
            .iter()
            .rposition(|known| known.manifest.name == reference.name);
        match at {
            Some(at) => self.chain.truncate(at + 1),
            None => self.chain = self.fetched(repo, member, problems)?,
        }
        let Some(base) = self.chain.last() else {
            return Ok(false);
        };
        problems.extend(compare(&base.manifest, member)?);
        if !base.sound && problems.is_empty() {
            problems.push(Problem::new(
                ProblemKind::Chain,
                member.name.as_str(),
                format!("its base {} can't be restored", reference.name),
                "a base that can be restored",
            ));
        }
        Ok(base.sound)
    }

    /// Reads the chain of a member's base, if that is not in the chain so far; empty if it can't be
    /// read.
    fn fetched(
        &self,
        repo: &Repository,
        member: &Manifest,
        problems: &mut Vec<Problem>,
    ) -> Result<Vec<Known>, VerifyError> {
        let Some(base) = base(repo, member, problems)? else {
            return Ok(Vec::new());
        };
        let chain = match repo.chain_of(&base.name) {
            Ok(chain) => chain,
            Err(error) if is_chain_fault(&error) => vec![base],
            Err(error) => return Err(error.into()),
        };
        let mut sound = chain::check(&chain).is_ok();
        let known = |manifest: Manifest| {
            let spaces = Spaces::of(&manifest).ok();
            sound &= spaces.is_some();
            Known {
                manifest,
                spaces,
                sound,
                lower_case: None,
            }
        };
        Ok(chain.into_iter().map(known).collect())
    }
}

const fn is_chain_fault(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Backup(BackupFault::NotFound { .. })
            | StoreError::Backup(BackupFault::NotFinished { .. })
            | StoreError::Damaged { .. }
            | StoreError::UnknownFormat { .. }
            | StoreError::Backup(BackupFault::Foreign { .. })
            | StoreError::Backup(BackupFault::Streamed { .. })
            | StoreError::BrokenChain { .. }
            | StoreError::Gap { .. }
            | StoreError::Base(BaseFault::OtherServer { .. })
    )
}

fn base(
    repo: &Repository,
    member: &Manifest,
    problems: &mut Vec<Problem>,
) -> Result<Option<Manifest>, VerifyError> {
    let Some(reference) = &member.base else {
        return Ok(None);
    };
    let found = match repo.manifest(&reference.name) {
        Ok(base) => return Ok(Some(base)),
        Err(StoreError::Backup(BackupFault::NotFound { .. })) => "no such backup".to_owned(),
        Err(StoreError::Backup(BackupFault::NotFinished { .. })) => {
            "a backup without a manifest".to_owned()
        }
        Err(
            error @ (StoreError::Damaged { .. }
            | StoreError::UnknownFormat { .. }
            | StoreError::Backup(BackupFault::Foreign { .. })
            | StoreError::Backup(BackupFault::Streamed { .. })),
        ) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    problems.push(Problem::new(
        ProblemKind::Chain,
        member.name.as_str(),
        format!("its base {}: {found}", reference.name),
        format!("a backup with the id {}", reference.id),
    ));
    Ok(None)
}
