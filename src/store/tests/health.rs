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
    assert_eq!(of(&found, "prod").damaged, 1);
    assert!(
        critical.iter().any(|text| text == "no finished backup"),
        "{critical:?}"
    );
}

#[test]
fn the_limits_of_ages_are_exact() {
    let (repository, _) = memory();
    let full = at_time(&repository, &full_name(0), None, 10_000, at(0));
    let hour = |n: i64| at(0) + chrono::TimeDelta::hours(n);
    let incr = incr_name(&full.name, 3600);
    at_time(&repository, &incr, Some(&full), 20_000, hour(1));
    let listed = repository.list().unwrap();
    let strict = Limits {
        full_age: Some(Duration::from_secs(27 * HOUR)),
        incrementals: Some(1),
        ..limits()
    };
    let found = health(&listed, &strict, hour(27));
    assert_eq!(
        (
            of(&found, "prod").critical.len(),
            of(&found, "prod").warnings.len()
        ),
        (0, 0)
    );
    let late = health(&listed, &strict, hour(27) + chrono::TimeDelta::seconds(1));
    let critical = &of(&late, "prod").critical;
    assert_eq!(critical.len(), 2, "both are too old: {critical:?}");
    assert!(
        critical[0].contains(incr.as_str()) && critical[1].contains("full backup"),
        "{critical:?}"
    );
}

#[test]
fn only_the_chain_of_the_newest_backup_is_counted() {
    let (repository, _) = memory();
    let old = at_time(&repository, &full_name(0), None, 10_000, at(0));
    let first = incr_name(&old.name, 1);
    let first = at_time(&repository, &first, Some(&old), 20_000, at(1));
    at_time(
        &repository,
        &incr_name(&old.name, 2),
        Some(&first),
        30_000,
        at(2),
    );
    let new = at_time(&repository, &full_name(3), None, 40_000, at(3));
    let newest = incr_name(&new.name, 4);
    at_time(&repository, &newest, Some(&new), 50_000, at(4));
    // A later incremental that is not finished doesn't count.
    let upload = repository.begin(&incr_name(&new.name, 5), 1).unwrap();
    put_file(&upload, "db/t.ibd", 1).unwrap();
    let listed = repository.list().unwrap();
    let found = health(&listed, &limits(), at(60));
    let prod = of(&found, "prod");
    assert_eq!(
        (prod.newest.as_ref(), prod.incrementals),
        (Some(&newest), 1)
    );
    assert_eq!((prod.backups, prod.unfinished, prod.damaged), (6, 0, 0));
    assert_eq!(prod.full_age_seconds, Some(57));
    let objects: u64 = listed.iter().map(|l| l.objects).sum();
    let bytes: u64 = listed.iter().map(|l| l.stored_bytes).sum();
    assert_eq!((prod.objects, prod.stored_bytes), (objects, bytes));
    assert!(objects > 6 && bytes > 0);
}

#[test]
fn an_unfinished_backup_is_reported_after_a_day() {
    let (repository, _) = memory();
    at_time(&repository, &full_name(0), None, 10_000, at(0));
    let upload = repository.begin(&full_name(1), 1).unwrap();
    put_file(&upload, "db/t.ibd", 1).unwrap();
    let listed = repository.list().unwrap();
    let after = |hours: i64| {
        let found = health(
            &listed,
            &limits(),
            Utc::now() + chrono::TimeDelta::hours(hours),
        );
        (
            of(&found, "prod").unfinished,
            of(&found, "prod").warnings.len(),
        )
    };
    assert_eq!((after(23), after(25)), ((0, 0), (1, 1)));
}

#[test]
fn a_backup_without_its_base_is_not_the_newest() {
    let (repository, store) = memory();
    let lost = at_time(&repository, &full_name(0), None, 10_000, at(0));
    let incr = incr_name(&lost.name, 3);
    at_time(&repository, &incr, Some(&lost), 40_000, at(3));
    let kept = BackupName::full("prod", at(1)).unwrap();
    at_time(&repository, &kept, None, 20_000, at(1));
    for object in repository
        .list()
        .unwrap()
        .iter()
        .filter(|l| l.name == lost.name)
    {
        assert!(object.objects > 0);
    }
    let prefix = object_store::path::Path::parse(lost.name.as_str()).unwrap();
    futures::executor::block_on(async {
        use futures::TryStreamExt as _;
        use object_store::{ObjectStore as _, ObjectStoreExt as _};
        let all: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
        for object in all {
            store.delete(&object.location).await.unwrap();
        }
    });
    let found = health(&repository.list().unwrap(), &limits(), at(60));
    let prod = of(&found, "prod");
    assert_eq!(prod.newest.as_ref(), Some(&kept), "{prod:?}");
    assert_eq!(prod.damaged, 1, "{prod:?}");
    assert!(
        prod.critical.iter().any(|text| text.contains("base of")),
        "{prod:?}"
    );
}

#[test]
fn a_newest_backup_that_lacks_tables_is_critical() {
    let (repository, _) = memory();
    let lacks = |name: &BackupName, to, time| {
        let lost = crate::manifest::AbsentSpace {
            space_id: crate::innodb::SpaceId(77),
            name: "db/lost".to_owned(),
            path: "db/lost.ibd".to_owned(),
            why: crate::manifest::Absence::Missing,
            found: None,
        };
        backup_with(&repository, name, None, to, |m| {
            (m.started_at, m.finished_at) = (time, time);
            let spaces = m.files.iter().filter(|f| f.role.space().is_some()).count();
            m.dictionary = Some(crate::manifest::Dictionary {
                tablespaces: spaces as u64 + 1,
                absent: vec![lost],
                ..crate::manifest::Dictionary::default()
            });
        })
    };
    lacks(&full_name(0), 10_000, at(0));
    let critical = |repository: &Repository| {
        let found = health(&repository.list().unwrap(), &limits(), at(60));
        of(&found, "prod").critical.clone()
    };
    assert_eq!(critical(&repository), ["the newest backup lacks tables"]);
    at_time(&repository, &full_name(1), None, 20_000, at(1));
    assert_eq!(critical(&repository), [""; 0], "a newer one has all");
}

#[test]
fn a_limit_for_full_backups_needs_one() {
    let (repository, _) = memory();
    let full = at_time(&repository, &full_name(0), None, 10_000, at(0));
    let incr = incr_name(&full.name, 3);
    at_time(&repository, &incr, Some(&full), 40_000, at(3));
    let mut listed = repository.list().unwrap();
    listed.retain(|l| l.name == incr);
    let strict = Limits {
        full_age: Some(Duration::MAX),
        ..limits()
    };
    let found = health(&listed, &strict, at(60));
    assert_eq!(of(&found, "prod").critical, ["no finished full backup"]);
    let found = health(&listed, &limits(), at(60));
    assert_eq!(of(&found, "prod").critical, [""; 0]);
    listed[0].state = crate::store::ListedState::Deleting;
    let found = health(&listed, &limits(), at(60));
    let prod = of(&found, "prod");
    assert!(prod.warnings[0].contains("the deletion of"), "{prod:?}");
    assert_eq!(prod.critical, ["no finished backup"]);
}
