//! The newest backup is found despite wrong clocks.

use crate::manifest::{BackupName, BaseRef, Manifest};
use std::cmp::Ordering;

use proptest::prelude::*;

use super::deletes::options;
use super::*;
use crate::manifest::Summary;
use crate::progress::Silent;
use crate::store;
use crate::store::deletion::retention::Policy;
use crate::store::listing::order::Order;
use crate::store::listing::order::disagreements;

fn named(text: &str) -> BackupName {
    BackupName::parse(text).unwrap()
}

#[test]
fn a_clock_that_ran_ahead_does_not_decide() {
    let (repository, _) = memory();
    let year = 365 * 86_400;
    // made while the clock was a year ahead
    let early = |m: &mut Manifest| m.started_at = at(year);
    let first = backup_with(&repository, &full_name(year), None, 10, early);
    let name = incr_name(&first.name, year + 5);
    let incr = backup_with(&repository, &name, Some(&first), 20, |m| {
        m.started_at = at(year + 5)
    });
    let right = |m: &mut Manifest| m.started_at = at(100);
    let second = backup_with(&repository, &full_name(100), None, 30, right);
    assert_eq!(repository.resolve("latest").unwrap(), second.name);
    assert_eq!(
        repository.next_base(SERVER, None, None).unwrap().base.name,
        second.name
    );
    // the next member of the early chain has a name that sorts after it
    let next = BackupName::incremental(&incr.name, "prod", at(200)).unwrap();
    assert!(next > incr.name);
    let next = backup_with(&repository, &next, Some(&incr), 40, |m| {
        m.started_at = at(200)
    });
    assert_eq!(repository.chain_of(&next.name).unwrap().len(), 3);
    assert_eq!(repository.resolve("latest").unwrap(), next.name);
    let listed = repository.list().unwrap();
    let found = disagreements(&listed);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0].by_lsn, &found[0].by_time),
        (&next.name, &incr.name)
    );
    // the newest full backup stays: the store's time of it is right
    let policy = Policy {
        keep_full: Some(1),
        ..Policy::default()
    };
    let now = at(2 * year);
    let report = store::prune(&repository, &policy, &options(false), now, &Silent).unwrap();
    assert!(
        report.kept.iter().any(|k| k.name == second.name),
        "{report:?}"
    );
    assert!(
        !report.deleted.iter().any(|d| d.name == second.name),
        "{report:?}"
    );
}

/// Backups with the same start have the same `to_lsn`, and of two concurrent backups the one that
/// began first may end last: the newest is the one that restores the latest state.
#[test]
fn the_end_of_the_redo_log_has_priority_over_the_start() {
    for starts in [(20, 20), (30, 20), (20, 30)] {
        for ends in [(50, 60), (60, 50)] {
            let (repository, _) = memory();
            let made = |number: i64, start: u64, end: u64| {
                backup_with(&repository, &full_name(number), None, start, |m| {
                    m.lsn.start_checkpoint = Lsn(start);
                    m.lsn.last_lsn = Lsn(end);
                    // the clocks don't show it
                    m.started_at = at(50);
                })
            };
            let first = made(0, starts.0, ends.0);
            let second = made(10, starts.1, ends.1);
            let newest = if ends.0 > ends.1 { first } else { second };
            assert_eq!(repository.resolve("latest").unwrap(), newest.name);
            let base = repository.next_base(SERVER, None, None).unwrap().base;
            assert_eq!(base.name, newest.name);
        }
    }
}

#[derive(Debug, Clone)]
struct Made {
    server: u8,
    redo: u8,
    lsn: u64,
    started: i64,
    stored: i64,
    base: Option<usize>,
}

fn made() -> impl Strategy<Value = Made> {
    let base = prop::option::of(0usize..12);
    (0u8..2, 0u8..3, 0u64..6, 0i64..8, 0i64..8, base).prop_map(
        |(server, redo, lsn, started, stored, base)| Made {
            server,
            redo,
            lsn,
            started,
            stored,
            base,
        },
    )
}

fn listed(all: &[Made]) -> Vec<Listed> {
    let (repository, _) = memory();
    let template = backup(&repository, &full_name(0), None, 10);
    let one = repository.list().unwrap().remove(0);
    let name = |n: usize| named(&format!("b{n:02}"));
    let made = all.iter().enumerate().map(|(n, made)| {
        let mut summary = Summary::of(&template, String::new(), 0);
        summary.name = name(n);
        summary.id = format!("id{n}");
        summary.server_uuid = format!("s{}", made.server);
        summary.redo_log_uuid = made.redo.checked_sub(1).map(u32::from);
        // of several with the same start, the end decides
        summary.lsn.to_lsn = Lsn(made.lsn / 3);
        summary.lsn.last_lsn = Lsn(made.lsn + 1);
        summary.started_at = at(made.started);
        // also cycles, and missing bases
        summary.base = made.base.map(|base| BaseRef {
            name: name(base),
            id: format!("id{base}"),
            to_lsn: Lsn(0),
        });
        Listed {
            name: name(n),
            finished_at_store: Some(at(made.stored)),
            state: ListedState::Finished(Box::new(summary)),
            ..one.clone()
        }
    });
    made.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_order_is_strict_total_and_independent_of_the_input_order(
        all in prop::collection::vec(made(), 1..9), seed in any::<u64>(),
    ) {
        let backups = listed(&all);
        let order = Order::of(&backups);
        let mut sorted: Vec<&Listed> = backups.iter().collect();
        sorted.sort_by(|a, b| order.compare(&a.name, &b.name));
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                prop_assert_eq!(order.compare(&a.name, &b.name), i.cmp(&j));
            }
        }
        // with the input in another order
        let mut shuffled = backups.clone();
        let len = shuffled.len();
        for n in 0..len {
            shuffled.swap(n, (seed >> (n * 5)) as usize % len);
        }
        let again = Order::of(&shuffled);
        for pair in sorted.windows(2) {
            prop_assert_eq!(again.compare(&pair[0].name, &pair[1].name), Ordering::Less);
        }
        // by LSN within one server and log
        for (a, x) in backups.iter().zip(&all) {
            for (b, y) in backups.iter().zip(&all) {
                if (x.server, x.redo) == (y.server, y.redo) && x.lsn < y.lsn {
                    prop_assert_eq!(order.compare(&a.name, &b.name), Ordering::Less);
                }
            }
        }
    }
}
