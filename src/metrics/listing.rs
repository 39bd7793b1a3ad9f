//! The metrics of a repository, from a listing.

use super::families::{
    BACKUPS, BYTES, CHAIN, DAMAGED, Family, LISTED, NEWEST, NEWEST_FULL, OBJECTS, SUCCESS,
    UNFINISHED,
};
use super::text::Sample;
use crate::manifest::BackupKind;
use crate::store::{self, ClusterHealth, Limits, Listed};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::time::Duration;

/// Returns the samples of a listing of a repository.
pub(crate) fn of_listing(listed: &[Listed], repository: &str, now: DateTime<Utc>) -> Vec<Sample> {
    let limits = Limits {
        age: Duration::MAX,
        full_age: None,
        incrementals: None,
    };
    let clusters = store::health(listed, &limits, now);
    let time = now.timestamp() as f64;
    let mut samples = vec![Sample::new(&LISTED, &[("repository", repository)], time)];
    for cluster in &clusters {
        samples.extend(of_cluster(cluster, repository, now));
    }
    samples
}

fn of_cluster(cluster: &ClusterHealth, repository: &str, now: DateTime<Utc>) -> Vec<Sample> {
    let labels = [
        ("repository", repository),
        ("cluster", cluster.cluster.as_str()),
    ];
    let start =
        |age: Option<i64>| age.map(|age| (now - TimeDelta::seconds(age)).timestamp() as f64);
    let values: [(&'static Family, Option<f64>); 8] = [
        (&BACKUPS, Some(cluster.backups as f64)),
        (&BYTES, Some(cluster.stored_bytes as f64)),
        (&OBJECTS, Some(cluster.objects as f64)),
        (&UNFINISHED, Some(cluster.unfinished as f64)),
        (&DAMAGED, Some(cluster.damaged as f64)),
        (&NEWEST, start(cluster.age_seconds)),
        (&NEWEST_FULL, start(cluster.full_age_seconds)),
        (
            &CHAIN,
            cluster.newest.as_ref().map(|_| cluster.incrementals as f64),
        ),
    ];
    let samples = values
        .into_iter()
        .filter_map(|(family, value)| Some(Sample::new(family, &labels, value?)));
    samples.collect()
}

/// Returns the end of the newest finished backup of each type and cluster, as the last success of `backup`.
pub(crate) fn last_backups(listed: &[Listed], repository: &str) -> Vec<Sample> {
    let mut newest: BTreeMap<(&str, &str), DateTime<Utc>> = BTreeMap::new();
    for backup in listed.iter().filter(|backup| backup.is_whole()) {
        let cluster = backup.name.cluster().unwrap_or_default();
        let time = newest
            .entry((cluster, kind_name(backup.kind())))
            .or_insert_with(|| backup.made_at());
        *time = backup.made_at().max(*time);
    }
    let sample = |((cluster, kind), time): ((&str, &str), DateTime<Utc>)| {
        let labels = [
            ("command", "backup"),
            ("repository", repository),
            ("cluster", cluster),
            ("type", kind),
        ];
        Sample::new(&SUCCESS, &labels, time.timestamp() as f64)
    };
    newest.into_iter().map(sample).collect()
}

/// Returns the name of a type, as a label.
pub(crate) const fn kind_name(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Full => "full",
        BackupKind::Incremental => "incremental",
    }
}
