//! Tests of which job may begin, and of the bounds.

use super::super::job::{JobKind, Origin};
use super::*;

fn table(running: usize, waiting: usize, history: usize) -> Table {
    Table::new(Limits {
        running,
        waiting,
        history,
        report_bytes: 100,
        tidy: Duration::ZERO,
    })
}

fn push(table: &mut Table, kind: JobKind, places: &[&str]) -> Result<JobId, Refused> {
    let spec = JobSpec {
        kind,
        repository: None,
        arguments: Vec::new(),
        origin: Origin::Request,
        deadline: None,
    };
    let places = if kind.changes_chains() { places } else { &[] };
    let places = places.iter().map(|place| (*place).to_owned()).collect();
    table.push(spec, places, Utc::now(), |id| PathBuf::from(&id.0))
}

fn begin(table: &mut Table) -> Option<JobId> {
    table.begin_next(Utc::now()).map(|begun| begun.job.id)
}

fn end(table: &mut Table, id: &JobId, bytes: usize) {
    table.end(id, Utc::now(), |_| End {
        state: State::Succeeded,
        exit_code: Some(0),
        report: Some(bytes.into()),
        report_bytes: bytes,
        error: None,
    });
}

#[test]
fn jobs_that_change_one_repository_begin_in_turn() {
    let mut table = table(10, 10, 10);
    let first = push(&mut table, JobKind::Backup, &["a"]).unwrap();
    let copy = push(&mut table, JobKind::Copy, &["a", "b"]).unwrap();
    let prune = push(&mut table, JobKind::Prune, &["b"]).unwrap();
    let other = push(&mut table, JobKind::Prune, &["c"]).unwrap();
    let verify = push(&mut table, JobKind::Verify, &["a"]).unwrap();
    assert_eq!(begin(&mut table), Some(first.clone()));
    assert_eq!(begin(&mut table), Some(other));
    assert_eq!(begin(&mut table), Some(verify));
    assert_eq!(
        begin(&mut table),
        None,
        "the prune doesn't overtake the copy"
    );
    table.cancel(&first, Why::Asked, Utc::now());
    assert_eq!(begin(&mut table), None, "it still tidies up");
    end(&mut table, &first, 0);
    assert_eq!(begin(&mut table), Some(copy.clone()));
    assert_eq!(begin(&mut table), None);
    end(&mut table, &copy, 0);
    assert_eq!(begin(&mut table), Some(prune));
}

#[test]
fn the_queue_and_the_history_are_bounded() {
    let mut table = table(1, 2, 3);
    let first = push(&mut table, JobKind::Check, &[]).unwrap();
    assert_eq!(begin(&mut table), Some(first.clone()));
    let second = push(&mut table, JobKind::Check, &[]).unwrap();
    push(&mut table, JobKind::Check, &[]).unwrap();
    let refused = push(&mut table, JobKind::Check, &[]);
    assert_eq!(refused, Err(Refused::Full { waiting: 2 }));
    assert_eq!(begin(&mut table), None, "no place is free");
    let cancelled = table.cancel(&second, Why::Asked, Utc::now()).unwrap();
    assert_eq!(cancelled.state, State::Cancelled);
    assert!(table.get(&second).unwrap().over.is_cancelled());
    end(&mut table, &first, 40);
    for _ in 0..3 {
        let id = push(&mut table, JobKind::Check, &[]).unwrap();
        let begun = begin(&mut table).unwrap();
        end(&mut table, &begun, 60);
        let _later = id;
    }
    let forgotten = table.forget();
    assert_eq!(
        forgotten,
        [PathBuf::from(&first.0), PathBuf::from(&second.0)]
    );
    let with_report = table.entries.iter().filter(|e| e.job.report.is_some());
    assert_eq!(with_report.count(), 1, "100 bytes of reports");
    table.is_closed = true;
    let refused = push(&mut table, JobKind::Check, &[]);
    assert_eq!(refused, Err(Refused::ShuttingDown));
}
