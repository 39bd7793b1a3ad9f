//! The rules of chains: the backups that a restore needs, and the base of the next incremental.
//!
//! The manifests define a chain (each names its base by name, ID and LSN), not the contents of a
//! directory: the leftovers of an interrupted incremental are not a member. The Percona operator
//! restores by name order instead. Therefore an incremental is only ever appended to the end of its
//! chain, and only if the state of every member is certain.

use crate::counted;
use crate::innodb::Lsn;
use crate::manifest::{BackupName, LinkFault, LinkField, Manifest, link_faults};
use crate::store::error::StoreError;
use crate::store::error::backup::BackupFault;
use crate::store::error::base::BaseFault;
use crate::store::error::chain::ChainFault;
use crate::store::error::open::OpenFault;
use crate::store::listing::latest::Choice;
use crate::store::listing::latest::newer_than;
use crate::store::listing::listed::{Listed, ListedState};
use crate::store::listing::order::Order;
use crate::store::listing::passed_over::PassedOver;
use crate::store::listing::scope::may_be_base;
use crate::store::objects::repository::Repository;
use std::collections::HashMap;

/// Number of names in a message.
const SHOWN: usize = 5;

impl Repository {
    /// Returns the backup that `text` names: its whole name, the last component of its name if only
    /// one backup has it, or `latest`, the newest finished one of the cluster
    /// ([`Self::with_latest`]). Backups that `latest` passes over are logged as warnings.
    ///
    /// # Errors
    /// [`BackupFault::NotFound`](crate::store::BackupFault::NotFound),
    /// [`BackupFault::Ambiguous`](crate::store::BackupFault::Ambiguous),
    /// [`BackupFault::SeveralClusters`](crate::store::BackupFault::SeveralClusters),
    /// [`BackupFault::NewerInDoubt`](crate::store::BackupFault::NewerInDoubt), or the repository
    /// can't be listed.
    pub fn resolve(&self, text: &str) -> Result<BackupName, StoreError> {
        self.choose(text).map(|choice| choice.name)
    }

    /// As [`Self::resolve`], with the backups that `latest` passes over.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn choose(&self, text: &str) -> Result<Choice, StoreError> {
        self.choose_in(&self.list()?, text)
    }

    /// As [`Self::choose`], with a listing of the caller.
    pub(crate) fn choose_in(&self, listed: &[Listed], text: &str) -> Result<Choice, StoreError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text != "latest" {
            return Ok(Choice {
                name: self.named(listed, text)?,
                passed_over: Vec::new(),
                other_server: None,
            });
        }
        let candidates = self.candidates(listed)?;
        let newest = Choice::newest(&candidates)
            .ok_or_else(|| self.no_such(text, self.why_no_latest(listed, &candidates)))?;
        newest.settled(self.url())
    }

    /// Returns the backup with this name or this last component.
    fn named(&self, listed: &[Listed], text: &str) -> Result<BackupName, StoreError> {
        if let Some(exact) = listed.iter().find(|l| l.name.as_str() == text) {
            return Ok(exact.name.clone());
        }
        let fits: Vec<_> = listed
            .iter()
            .filter(|l| l.name.last_part() == text)
            .map(|l| &l.name)
            .collect();
        match fits.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(self.no_such(text, there_are(listed))),
            _ => Err(StoreError::Backup(BackupFault::Ambiguous {
                text: text.to_owned(),
                count: fits.len(),
                names: names(fits.iter().copied()),
            })),
        }
    }

    /// Returns the members that a restore of `name` needs, the full backup first, `name` last.
    /// Every link is checked: each member is finished, of the same server, has a `from_lsn` equal
    /// to the `to_lsn` of its base and a `last_lsn` not below the base's, and its base is the very
    /// backup (by ID) that it was made on.
    ///
    /// # Errors
    /// [`StoreError::BrokenChain`], [`StoreError::Gap`],
    /// [`BaseFault::OtherServer`](crate::store::BaseFault::OtherServer) and those of
    /// [`Self::manifest`]. They name the member, what was found and what was expected.
    pub fn chain_of(&self, name: &BackupName) -> Result<Vec<Manifest>, StoreError> {
        let mut chain = vec![self.manifest(name)?];
        while let Some(member) = chain.last()
            && let Some(reference) = &member.base
        {
            let broken = |why| broken(name, why);
            let (of, base) = (member.name.clone(), reference.name.clone());
            let found = self
                .manifest(&reference.name)
                .map_err(|error| match error {
                    StoreError::Backup(BackupFault::NotFound { url, .. }) => {
                        broken(ChainFault::MissingBase {
                            member: of,
                            base,
                            url,
                        })
                    }
                    StoreError::Backup(BackupFault::NotFinished { .. }) => {
                        broken(ChainFault::Unfinished { member: of, base })
                    }
                    other => other,
                })?;
            check_link(name, &found, member)?;
            chain.push(found);
        }
        chain.reverse();
        Ok(chain)
    }

    /// Returns the base of the server's next incremental, the members before it, and newer backups
    /// that were passed over. The base is the newest finished member of the chain of the server's
    /// newest finished full backup. `pinned` names another chain by its full backup (like the
    /// operator's base), or an incremental, which must be the newest of its chain. The whole chain
    /// is checked as by [`Self::chain_of`], so that an incremental is never based on a broken one.
    ///
    /// If `cluster` is given, no member of the chain may be of another cluster: a server that was
    /// cloned has the UUID of the original, but is backed up with a cluster of its own.
    ///
    /// # Errors
    /// [`BaseFault::NoBase`](crate::store::BaseFault::NoBase). For a pinned base also
    /// [`BackupFault::NotFound`](crate::store::BackupFault::NotFound),
    /// [`BackupFault::NotFinished`](crate::store::BackupFault::NotFinished),
    /// [`BaseFault::NotNewest`](crate::store::BaseFault::NotNewest),
    /// [`BaseFault::OtherServer`](crate::store::BaseFault::OtherServer).
    /// [`BaseFault::OtherCluster`](crate::store::BaseFault::OtherCluster).
    /// [`StoreError::BrokenChain`] also for a fork or a damaged member. Those of
    /// [`Self::chain_of`].
    pub fn next_base(
        &self,
        server_uuid: &str,
        cluster: Option<&str>,
        pinned: Option<&str>,
    ) -> Result<NextBase, StoreError> {
        let of = (server_uuid, cluster);
        let listed = match self.list() {
            Err(StoreError::Open(OpenFault::NoRepository { .. })) if pinned.is_none() => {
                return Err(self.no_base(of, &[]));
            }
            other => other?,
        };
        let start = match pinned {
            Some(text) => {
                let name = self.choose_in(&listed, text)?.name;
                let manifest = self.manifest(&name)?;
                same_server(&name, &manifest.server.uuid, server_uuid)?;
                same_cluster(&name.base(), cluster)?;
                let full = listed.iter().find(|l| l.name == name.base());
                if full.is_some_and(|full| !may_be_base(&listed, cluster)(full)) {
                    return Err(other_cluster(&name.base(), cluster));
                }
                name
            }
            None => newest_full(&listed, of).ok_or_else(|| self.no_base(of, &listed))?,
        };
        let tip = tip_of(&start.base(), &listed)?;
        if start.is_incremental() && tip != start {
            return Err(StoreError::Base(BaseFault::NotNewest {
                base: start,
                newest: tip,
            }));
        }
        let mut chain = self.chain_of(&tip)?;
        for member in &chain {
            same_cluster(&member.name, cluster)?;
        }
        let base = chain.pop().ok_or_else(|| self.no_base(of, &listed))?;
        same_server(&tip, &base.server.uuid, server_uuid)?;
        let passed_over = passed_over(&tip, &listed, server_uuid, pinned.is_some());
        Ok(NextBase {
            before: chain,
            base,
            passed_over,
        })
    }

    fn no_base(
        &self,
        (server_uuid, cluster): (&str, Option<&str>),
        listed: &[Listed],
    ) -> StoreError {
        let fulls = || listed.iter().filter(|l| !l.name.is_incremental());
        let count = |test: fn(&ListedState) -> bool| fulls().filter(|l| test(&l.state)).count();
        let of_server = |l: &&Listed| l.finished().is_some_and(|s| s.server_uuid == server_uuid);
        let elsewhere = fulls().filter(of_server).find_map(|l| l.name.cluster());
        if let (Some(wanted), Some(found)) = (cluster, elsewhere) {
            return StoreError::Base(BaseFault::NoBase {
                server_uuid: server_uuid.to_owned(),
                url: self.url().to_owned(),
                hint: format!(
                    "there is none of cluster {wanted}, but of cluster {found}; if {found} is this server, and not one \
                     that it was cloned from, set BackupOptions::cluster to {found}"
                ),
                other_cluster: Some(found.to_owned()),
            });
        }
        StoreError::Base(BaseFault::NoBase {
            server_uuid: server_uuid.to_owned(),
            url: self.url().to_owned(),
            hint: format!(
                "of full backups there are {} finished of other servers, {} unfinished, {} damaged, \
                 {} and {} made by xtrabackup",
                count(|s| matches!(s, ListedState::Finished(_))),
                count(|s| matches!(s, ListedState::Unfinished | ListedState::Deleting)),
                count(|s| matches!(s, ListedState::Damaged { .. })),
                counted::count(count(|s| matches!(s, ListedState::Stream { .. })), "stream"),
                count(|s| matches!(s, ListedState::Foreign { .. })),
            ),
            other_cluster: None,
        })
    }

    fn no_such(&self, text: &str, hint: String) -> StoreError {
        StoreError::Backup(BackupFault::NotFound {
            name: text.to_owned(),
            url: self.url().to_owned(),
            hint,
        })
    }
}

/// The base of the next incremental.
#[derive(Debug, Clone)]
pub struct NextBase {
    /// The members before the base, the full backup first.
    pub before: Vec<Manifest>,
    /// The base.
    pub base: Manifest,
    /// Newer backups that may be finished ones of this server. The incremental has all changes
    /// since its base nevertheless.
    pub passed_over: Vec<PassedOver>,
}

/// Returns the backups that are newer than the base and may be finished ones of the server. If the
/// chain was named, only its members are returned.
fn passed_over(
    base: &BackupName,
    listed: &[Listed],
    server_uuid: &str,
    named: bool,
) -> Vec<PassedOver> {
    let Some(chosen) = listed.iter().find(|l| l.name == *base) else {
        return Vec::new();
    };
    let may_be_of_it = |name: &BackupName| {
        let found = listed.iter().find(|l| l.name == *name);
        let of_another = found.is_some_and(|l| l.is_of_another_server(server_uuid));
        let elsewhere = named && name.base() != base.base();
        !of_another && !elsewhere
    };
    let all: Vec<&Listed> = listed.iter().collect();
    let mut passed = newer_than(chosen, &all);
    passed.retain(|p| p.why.may_have_been_finished() && may_be_of_it(&p.name));
    passed
}

fn newest_full(
    listed: &[Listed],
    (server_uuid, cluster): (&str, Option<&str>),
) -> Option<BackupName> {
    let order = Order::of(listed);
    let of_cluster = may_be_base(listed, cluster);
    let fits = |l: &Listed| {
        let of_it = l.finished().is_some_and(|s| s.server_uuid == server_uuid);
        of_it && !l.name.is_incremental() && of_cluster(l)
    };
    for found in order.disagreements(fits) {
        tracing::warn!("{found}");
    }
    let newest = listed
        .iter()
        .filter(|l| fits(l))
        .max_by(|a, b| order.compare(&a.name, &b.name))?;
    Some(newest.name.clone())
}

/// Returns the newest finished member of the chain of the full backup `root`, if the state of every
/// member is certain.
fn tip_of(root: &BackupName, listed: &[Listed]) -> Result<BackupName, StoreError> {
    let mut bases: HashMap<&BackupName, &BackupName> = HashMap::new();
    let mut tip = root;
    for member in listed.iter().filter(|l| l.name.base() == *root) {
        match &member.state {
            ListedState::Damaged { reason } => {
                let fault = ChainFault::Damaged {
                    member: member.name.clone(),
                    what: reason.clone(),
                };
                return Err(broken(root, fault));
            }
            ListedState::Finished(summary) | ListedState::BaseMissing(summary) => {
                tip = tip.max(&member.name);
                let Some(base) = &summary.base else { continue };
                if let Some(first) = bases.insert(&base.name, &member.name) {
                    let fault = ChainFault::Forked {
                        base: base.name.clone(),
                        first: first.clone(),
                        second: member.name.clone(),
                    };
                    return Err(broken(root, fault));
                }
            }
            // a member of the operator's chain that can't be a base for lsnap
            ListedState::Stream { .. } => {
                return Err(StoreError::Backup(BackupFault::Streamed {
                    name: member.name.clone(),
                }));
            }
            ListedState::Foreign { .. } => {
                return Err(StoreError::Backup(BackupFault::Foreign {
                    name: member.name.clone(),
                }));
            }
            ListedState::Unfinished | ListedState::Deleting => {}
        }
    }
    Ok(tip.clone())
}

fn broken(name: &BackupName, why: ChainFault) -> StoreError {
    StoreError::BrokenChain {
        name: name.clone(),
        why: Box::new(why),
    }
}

/// Checks the link between a member of the chain of `name` and its base, as far as a repository
/// checks it.
///
/// # Errors
/// [`StoreError::BrokenChain`], [`StoreError::Gap`],
/// [`BaseFault::OtherServer`](crate::store::BaseFault::OtherServer).
fn check_link(name: &BackupName, base: &Manifest, member: &Manifest) -> Result<(), StoreError> {
    if member.base.is_none() {
        return Ok(());
    }
    let faults = link_faults(base, member);
    let order = |fault: &LinkFault| LINK.iter().position(|field| *field == fault.field);
    let first = faults
        .into_iter()
        .filter_map(|fault| Some((order(&fault)?, fault)))
        .min_by_key(|(order, _)| *order);
    let Some((_, fault)) = first else {
        return Ok(());
    };
    let expected = match fault.field {
        LinkField::ServerUuid => return same_server(&base.name, &fault.base, &fault.member),
        LinkField::FromLsn | LinkField::BaseToLsn => {
            return Err(StoreError::Gap {
                name: name.clone(),
                base: base.name.clone(),
                member: member.name.clone(),
                found: match fault.field {
                    LinkField::FromLsn => member.lsn.from_lsn,
                    _ => member.base.as_ref().map_or(Lsn(0), |base| base.to_lsn),
                },
                expected: base.lsn.to_lsn,
            });
        }
        LinkField::LastLsn => format!("at most {}, that of its member", fault.member),
        LinkField::Name => "one that sorts before it".to_owned(),
        _ => fault.member,
    };
    let fault = ChainFault::WrongBase {
        member: member.name.clone(),
        base: base.name.clone(),
        what: fault.field.name(),
        found: fault.base,
        expected,
    };
    Err(broken(name, fault))
}

/// The fields that a repository checks; the first fault in this order is reported. The last field
/// also guarantees that a walk through the chain ends: each base must sort before its member.
const LINK: [LinkField; 9] = [
    LinkField::ServerUuid,
    LinkField::BaseId,
    LinkField::FromLsn,
    LinkField::BaseToLsn,
    LinkField::LastLsn,
    LinkField::Chain,
    LinkField::PageSize,
    LinkField::Filter,
    LinkField::Name,
];

fn same_server(name: &BackupName, found: &str, expected: &str) -> Result<(), StoreError> {
    if found == expected {
        return Ok(());
    }
    Err(StoreError::Base(BaseFault::OtherServer {
        name: name.clone(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    }))
}

/// Returns whether a backup is of the wanted cluster. Its name may have another form, without a
/// cluster.
fn is_of_cluster(name: &BackupName, wanted: Option<&str>) -> bool {
    match (name.cluster(), wanted) {
        (Some(found), Some(wanted)) => found == wanted,
        _ => true,
    }
}

fn same_cluster(name: &BackupName, wanted: Option<&str>) -> Result<(), StoreError> {
    if is_of_cluster(name, wanted) {
        return Ok(());
    }
    Err(other_cluster(name, wanted))
}

fn other_cluster(name: &BackupName, wanted: Option<&str>) -> StoreError {
    StoreError::Base(BaseFault::OtherCluster {
        name: name.clone(),
        expected: wanted.unwrap_or_default().to_owned(),
    })
}

fn there_are(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "it has no backups".to_owned();
    }
    format!("it has {}", names(listed.iter().map(|l| &l.name)))
}

fn names<'a>(all: impl ExactSizeIterator<Item = &'a BackupName>) -> String {
    let count = all.len();
    let shown: Vec<_> = all.take(SHOWN).map(BackupName::as_str).collect();
    let more = count.saturating_sub(SHOWN);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(", "))
}
