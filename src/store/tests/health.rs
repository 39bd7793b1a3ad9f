//! What monitoring is told of a repository.

use super::*;
use crate::store::{ClusterHealth, Limits, health};
use std::time::Duration;

const HOUR: u64 = 3600;

fn limits() -> Limits {
    Limits {
        age: Duration::from_secs(26 * HOUR),
        full_age: None,
        incrementals: None,
    }
}

fn at_time(
    repository: &Repository,
    name: &BackupName,
    base: Option<&Manifest>,
    to: u64,
    time: DateTime<Utc>,
) -> Manifest {
    backup_with(repository, name, base, to, |m| {
        (m.started_at, m.finished_at) = (time, time)
    })
}

fn of<'a>(found: &'a [ClusterHealth], cluster: &str) -> &'a ClusterHealth {
    found.iter().find(|c| c.cluster == cluster).unwrap()
}

#[test]
fn a_cluster_is_as_young_as_its_newest_backup() {
    let (repository, _) = memory();
    let full = at_time(&repository, &full_name(0), None, 10_000, at(0));
    let day = |n: i64| at(0) + chrono::TimeDelta::days(n);
    let member = at_time(
        &repository,
        &incr_name(&full.name, 86_400),
        Some(&full),
        20_000,
        day(1),
    );
    let other = BackupName::full("other", at(0)).unwrap();
    at_time(&repository, &other, None, 5, at(0));
    let listed = repository.list().unwrap();
    let found = health(&listed, &limits(), day(2));
    let prod = of(&found, "prod");
    assert!(
        prod.critical.is_empty() && prod.warnings.is_empty(),
        "{prod:?}"
    );
    assert_eq!(prod.newest.as_ref(), Some(&member.name));
    assert_eq!(
        (prod.age_seconds, prod.full_age_seconds, prod.incrementals),
        (Some(86_400), Some(2 * 86_400), 1)
    );
    assert_eq!(of(&found, "other").critical.len(), 1, "48 h old");
    let strict = Limits {
        full_age: Some(Duration::from_secs(47 * HOUR)),
        incrementals: Some(0),
        ..limits()
    };
    let found = health(&listed, &strict, day(2));
    let prod = of(&found, "prod");
    assert!(
        prod.critical[0].contains("the newest full backup"),
        "{prod:?}"
    );
    assert!(
        prod.warnings[0].contains("1 incremental, more than 0"),
        "{prod:?}"
    );
}

#[test]
fn damage_and_leftovers_are_told() {
    let (repository, store) = memory();
    let full = at_time(&repository, &full_name(0), None, 10_000, at(0));
    let upload = repository.begin(&full_name(1), 1).unwrap();
    put_file(&upload, "db/t.ibd", 1).unwrap();
    let listed = repository.list().unwrap();
    let soon = health(&listed, &limits(), Utc::now());
    assert!(
        of(&soon, "prod").warnings.is_empty(),
        "it may be being made: {soon:?}"
    );
    let later = health(&listed, &limits(), Utc::now() + chrono::TimeDelta::days(2));
    assert!(
        of(&later, "prod").warnings[0].contains("never finished"),
        "{later:?}"
    );
    let object = format!("{}/db/t.ibd.00000000000000000000", full.name);
    let path = object_store::path::Path::parse(&object).unwrap();
    futures::executor::block_on(object_store::ObjectStoreExt::delete(&*store, &path)).unwrap();
    let found = health(&repository.list().unwrap(), &limits(), at(60));
    let critical = &of(&found, "prod").critical;
    assert!(
        critical.iter().any(|text| text.contains("is damaged")),
        "{critical:?}"
    );
    assert!(
        critical.iter().any(|text| text == "no finished backup"),
        "{critical:?}"
    );
}
