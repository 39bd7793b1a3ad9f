//! Ten thousand jobs: what they leave in the agent.

use super::tests::{limits, resident, spec};
use super::*;

/// Returns the threads and the descriptors of this process, and its resident memory in KiB.
fn counts() -> [usize; 3] {
    let count = |dir: &str| std::fs::read_dir(dir).unwrap().count();
    let memory = usize::try_from(resident() >> 10).unwrap();
    [count("/proc/self/task"), count("/proc/self/fd"), memory]
}

/// Runs jobs of a process that prints a document, and returns the number that succeeded.
fn run_many(jobs: &Jobs, count: usize) -> usize {
    let (mut begun, mut succeeded) = (std::collections::VecDeque::new(), 0);
    for number in 0..count {
        let kind = [JobKind::Backup, JobKind::Verify, JobKind::Check][number % 3];
        if begun.len() == 50 {
            let id: JobId = begun.pop_front().unwrap();
            let job = jobs.wait(&id, &Cancel::new()).unwrap();
            succeeded += usize::from(job.state == State::Succeeded);
        }
        begun.push_back(jobs.start(spec(kind, &[])).unwrap());
    }
    for id in begun {
        let job = jobs.wait(&id, &Cancel::new()).unwrap();
        succeeded += usize::from(job.state == State::Succeeded);
    }
    succeeded
}

/// Counts in a process of its own, because the other tests have threads and files too.
#[test]
fn ten_thousand_jobs_leave_no_thread_no_file_and_no_memory() {
    let program = std::env::current_exe().unwrap();
    let out = std::process::Command::new(program)
        .args([
            "--exact",
            "agent::jobs::soak::soak",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.contains("1 passed"), "{said}");
    println!("{said}");
}

#[test]
#[ignore = "run by ten_thousand_jobs_leave_no_thread_no_file_and_no_memory"]
fn soak() {
    let dir = tempfile::tempdir().unwrap();
    let document = r#"{"lsnap":"0","schema":1,"command":"x","result":{"n":1}}"#;
    let program = Program {
        path: "/usr/bin/printf".into(),
        general: vec![document.to_owned()],
    };
    let jobs = Jobs::begin(program, dir.path(), Places::default(), limits()).unwrap();
    // Until the history is full, memory grows.
    assert_eq!(run_many(&jobs, 500), 500);
    // A job is over before its descriptors are closed: by the next turn of the thread, they are.
    assert!(jobs.answers(LONG));
    let before = counts();
    assert_eq!(run_many(&jobs, 9_500), 9_500);
    assert!(jobs.answers(LONG));
    let after = counts();
    println!("threads, descriptors, KiB: {before:?} after 500 jobs, {after:?} after 10,000");
    assert_eq!(after[..2], before[..2]);
    assert!(
        after[2] < before[2] + 4096,
        "KiB: {} -> {}",
        before[2],
        after[2]
    );
    assert_eq!(
        std::fs::read_dir(dir.path().join("jobs")).unwrap().count(),
        200
    );
    jobs.shut_down(Duration::ZERO);
}
