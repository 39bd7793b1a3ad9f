//! Retention policies, case by case, and against a model with random histories.

use crate::manifest::{BackupName, FileRole, Manifest, SpaceFile, object_name};
use crate::store::error::deletion::DeletionFault;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use proptest::prelude::*;

use super::deletes::{foreign, keys, options};
use super::*;
use crate::innodb::{SpaceFlags, SpaceId};
use crate::progress::Silent;
use crate::store::deletion::delete::delete_unless;
use crate::store::deletion::prune::PruneReport;
use crate::store::deletion::prune::prune_unless;
use crate::store::deletion::retention::{Keep, Policy, Why};

fn prune(
    repository: &Repository,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<PruneReport, StoreError> {
    let nobody = |_: &BackupName| Ok(false);
    prune_unless(&nobody, repository, policy, &options(false), now, &Silent)
}

fn keep_full(n: u64) -> Policy {
    Policy {
        keep_full: Some(n),
        ..Policy::default()
    }
}

fn gone(report: &PruneReport) -> Vec<(&str, Why)> {
    let deleted = report.deleted.iter();
    deleted.map(|d| (d.name.as_str(), d.why)).collect()
}

fn kept(report: &PruneReport) -> BTreeMap<&str, Keep> {
    let kept = report.kept.iter();
    kept.map(|k| (k.name.as_str(), k.why)).collect()
}

fn named(cluster: &str, second: i64) -> BackupName {
    BackupName::full(cluster, at(second)).unwrap()
}

#[test]
fn full_backups_are_counted_by_cluster_and_deleted_with_their_chains() {
    let (repository, _) = memory();
    let mut fulls = Vec::new();
    for n in 0..3 {
        let full = backup(
            &repository,
            &named("prod", n * 1000),
            None,
            10_000 * (n as u64 + 1),
        );
        backup(
            &repository,
            &incr_name(&full.name, n * 1000 + 1),
            Some(&full),
            10_001 * (n as u64 + 1),
        );
        fulls.push(full.name);
    }
    // names with another's as prefix, and a cluster with a single old backup
    let (test, longer) = (named("prod-test", 0), named("prod-2", 0));
    for name in [&test, &longer] {
        backup(&repository, name, None, 5);
    }
    let report = prune(&repository, &keep_full(2), Utc::now()).unwrap();
    let chain = format!("{}.incr/", fulls[0]);
    assert!(report.deleted[0].name.as_str().starts_with(&chain));
    assert_eq!(report.deleted[1].name, fulls[0]);
    assert_eq!(report.deleted.len(), 2);
    let kept = kept(&report);
    for name in [&fulls[1], &fulls[2], &test, &longer] {
        assert_eq!(kept.get(name.as_str()), Some(&Keep::Newest), "{name}");
    }
}

#[test]
fn a_chain_with_a_young_member_and_the_last_chain_stay() {
    let (repository, _) = memory();
    let old = backup(&repository, &full_name(0), None, 10_000);
    backup(&repository, &incr_name(&old.name, 1), Some(&old), 400_000);
    let young = backup(&repository, &full_name(2), None, 500_000);
    let days = Policy {
        keep_days: Some(2),
        ..Policy::default()
    };
    let day = |n: i64| at(400_000) + chrono::TimeDelta::days(n);
    let report = prune(&repository, &days, day(1)).unwrap();
    assert_eq!(gone(&report), []);
    assert_eq!(kept(&report).get(old.name.as_str()), Some(&Keep::Young));
    let report = prune(&repository, &days, day(400)).unwrap();
    assert_eq!(report.deleted.len(), 2);
    assert_eq!(kept(&report), [(young.name.as_str(), Keep::Last)].into());
}

#[test]
fn the_newest_of_days_weeks_months_and_years_stay() {
    let (repository, _) = memory();
    let day = |text: &str| {
        format!("{text}T03:00:00Z")
            .parse::<DateTime<Utc>>()
            .unwrap()
    };
    let mut lsn = 0;
    let mut full = |time: DateTime<Utc>| {
        lsn += 10_000;
        let name = BackupName::full("prod", time).unwrap();
        let at_that_time = |m: &mut Manifest| (m.started_at, m.finished_at) = (time, time);
        backup_with(&repository, &name, None, lsn, at_that_time).name
    };
    // 2026-11-30 is a Monday; two days have two backups
    let days = [
        "2024-05-01",
        "2025-12-31",
        "2026-10-30",
        "2026-11-20",
        "2026-11-28",
        "2026-11-29",
        "2026-11-30",
    ];
    let names: Vec<_> = days.iter().map(|text| full(day(text))).collect();
    let later = full(day("2026-11-30") + chrono::TimeDelta::hours(9));
    let policy = Policy {
        keep_daily: Some(2),
        keep_weekly: Some(3),
        keep_monthly: Some(2),
        keep_yearly: Some(2),
        ..Policy::default()
    };
    let report = prune(&repository, &policy, day("2027-01-10")).unwrap();
    let expected = [
        (later.as_str(), Keep::Daily),
        (names[5].as_str(), Keep::Daily),
        (names[3].as_str(), Keep::Weekly),
        (names[2].as_str(), Keep::Monthly),
        (names[1].as_str(), Keep::Yearly),
    ];
    assert_eq!(kept(&report), expected.into());
    let deleted: Vec<_> = report.deleted.iter().map(|d| d.name.clone()).collect();
    assert_eq!(
        deleted,
        [names[0].clone(), names[4].clone(), names[6].clone()]
    );
}

#[test]
fn a_pinned_chain_stays_until_it_is_unpinned() {
    let (repository, _) = memory();
    let old = backup(&repository, &full_name(0), None, 10_000);
    let member = backup(&repository, &incr_name(&old.name, 1), Some(&old), 20_000);
    let new = backup(&repository, &full_name(2), None, 30_000);
    repository.pin(&member.name).unwrap();
    repository.pin(&old.name).unwrap();
    let listed = repository.list().unwrap();
    let pinned: Vec<bool> = listed.iter().map(|l| l.pinned).collect();
    assert_eq!(
        pinned,
        [true, true, false],
        "both members, in the order of names"
    );
    let report = prune(&repository, &keep_full(1), Utc::now()).unwrap();
    assert_eq!(kept(&report).get(old.name.as_str()), Some(&Keep::Pinned));
    assert!(report.deleted.is_empty());
    let nobody = |_: &BackupName| Ok(false);
    let error =
        delete_unless(&nobody, &repository, &member.name, &options(true), &Silent).unwrap_err();
    assert!(
        matches!(error, StoreError::Deletion(DeletionFault::Pinned { .. })),
        "{error}"
    );
    assert!(repository.unpin(&old.name).unwrap());
    assert!(!repository.unpin(&member.name).unwrap(), "one pin a chain");
    let report = prune(&repository, &keep_full(1), Utc::now()).unwrap();
    assert_eq!(report.deleted.len(), 2);
    assert_eq!(kept(&report), [(new.name.as_str(), Keep::Newest)].into());
}

#[test]
fn a_pin_set_after_the_plan_is_observed() {
    let (repository, _) = memory();
    let old = backup(&repository, &full_name(0), None, 10_000);
    backup(&repository, &full_name(2), None, 30_000);
    // called once for the plan, and again before the chain is deleted
    let pins = |name: &BackupName| {
        if *name == old.name {
            repository.pin(name)?;
        }
        Ok(false)
    };
    let report = prune_unless(
        &pins,
        &repository,
        &keep_full(1),
        &options(false),
        Utc::now(),
        &Silent,
    );
    let report = report.unwrap();
    assert!(report.deleted.is_empty(), "{report:?}");
    assert_eq!(report.skipped[0].name, old.name);
    assert!(report.skipped[0].reason.contains("pinned"), "{report:?}");
}

#[test]
fn no_policy_is_an_error() {
    let (repository, _) = memory();
    let error = prune(&repository, &Policy::default(), Utc::now()).unwrap_err();
    assert!(
        error.to_string().contains("the policy has no rule"),
        "{error}"
    );
    let both = Policy {
        unfinished_only: true,
        ..keep_full(1)
    };
    assert!(prune(&repository, &both, Utc::now()).is_err());
    let nothing = Policy {
        keep_daily: Some(0),
        keep_full: Some(0),
        ..Policy::default()
    };
    assert!(
        prune(&repository, &nothing, Utc::now()).is_err(),
        "a period of which none is kept keeps nothing"
    );
}

/// Makes a full backup of a server whose file of table `db/lost` was missing.
fn lacking(repository: &Repository, name: &BackupName, to: u64) -> Manifest {
    let lost = crate::manifest::AbsentSpace {
        space_id: SpaceId(77),
        name: "db/lost".to_owned(),
        path: "db/lost.ibd".to_owned(),
        why: crate::manifest::Absence::Missing,
        found: None,
    };
    backup_with(repository, name, None, to, |manifest| {
        let spaces = manifest.files.iter().filter_map(|f| f.role.space());
        let spaces: std::collections::BTreeSet<_> = spaces.map(|s| s.space_id).collect();
        manifest.dictionary = Some(crate::manifest::Dictionary {
            tablespaces: spaces.len() as u64 + 1,
            absent: vec![lost],
            ..crate::manifest::Dictionary::default()
        });
    })
}

#[test]
fn a_backup_that_lacks_tables_does_not_replace_another() {
    let (repository, _) = memory();
    let older = backup(&repository, &full_name(0), None, 10_000).name;
    let whole = backup(&repository, &full_name(1), None, 20_000).name;
    let lacks = [
        lacking(&repository, &full_name(2), 30_000).name,
        lacking(&repository, &full_name(3), 40_000).name,
    ];
    let listed = repository.list().unwrap();
    let lacking = listed.iter().filter(|l| l.lacks_tables());
    assert_eq!(lacking.count(), 2);
    let far = Utc::now() + chrono::TimeDelta::days(400);
    let days = Policy {
        keep_days: Some(1),
        ..Policy::default()
    };
    let report = prune(&repository, &keep_full(1), Utc::now()).unwrap();
    assert_eq!(gone(&report), [(older.as_str(), Why::Expired)]);
    let report = prune(&repository, &days, far).unwrap();
    assert_eq!(gone(&report), []);
    let kept_for = kept(&report);
    assert_eq!(kept_for.get(whole.as_str()), Some(&Keep::Last));
    for name in &lacks {
        assert_eq!(kept_for.get(name.as_str()), Some(&Keep::Incomplete));
    }
    // a newer one with all tables replaces all of them
    let again = backup(&repository, &full_name(4), None, 50_000).name;
    let report = prune(&repository, &keep_full(1), Utc::now()).unwrap();
    assert_eq!(report.deleted.len(), 3);
    assert_eq!(kept(&report), [(again.as_str(), Keep::Newest)].into());
}

#[test]
fn a_manifest_with_a_wrong_number_of_tablespaces_is_refused() {
    let (repository, _) = memory();
    let mut manifest = lacking(&repository, &full_name(0), 10);
    manifest.check().unwrap();
    let space = |space_id| {
        FileRole::Tablespace(SpaceFile {
            name: "db/t.ibd".to_owned(),
            space_id: SpaceId(space_id),
            node: 0,
            flags: SpaceFlags(0x4021),
            page_size: PageSize::DEFAULT,
            bytes: 300,
            allocated: None,
            floor: None,
            undo: false,
            encrypted: false,
            external: None,
            tablespace_name: None,
        })
    };
    // one file too many, then the right number, then a file that is also listed as absent
    manifest.files[0].role = space(5);
    let error = manifest.check().unwrap_err();
    assert!(error.to_string().contains("expected 1 together"), "{error}");
    manifest.dictionary.as_mut().unwrap().tablespaces = 2;
    manifest.check().unwrap();
    manifest.files[0].role = space(77);
    let error = manifest.check().unwrap_err();
    assert!(error.found.contains("both absent and a file"), "{error}");
    // the system tablespace isn't counted, and older manifests don't have the number
    manifest.files[0].role = space(0);
    manifest.dictionary.as_mut().unwrap().tablespaces = 1;
    manifest.check().unwrap();
    manifest.files[0].role = space(5);
    manifest.dictionary = None;
    manifest.check().unwrap();
}

#[test]
fn all_backups_are_deleted_only_with_both_settings() {
    let (repository, store) = memory();
    backup(&repository, &full_name(0), None, 10);
    let before = keys(&*store);
    let error = prune(&repository, &keep_full(0), Utc::now()).unwrap_err();
    assert!(
        matches!(error, StoreError::Deletion(DeletionFault::Policy { .. })),
        "{error}"
    );
    assert_eq!(keys(&*store), before);
    let unfinished = Policy {
        unfinished_only: true,
        ..Policy::default()
    };
    let report = prune(&repository, &unfinished, Utc::now()).unwrap();
    assert_eq!(gone(&report), []);
    let all = Policy {
        may_delete_all: true,
        ..keep_full(0)
    };
    prune(&repository, &all, Utc::now()).unwrap();
    assert!(keys(&*store).is_empty(), "{:?}", keys(&*store));
}

#[test]
fn old_unfinished_backups_are_deleted_and_young_ones_keep_their_chain() {
    let (repository, store) = memory();
    let old = backup(&repository, &full_name(0), None, 10);
    let new = backup(&repository, &full_name(1), None, 20);
    let member = incr_name(&old.name, 2);
    let upload = repository.begin(&member, 1).unwrap();
    put_file(&upload, "db/t.ibd", 1).unwrap();
    let started = named("prod", 3);
    let full = repository.begin(&started, 1).unwrap();
    put_file(&full, "db/t.ibd", 1).unwrap();
    let report = prune(&repository, &keep_full(1), Utc::now()).unwrap();
    assert_eq!(gone(&report), []);
    assert_eq!(
        kept(&report).get(old.name.as_str()),
        Some(&Keep::InProgress)
    );
    let tomorrow = Utc::now() + chrono::TimeDelta::hours(25);
    let report = prune(&repository, &keep_full(1), tomorrow).unwrap();
    let names = gone(&report);
    assert!(
        names.contains(&(started.as_str(), Why::Unfinished)),
        "{names:?}"
    );
    assert!(
        names.contains(&(member.as_str(), Why::Expired)),
        "{names:?}"
    );
    assert_eq!(repository.list().unwrap().len(), 1);
    // their slow writers can't finish them
    let files = Vec::new();
    assert!(full.finish(&manifest(&started, None, 30, files)).is_err());
    let listed = repository.list().unwrap();
    assert_eq!(
        listed.iter().map(|l| &l.name).collect::<Vec<_>>(),
        [&new.name]
    );
    let strange = |k: &&String| !k.starts_with(new.name.as_str());
    assert_eq!(keys(&*store).iter().find(strange), None);
}

#[test]
fn damaged_backups_and_other_objects_are_never_pruned() {
    let (repository, store) = memory();
    let lost = backup(&repository, &full_name(0), None, 10);
    let whole = backup(&repository, &full_name(1), None, 20);
    let path = format!("{}/{}", lost.name, object_name("db/t.ibd", 1));
    let path = object_store::path::Path::parse(path).unwrap();
    futures::executor::block_on(object_store::ObjectStoreExt::delete(&*store, &path)).unwrap();
    for key in [
        "photos/2020/cat.jpg",
        "notes.txt",
        "prod/readme",
        ".hidden/lsnap_manifest.json.00000000000000000000",
        "表/😀.00000000000000000001x",
        " /blank",
    ] {
        put_raw(&*store, key, b"mine");
    }
    // files of a user with names like chunks: an unfinished backup, as far as a listing shows
    put_raw(&*store, "cuts/video.00000000000000000000", b"mine");
    let before = keys(&*store);
    let later = Utc::now() + chrono::TimeDelta::days(400);
    let report = prune(&repository, &keep_full(1), later).unwrap();
    assert_eq!(gone(&report), []);
    assert_eq!(keys(&*store), before);
    let kept = kept(&report);
    assert_eq!(kept.get(whole.name.as_str()), Some(&Keep::Newest));
    assert_eq!(kept.get(lost.name.as_str()), Some(&Keep::NoFull));
}

#[test]
fn backups_of_xtrabackup_are_counted_and_protected() {
    let store = Arc::new(InMemory::new());
    let repository = Repository::over("memory", store.clone()).unwrap();
    foreign(&*store, "prod-2020-01-01-00:00:00-full", 0, 100);
    foreign(
        &*store,
        "prod-2020-01-01-00:00:00-full.incr/prod-2020-01-02-00:00:00-incr",
        100,
        200,
    );
    foreign(&*store, "prod-2020-01-03-00:00:00-full", 0, 300);
    backup(&repository, &full_name(0), None, 1000);
    let report = prune(&repository, &keep_full(2), Utc::now()).unwrap();
    assert_eq!(
        gone(&report),
        [
            (
                "prod-2020-01-01-00:00:00-full.incr/prod-2020-01-02-00:00:00-incr",
                Why::Expired
            ),
            ("prod-2020-01-01-00:00:00-full", Why::Expired)
        ]
    );
    let report = prune(&repository, &keep_full(1), Utc::now()).unwrap();
    assert_eq!(
        gone(&report),
        [("prod-2020-01-03-00:00:00-full", Why::Expired)]
    );
}

#[test]
fn an_ambiguous_base_is_not_guessed() {
    let store = Arc::new(InMemory::new());
    let repository = Repository::over("memory", store.clone()).unwrap();
    // an idle server: both end at the same LSN, and the incremental may be based on either
    foreign(&*store, "a-2020-01-01-00:00:00-full", 0, 100);
    foreign(&*store, "a-2020-01-02-00:00:00-full", 0, 100);
    foreign(&*store, "on-which", 100, 200);
    foreign(&*store, "a-2020-01-03-00:00:00-full", 0, 900);
    let report = prune(&repository, &keep_full(2), Utc::now()).unwrap();
    assert_eq!(gone(&report), []);
    let report = prune(&repository, &keep_full(1), Utc::now()).unwrap();
    assert_eq!(
        gone(&report).iter().map(|g| g.0).collect::<Vec<_>>(),
        [
            "on-which",
            "a-2020-01-02-00:00:00-full",
            "a-2020-01-01-00:00:00-full"
        ]
    );
}

/// A step of a history.
#[derive(Debug, Clone)]
enum Step {
    Full,
    /// An incremental on the chain of this number, counted from the newest.
    Incremental(usize),
    /// A backup that was begun and left unfinished.
    Abandoned(usize),
    DeleteNewest(usize),
    Cascade(usize),
    Prune(u64),
    /// Deletes unfinished backups, which count as old.
    Clean,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Full),
        5 => (0usize..4).prop_map(Step::Incremental),
        2 => (0usize..4).prop_map(Step::Abandoned),
        2 => (0usize..4).prop_map(Step::DeleteNewest),
        1 => (0usize..4).prop_map(Step::Cascade),
        1 => (1u64..4).prop_map(Step::Prune),
        1 => Just(Step::Clean),
    ];
    proptest::collection::vec(step, 1..24)
}

/// The expected state: chains of finished backups in the order of their creation.
#[derive(Default)]
struct Model {
    chains: Vec<Vec<Manifest>>,
    abandoned: Vec<BackupName>,
    clock: i64,
}

impl Model {
    fn tick(&mut self) -> i64 {
        self.clock += 1;
        self.clock
    }

    /// Returns the next LSN. The tests use LSNs as times too, so they must ascend.
    fn lsn(&self) -> u64 {
        u64::try_from(self.clock).unwrap() * 100_000
    }

    fn chain(&mut self, from_newest: usize) -> Option<usize> {
        let len = self.chains.len();
        (len > 0).then(|| len - 1 - from_newest % len)
    }

    fn forget(&mut self, root: &BackupName) {
        self.chains.retain(|c| c[0].name != *root);
        self.abandoned.retain(|a| a.base() != *root);
    }

    fn expected(&self) -> Vec<String> {
        let members = self.chains.iter().flatten().map(|m| &m.name);
        let mut names: Vec<_> = members
            .chain(&self.abandoned)
            .map(ToString::to_string)
            .collect();
        names.sort();
        names
    }
}

fn play(repository: &Repository, model: &mut Model, step: &Step) {
    let nobody = |_: &BackupName| Ok(false);
    let delete = |name: &BackupName, cascade| {
        delete_unless(&nobody, repository, name, &options(cascade), &Silent)
    };
    let second = model.tick();
    match step {
        Step::Full => {
            let made = backup(repository, &full_name(second), None, model.lsn());
            model.chains.push(vec![made]);
        }
        Step::Incremental(which) => {
            let Some(at) = model.chain(*which) else {
                return;
            };
            let base = model.chains[at].last().unwrap().clone();
            let name = incr_name(&base.name.base(), second);
            let made = entered(repository, &name, &base, model.lsn());
            model.chains[at].push(made);
        }
        Step::Abandoned(which) => {
            let Some(at) = model.chain(*which) else {
                return;
            };
            let name = incr_name(&model.chains[at][0].name, second);
            let upload = repository.begin(&name, 1).unwrap();
            put_file(&upload, "db/t.ibd", 1).unwrap();
            model.abandoned.push(name);
        }
        Step::DeleteNewest(which) => {
            let Some(at) = model.chain(*which) else {
                return;
            };
            let chain = &model.chains[at];
            let (root, newest) = (chain[0].name.clone(), chain.last().unwrap().name.clone());
            // an unfinished backup after it prevents this, because it may still be finished
            let above = |a: &&BackupName| a.base() == root && **a > newest;
            let blocked = model
                .abandoned
                .iter()
                .any(|a| above(&a) || newest == root && a.base() == root);
            let done = delete(&newest, false);
            assert_eq!(done.is_err(), blocked, "{done:?}");
            if !blocked {
                model.chains[at].pop();
                model.chains.retain(|c| !c.is_empty());
            }
        }
        Step::Cascade(which) => {
            let Some(at) = model.chain(*which) else {
                return;
            };
            let root = model.chains[at][0].name.clone();
            delete(&root, true).unwrap();
            model.forget(&root);
        }
        Step::Prune(n) => {
            let policy = Policy {
                unfinished_older_than: Duration::ZERO,
                ..keep_full(*n)
            };
            let report = prune(repository, &policy, Utc::now()).unwrap();
            assert_eq!(report.skipped, []);
            let expired = model
                .chains
                .len()
                .saturating_sub(usize::try_from(*n).unwrap());
            model.chains.drain(..expired);
            model.abandoned.clear();
        }
        Step::Clean => {
            let policy = Policy {
                unfinished_only: true,
                unfinished_older_than: Duration::ZERO,
                ..Policy::default()
            };
            prune(repository, &policy, Utc::now()).unwrap();
            model.abandoned.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After any sequence of operations, the expected backups exist and can be restored, there are
    /// no others, and after the deletion of all no key is left.
    #[test]
    fn any_history_leaves_the_expected_backups(steps in steps()) {
        let (repository, store) = memory();
        let mut model = Model::default();
        for step in &steps {
            play(&repository, &mut model, step);
            let listed = repository.list().unwrap();
            let mut names: Vec<_> = listed.iter().map(|l| l.name.to_string()).collect();
            names.sort();
            prop_assert_eq!(names, model.expected(), "after {:?}", step);
            for chain in &model.chains {
                let newest = &chain.last().unwrap().name;
                let found = repository.chain_of(newest).unwrap();
                let found: Vec<_> = found.iter().map(|m| &m.name).collect();
                prop_assert_eq!(found, chain.iter().map(|m| &m.name).collect::<Vec<_>>());
            }
        }
        let all = Policy { may_delete_all: true, unfinished_older_than: Duration::ZERO, ..keep_full(0) };
        prune(&repository, &all, Utc::now()).unwrap();
        prop_assert!(keys(&*store).is_empty(), "{:?}", keys(&*store));
    }
}
