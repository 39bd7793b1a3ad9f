//! `latest` is a backup of the wanted cluster, and an incremental is based on one of its own cluster.

use super::*;
use crate::store::error::backup::BackupFault;
use crate::store::error::base::BaseFault;
use crate::store::upload::state::Upload;

fn named(cluster: &str, second: i64) -> BackupName {
    BackupName::full(cluster, at(second)).unwrap()
}

fn of_server(uuid: &str) -> impl Fn(&mut Manifest) + '_ {
    move |manifest| {
        manifest.server.uuid = uuid.to_owned();
        manifest.server.redo_log_uuid = uuid.bytes().map(u32::from).sum();
    }
}

fn scoped(repository: &Repository, cluster: &str) -> Repository {
    let of = LatestOf {
        cluster: Some(cluster.to_owned()),
        before: None,
    };
    repository.clone().with_latest(of)
}

fn clusters_of(result: Result<BackupName, StoreError>) -> Vec<String> {
    match result {
        Err(StoreError::Backup(BackupFault::SeveralClusters { clusters, .. })) => clusters,
        other => panic!("{other:?}"),
    }
}

/// Begins a backup and leaves it unfinished.
fn unfinished(repository: &Repository, name: &BackupName) -> Upload {
    let upload = repository.begin(name, 4).unwrap();
    put_file(&upload, "db/t.ibd", 1).unwrap();
    upload
}

#[test]
fn latest_is_never_a_backup_of_an_unnamed_cluster() {
    let (repository, store) = memory();
    let (mine, theirs) = (named("shop", 0), named("shop-2", 90));
    backup_with(&repository, &mine, None, 100, of_server("mine"));
    assert_eq!(repository.resolve("latest").unwrap(), mine);
    // a cluster whose only backup was never finished must not get the backup of the other one
    let upload = unfinished(&repository, &theirs);
    assert_eq!(
        clusters_of(repository.resolve("latest")),
        ["shop", "shop-2"]
    );
    let none = scoped(&repository, "shop-2").resolve("latest").unwrap_err();
    assert!(
        none.to_string()
            .contains("no finished backup of cluster shop-2"),
        "{none}"
    );
    upload.abort().unwrap();
    backup_with(&repository, &theirs, None, 100, of_server("theirs"));
    assert_eq!(
        clusters_of(repository.resolve("latest")),
        ["shop", "shop-2"]
    );
    for (cluster, name) in [("shop", &mine), ("shop-2", &theirs)] {
        let repository = scoped(&repository, cluster);
        assert_eq!(repository.resolve("latest").unwrap(), *name);
        assert_eq!(describe(&repository, "latest").unwrap().listed.name, *name);
        // names are not restricted
        assert_eq!(repository.resolve(mine.as_str()).unwrap(), mine);
        assert_eq!(repository.resolve(theirs.as_str()).unwrap(), theirs);
    }
    for cluster in ["sho", "shop-", "shop-22", ""] {
        let error = scoped(&repository, cluster).resolve("latest").unwrap_err();
        assert!(
            error.to_string().contains("but of shop, shop-2"),
            "{cluster}: {error}"
        );
    }
    // damage of another cluster's newest backup does not make the choice doubtful
    remove_raw(&*store, &format!("{theirs}/db/t.ibd.{:020}", 0));
    assert_eq!(scoped(&repository, "shop").resolve("latest").unwrap(), mine);
    assert!(scoped(&repository, "shop-2").resolve("latest").is_err());
}

#[test]
fn names_without_a_cluster_belong_to_that_of_their_server() {
    let (repository, _) = memory();
    backup(&repository, &full_name(0), None, 100);
    let weekly = BackupName::parse("weekly").unwrap();
    backup(&repository, &weekly, None, 200);
    assert_eq!(repository.resolve("latest").unwrap(), weekly);
    assert_eq!(
        scoped(&repository, "prod").resolve("latest").unwrap(),
        weekly
    );
    let other = BackupName::parse("other").unwrap();
    backup_with(&repository, &other, None, 900, of_server("other"));
    assert_eq!(
        clusters_of(repository.resolve("latest")),
        ["prod", "(names without a cluster)"]
    );
    assert_eq!(
        scoped(&repository, "prod").resolve("latest").unwrap(),
        weekly
    );
}

#[test]
fn latest_before_a_time() {
    let (repository, store) = memory();
    let made: Vec<Manifest> = (0..4)
        .map(|n| {
            backup_with(
                &repository,
                &full_name(n * 100),
                None,
                100 + n as u64,
                |m| {
                    m.started_at = at(n * 100);
                    m.finished_at = at(n * 100 + 50);
                },
            )
        })
        .collect();
    let before = |second: i64| {
        let of = LatestOf {
            cluster: None,
            before: Some(at(second)),
        };
        repository.clone().with_latest(of).resolve("latest")
    };
    assert_eq!(before(1000).unwrap(), made[3].name);
    assert_eq!(before(351).unwrap(), made[3].name);
    // the state of a backup is that of its end
    assert_eq!(before(350).unwrap(), made[2].name);
    assert_eq!(before(151).unwrap(), made[1].name);
    let error = before(50).unwrap_err().to_string();
    assert!(error.contains("none of them finished"), "{error}");
    // a damaged backup makes the choice doubtful only if it may be from before that time
    for document in ["lsnap_summary.json", "lsnap_manifest.json"] {
        put_raw(
            &*store,
            &format!("{}/{document}.{:020}", made[2].name, 0),
            &[7; 4000],
        );
    }
    assert_eq!(before(151).unwrap(), made[1].name);
    assert!(matches!(
        before(300),
        Err(StoreError::Backup(BackupFault::NewerInDoubt { .. }))
    ));
}

#[test]
fn two_servers_with_one_cluster_are_reported() {
    let (repository, _) = memory();
    let add = |second: i64, server: &str| {
        backup_with(&repository, &full_name(second), None, 100, |m| {
            of_server(server)(m);
            (m.started_at, m.finished_at) = (at(second), at(second + 1));
        })
    };
    let warnings = || repository.choose("latest").unwrap().warnings();
    add(0, "old");
    add(10, "old");
    // a server that replaces another one
    add(20, "new");
    add(30, "new");
    assert_eq!(warnings(), [] as [String; 0]);
    add(40, "old");
    let found = warnings();
    assert_eq!(found.len(), 1, "{found:?}");
    for part in ["of server old", "of server new", "a cluster of its own"] {
        assert!(found[0].contains(part), "{found:?}");
    }
}

#[test]
fn a_base_of_another_cluster_is_never_used() {
    let (repository, _) = memory();
    let mine = backup(&repository, &named("shop", 0), None, 100);
    // a clone has the same server_uuid and the same redo log, and is newer
    let clone = backup(&repository, &named("clone", 90), None, 900);
    let base = |cluster: &str, pinned: Option<&str>| {
        let next = repository.next_base(SERVER, Some(cluster), pinned);
        next.map(|next| next.base.name)
    };
    assert_eq!(base("shop", None).unwrap(), mine.name);
    assert_eq!(base("clone", None).unwrap(), clone.name);
    let error = base("third", None).unwrap_err();
    assert!(
        matches!(error, StoreError::Base(BaseFault::NoBase { .. })),
        "{error}"
    );
    assert!(
        error.to_string().contains("none of cluster third"),
        "{error}"
    );
    let other = |result: Result<BackupName, StoreError>| match result {
        Err(StoreError::Base(BaseFault::OtherCluster { name, .. })) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(other(base("shop", Some(clone.name.as_str()))), clone.name);
    // an earlier lsnap continued the chain of the original with a backup of the clone
    let across = BackupName::incremental(&mine.name, "clone", at(10)).unwrap();
    backup(&repository, &across, Some(&mine), 200);
    assert_eq!(other(base("shop", None)), across);
    assert_eq!(base("clone", None).unwrap(), clone.name);
}

/// A full backup without a cluster in its name, made by `consolidate --to-name` from the chain of the original.
#[test]
fn a_base_without_a_cluster_is_not_that_of_a_cloned_server() {
    let (repository, _) = memory();
    backup(&repository, &named("shop", 0), None, 100);
    let monthly = BackupName::parse("monthly").unwrap();
    backup(&repository, &monthly, None, 900);
    let base = |cluster: &str, pinned: Option<&str>| {
        let next = repository.next_base(SERVER, Some(cluster), pinned);
        next.map(|next| next.base.name)
    };
    assert_eq!(base("shop", None).unwrap(), monthly);
    assert!(base("clone", None).is_err());
    assert!(base("clone", Some("monthly")).is_err());
    // with backups of both, its cluster is not certain
    let clone = backup(&repository, &named("clone", 90), None, 300);
    assert_eq!(base("clone", None).unwrap(), clone.name);
    assert_ne!(base("shop", None).unwrap(), monthly);
}

#[test]
fn a_chain_that_is_pinned_meanwhile_is_not_deleted() {
    let (repository, store) = memory();
    let full = backup(&repository, &full_name(0), None, 100);
    let incremental = entered(&repository, &incr_name(&full.name, 10), &full, 200);
    let before = keys(&*store).len();
    for name in [&full.name, &incremental.name] {
        let pinning = |name: &BackupName| repository.pin(name).map(|()| false);
        let options = DeleteOptions {
            cascade: true,
            ..DeleteOptions::default()
        };
        let deleted = crate::store::deletion::delete::delete_unless(
            &pinning,
            &repository,
            name,
            &options,
            &crate::progress::Silent,
        );
        assert!(
            matches!(
                deleted,
                Err(StoreError::Deletion(DeletionFault::Pinned { .. }))
            ),
            "{deleted:?}"
        );
        assert!(repository.unpin(name).unwrap());
        assert_eq!(keys(&*store).len(), before);
    }
}
