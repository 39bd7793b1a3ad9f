//! The backups that `latest` can mean: those of one cluster, and of these optionally only the ones
//! that were finished before a time.
//!
//! Several servers can share a repository. `latest` must never be a backup of another server than
//! the caller expects, so it is refused if there are backups of several clusters, finished or not,
//! and none is named: the cluster whose backups all failed must not get those of another one.

use crate::counted;
use crate::manifest::{BackupName, Summary};
use crate::store::error::StoreError;
use crate::store::error::backup::BackupFault;
use crate::store::listing::listed::Listed;
use crate::store::listing::order::Order;
use crate::store::objects::repository::Repository;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// The backups from which `latest` is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LatestOf {
    /// The cluster: the first part of the names of its backups. `None`: the only one of the
    /// repository.
    pub cluster: Option<String>,
    /// Only backups that were finished before this time, by the clock of the host that made them.
    pub before: Option<DateTime<Utc>>,
}

/// The cluster of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cluster<'a> {
    /// The cluster in its name, or the only cluster with backups of its server.
    Named(&'a str),
    /// Its name has no cluster, and its server has backups of no cluster, or of several.
    Unnamed,
    /// Its name has no cluster, and it has no summary.
    Unknown,
}

/// The clusters of a listing.
struct Clusters<'a> {
    /// The clusters of each server, by its UUID.
    of_servers: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Clusters<'a> {
    fn of(listed: &'a [Listed]) -> Self {
        let mut of_servers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for backup in listed {
            if let (Some(summary), Some(cluster)) = (any_summary(backup), backup.name.cluster()) {
                let clusters = of_servers.entry(&summary.server_uuid).or_default();
                clusters.insert(cluster);
            }
        }
        Self { of_servers }
    }

    fn cluster<'b>(&self, backup: &'b Listed) -> Cluster<'b>
    where
        'a: 'b,
    {
        if let Some(cluster) = backup.name.cluster() {
            return Cluster::Named(cluster);
        }
        let Some(summary) = any_summary(backup) else {
            return Cluster::Unknown;
        };
        let of_server = self.of_servers.get(summary.server_uuid.as_str());
        let mut of_server = of_server.into_iter().flatten();
        match (of_server.next(), of_server.next()) {
            (Some(cluster), None) => Cluster::Named(cluster),
            _ => Cluster::Unnamed,
        }
    }
}

/// Returns a test whether a backup of the listing can be the base of a backup of the cluster `wanted`. A name without a
/// cluster counts only if its server has no backups of other clusters: a server that was cloned has the UUID of the
/// original.
pub(super) fn may_be_base<'l>(
    listed: &'l [Listed],
    wanted: Option<&'l str>,
) -> impl Fn(&Listed) -> bool + 'l {
    let clusters = Clusters::of(listed);
    move |backup| {
        let Some(wanted) = wanted else {
            return true;
        };
        match clusters.cluster(backup) {
            Cluster::Named(found) => found == wanted,
            Cluster::Unknown => true,
            Cluster::Unnamed => any_summary(backup)
                .is_none_or(|summary| !clusters.of_servers.contains_key(&*summary.server_uuid)),
        }
    }
}

/// Returns the summary of a backup in any state.
fn any_summary(backup: &Listed) -> Option<&Summary> {
    backup.summary().or(backup.other_summary.as_deref())
}

impl Repository {
    /// Restricts `latest`, wherever a name of a backup of this repository is accepted. Names of
    /// backups are not restricted.
    #[must_use]
    pub fn with_latest(mut self, of: LatestOf) -> Self {
        self.latest = of;
        self
    }

    /// Returns the backups of a listing from which `latest` is chosen. Backups whose cluster is
    /// unknown are among them, because they may be newer ones that were damaged.
    ///
    /// # Errors
    /// [`BackupFault::SeveralClusters`](crate::store::BackupFault::SeveralClusters).
    pub(crate) fn candidates<'l>(
        &self,
        listed: &'l [Listed],
    ) -> Result<Vec<&'l Listed>, StoreError> {
        let clusters = Clusters::of(listed);
        let wanted = match &self.latest.cluster {
            Some(cluster) => Some(Cluster::Named(cluster)),
            None => self.only_cluster(&clusters, listed)?,
        };
        let fits = |backup: &&Listed| {
            let cluster = clusters.cluster(backup);
            (cluster == Cluster::Unknown || Some(cluster) == wanted)
                && self
                    .latest
                    .before
                    .is_none_or(|time| may_be_before(backup, time))
        };
        Ok(listed.iter().filter(fits).collect())
    }

    /// Returns the backups of the wanted cluster, or all if none is wanted.
    pub(crate) fn of_the_cluster<'l>(
        &self,
        listed: &'l [Listed],
    ) -> Result<Vec<&'l Listed>, StoreError> {
        match &self.latest.cluster {
            Some(_) => self.candidates(listed),
            None => Ok(listed.iter().collect()),
        }
    }

    fn only_cluster<'l>(
        &self,
        clusters: &Clusters<'l>,
        listed: &'l [Listed],
    ) -> Result<Option<Cluster<'l>>, StoreError> {
        let mut all: BTreeSet<_> = listed.iter().map(|l| clusters.cluster(l)).collect();
        all.remove(&Cluster::Unknown);
        match all.len() {
            0 | 1 => Ok(all.pop_first()),
            _ => Err(StoreError::Backup(BackupFault::SeveralClusters {
                url: self.url().to_owned(),
                clusters: all.into_iter().map(shown).collect(),
            })),
        }
    }

    /// Returns the reason why there is no `latest`, for a message.
    pub(super) fn why_no_latest(&self, listed: &[Listed], candidates: &[&Listed]) -> String {
        let before = match self.latest.before {
            Some(time) => format!(" before {}", time.format("%Y-%m-%dT%H:%M:%SZ")),
            None => String::new(),
        };
        let Some(cluster) = &self.latest.cluster else {
            let backups = counted::count(candidates.len(), "backup");
            return format!("{backups}{before}, none of them finished");
        };
        let clusters = Clusters::of(listed);
        let mut all: BTreeSet<_> = listed.iter().map(|l| clusters.cluster(l)).collect();
        all.remove(&Cluster::Unknown);
        if all.contains(&Cluster::Named(cluster)) {
            return format!("it has no finished backup of cluster {cluster}{before}");
        }
        let names: Vec<String> = all.into_iter().map(shown).collect();
        let others = if names.is_empty() {
            String::new()
        } else {
            format!(", but of {}", names.join(", "))
        };
        format!("it has no backup of cluster {cluster}{others}")
    }
}

fn shown(cluster: Cluster<'_>) -> String {
    match cluster {
        Cluster::Named(name) => name.to_owned(),
        Cluster::Unnamed | Cluster::Unknown => "(names without a cluster)".to_owned(),
    }
}

/// Returns whether a backup was finished before `time`, as far as its summary or its name shows.
fn may_be_before(backup: &Listed, time: DateTime<Utc>) -> bool {
    match any_summary(backup) {
        Some(summary) => summary.finished_at < time,
        None => backup.name.time().is_none_or(|begun| begun < time),
    }
}

/// Describes another server with backups in the same cluster, if both servers were backed up in
/// turns. A server that was replaced by another one has only older backups.
pub(super) fn in_turns(
    chosen: &Listed,
    candidates: &[&Listed],
    order: &Order<'_>,
) -> Option<String> {
    let own = chosen.finished()?;
    let finished = || {
        let all = candidates.iter().copied();
        all.filter_map(|l| Some((&l.name, l.finished()?)))
    };
    let compare = |a: &BackupName, b: &BackupName| order.compare(a, b);
    let (oldest, _) = finished()
        .filter(|(_, s)| s.server_uuid == own.server_uuid)
        .min_by(|a, b| compare(a.0, b.0))?;
    let (name, other) = finished()
        .filter(|(name, s)| s.server_uuid != own.server_uuid && compare(name, oldest).is_gt())
        .max_by(|a, b| compare(a.0, b.0))?;
    let server = |s: &Summary| match s.hostname.as_str() {
        "" => s.server_uuid.clone(),
        host => format!("{} ({host})", s.server_uuid),
    };
    Some(format!(
        "{} is of server {}, but the same cluster has backups of server {} from the same time ({name}): if one is not \
         a replica of the other, name the wanted backup, and back up each server with a cluster of its own",
        chosen.name,
        server(own),
        server(other)
    ))
}
