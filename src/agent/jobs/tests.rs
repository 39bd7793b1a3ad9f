//! Jobs with small shell scripts in place of lsnap.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

const DONE: &str = r#"echo '{"lsnap":"0","schema":1,"command":"x","result":{"n":1}}'"#;

struct Agent {
    jobs: Jobs,
    dir: tempfile::TempDir,
}

/// Begins jobs that run `script`. `$1` is the command, `$2` the repository if there is one.
fn agent(script: &str, limits: Limits) -> Agent {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    std::fs::write(&path, script).unwrap();
    let program = Program {
        path: "/bin/sh".into(),
        general: vec![path.to_str().unwrap().to_owned()],
    };
    let places = Places {
        default: Some("file:///a".to_owned()),
        named: [("near".to_owned(), "/a/".to_owned())].into(),
        into: None,
    };
    let jobs = Jobs::begin(program, dir.path(), places, limits).unwrap();
    Agent { jobs, dir }
}

pub(super) fn limits() -> Limits {
    Limits {
        running: 4,
        tidy: Duration::from_secs(20),
        ..Limits::default()
    }
}

pub(super) fn spec(kind: JobKind, arguments: &[&str]) -> JobSpec {
    JobSpec {
        kind,
        repository: None,
        arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
        origin: Origin::Request,
        deadline: None,
    }
}

impl Agent {
    fn start(&self, kind: JobKind, arguments: &[&str]) -> JobId {
        self.jobs.start(spec(kind, arguments)).unwrap()
    }

    fn wait(&self, id: &JobId) -> Job {
        let job = self.jobs.wait(id, &Cancel::new()).unwrap();
        assert!(job.state.is_over());
        job
    }

    /// Waits until the job wrote the line.
    fn until_logged(&self, id: &JobId, line: &str) {
        let log = self.jobs.log(id).unwrap();
        until(|| std::fs::read_to_string(&log).is_ok_and(|text| text.lines().any(|it| it == line)));
    }
}

fn until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "it did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn message(job: &Job) -> &str {
    job.error.as_ref().map_or("", |error| &error.message)
}

#[test]
fn a_job_is_the_command_with_its_report_progress_and_log() {
    let script = format!(
        "echo \"$@\" >&2; echo $LSNAP_JOB_ID >&2\n\
         echo '{{\"type\":\"progress\",\"phase\":\"copy\",\"done_bytes\":3,\"total_bytes\":4}}' >&2\n{DONE}"
    );
    let agent = agent(&script, limits());
    let mut events = agent.jobs.subscribe();
    let mut asked = spec(JobKind::Backup, &["--full"]);
    asked.repository = Some("near".to_owned());
    let id = agent.jobs.start(asked).unwrap();
    let job = agent.wait(&id);
    assert_eq!((job.state, job.exit_code), (State::Succeeded, Some(0)));
    assert_eq!(job.report.as_ref().unwrap()["n"], 1);
    let progress = job.progress.unwrap();
    assert_eq!(
        (progress.phase.as_str(), progress.bytes, progress.total),
        ("copy", 3, Some(4))
    );
    let log = std::fs::read_to_string(agent.jobs.log(&id).unwrap()).unwrap();
    let expected = format!(
        "backup --repo=near --json --progress=json --full\n{}\n",
        id.0
    );
    assert_eq!(log, expected);
    let mode = std::fs::metadata(agent.jobs.log(&id).unwrap()).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    assert!(job.queued_at <= job.started_at.unwrap() && job.started_at <= job.ended_at);
    let mut states = Vec::new();
    while states.last() != Some(&State::Succeeded) {
        states.push(events.blocking_recv().unwrap().job.state);
    }
    states.dedup();
    assert_eq!(states, [State::Queued, State::Running, State::Succeeded]);
}

#[test]
fn a_failure_is_the_error_of_the_document_or_says_how_the_process_ended() {
    let script = r#"case "$4" in
        document) echo '{"lsnap":"0","error":{"kind":"damaged","message":"m","hint":"h"}}'; exit 13;;
        nothing) exit 0;;
        half) printf '{"lsnap":"0","resu'; exit 0;;
        panic) exit 101;;
        killed) kill -9 $$;;
    esac"#;
    let agent = agent(script, limits());
    let run = |what| agent.wait(&agent.start(JobKind::Check, &[what]));
    let job = run("document");
    let error = job.error.as_ref().unwrap();
    assert_eq!((job.state, job.exit_code), (State::Failed, Some(13)));
    assert_eq!(
        (error.kind.as_str(), error.hint.as_deref()),
        ("damaged", Some("h"))
    );
    for (what, code, words) in [
        ("nothing", Some(0), "exit code 0 and printed nothing"),
        ("half", Some(0), "exit code 0 and printed no document"),
        ("panic", Some(101), "exit code 101"),
        ("killed", None, "signal 9"),
    ] {
        let job = run(what);
        assert_eq!((job.state, job.exit_code), (State::Failed, code), "{what}");
        assert!(message(&job).contains(words), "{what}: {}", message(&job));
    }
}

#[test]
fn a_program_that_does_not_exist_is_a_failed_job() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program {
        path: "/nowhere/lsnap".into(),
        general: Vec::new(),
    };
    let jobs = Jobs::begin(program, dir.path(), Places::default(), limits()).unwrap();
    let id = jobs.start(spec(JobKind::Check, &[])).unwrap();
    let job = jobs.wait(&id, &Cancel::new()).unwrap();
    assert_eq!(job.state, State::Failed);
    assert!(
        message(&job).contains("could not be started"),
        "{}",
        message(&job)
    );
}

#[test]
fn jobs_of_one_repository_never_overlap() {
    // A directory can be made once: two at the same time would fail.
    let script = format!("mkdir \"$0.lock\" || exit 1\nsleep 0.02\nrmdir \"$0.lock\"\n{DONE}");
    let agent = agent(&script, limits());
    let names = [None, Some("near"), Some("file:///a"), Some("/a")];
    let ids: Vec<JobId> = (0..12)
        .map(|number| {
            let mut asked = spec(JobKind::Prune, &[]);
            asked.repository = names[number % names.len()].map(str::to_owned);
            agent.jobs.start(asked).unwrap()
        })
        .collect();
    let jobs: Vec<Job> = ids.iter().map(|id| agent.wait(id)).collect();
    assert!(jobs.iter().all(|job| job.state == State::Succeeded));
    assert!(
        jobs.windows(2)
            .all(|pair| pair[0].ended_at <= pair[1].started_at)
    );
}

#[test]
fn a_copy_changes_its_target() {
    let places = Places {
        default: Some("s3://a".to_owned()),
        named: [("far".to_owned(), "gs://b/".to_owned())].into(),
        into: Some("far".to_owned()),
    };
    for arguments in [&["--into", "gs://b"][..], &["--all", "--into=far"], &[]] {
        let found = changes(&spec(JobKind::Copy, arguments), &places);
        assert_eq!(found, ["s3://a", "gs://b"], "{arguments:?}");
    }
    assert!(changes(&spec(JobKind::Verify, &[]), &places).is_empty());
}

#[test]
fn a_cancelled_job_tidies_up() {
    let script =
        "trap 'echo tidied >&2; exit 130' TERM\necho began >&2\nwhile :; do sleep 0.01; done";
    let agent = agent(script, limits());
    let id = agent.start(JobKind::Backup, &[]);
    let waiting = agent.start(JobKind::Backup, &[]);
    agent.until_logged(&id, "began");
    assert_eq!(agent.jobs.cancel(&waiting).unwrap().state, State::Cancelled);
    assert_eq!(agent.jobs.cancel(&id).unwrap().state, State::Cancelling);
    agent.jobs.cancel(&id);
    let job = agent.wait(&id);
    assert_eq!((job.state, job.exit_code), (State::Cancelled, Some(130)));
    agent.until_logged(&id, "tidied");
    assert!(
        !agent.jobs.log(&waiting).unwrap().exists(),
        "it never began"
    );
    assert_eq!(agent.jobs.cancel(&id).unwrap().state, State::Cancelled);
    assert!(agent.jobs.cancel(&JobId("none".to_owned())).is_none());
}

#[test]
fn a_job_that_finishes_although_it_was_cancelled_succeeded() {
    let script = format!(
        "finish() {{ {DONE}; exit 0; }}\ntrap finish TERM\necho began >&2\nwhile :; do sleep 0.01; done"
    );
    let agent = agent(&script, limits());
    let id = agent.start(JobKind::Backup, &[]);
    agent.until_logged(&id, "began");
    agent.jobs.cancel(&id);
    assert_eq!(agent.wait(&id).state, State::Succeeded);
}

#[test]
fn a_process_that_ignores_signals_is_killed_with_its_children() {
    let script = "trap '' TERM\nsleep 600 &\necho $! > \"$0.child\"\necho began >&2\nwait; while :; do sleep 1; done";
    let tidy = Duration::from_millis(100);
    let agent = agent(script, Limits { tidy, ..limits() });
    let id = agent.start(JobKind::Backup, &[]);
    agent.until_logged(&id, "began");
    agent.jobs.cancel(&id);
    let job = agent.wait(&id);
    assert_eq!((job.state, job.exit_code), (State::Cancelled, None));
    assert!(message(&job).contains("was killed"), "{}", message(&job));
    let child = std::fs::read_to_string(agent.dir.path().join("script.child")).unwrap();
    until(|| !lives(child.trim()));
}

/// Returns whether a process exists, other than as a zombie.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_stopped_process_can_be_cancelled() {
    let script =
        "trap 'exit 130' TERM\necho began >&2\nkill -STOP $$\nwhile :; do sleep 0.01; done";
    let agent = agent(script, limits());
    let id = agent.start(JobKind::Backup, &[]);
    agent.until_logged(&id, "began");
    agent.jobs.cancel(&id);
    let job = agent.wait(&id);
    assert_eq!((job.state, job.exit_code), (State::Cancelled, Some(130)));
}

#[test]
fn a_deadline_is_a_failure() {
    let agent = agent("exec sleep 600", limits());
    let mut asked = spec(JobKind::Verify, &[]);
    asked.deadline = Some(Duration::from_millis(50));
    let id = agent.jobs.start(asked).unwrap();
    let job = agent.wait(&id);
    assert_eq!(job.state, State::Failed);
    assert_eq!(job.error.unwrap().kind, "deadline");
}

#[test]
fn pipes_that_others_hold_or_that_are_closed_delay_nothing() {
    // The process in the background keeps the pipes open for ten minutes.
    let held = agent(
        &format!("sleep 600 & echo $! > \"$0.child\"\n{DONE}"),
        limits(),
    );
    let job = held.wait(&held.start(JobKind::Backup, &[]));
    assert_eq!(job.state, State::Succeeded);
    let child = std::fs::read_to_string(held.dir.path().join("script.child")).unwrap();
    assert!(
        lives(child.trim()),
        "a program that a job leaves is not the agent's"
    );
    let pid = rustix::process::Pid::from_raw(child.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

    let script = format!(
        "{DONE}\nexec 1>&- 2>&-\nmkdir \"$0.closed\"\nwhile [ ! -e \"$0.go\" ]; do sleep 0.01; done"
    );
    let closed = agent(&script, limits());
    let id = closed.start(JobKind::Backup, &[]);
    until(|| closed.dir.path().join("script.closed").exists());
    assert_eq!(closed.jobs.get(&id).unwrap().state, State::Running);
    std::fs::write(closed.dir.path().join("script.go"), "").unwrap();
    assert_eq!(closed.wait(&id).state, State::Succeeded);
}

#[test]
fn a_flood_of_output_is_bounded() {
    let script = "(yes 'a line of a flood' | head -c 300000000 >&2)\nhead -c 50000000 /dev/zero\necho end >&2";
    let agent = agent(script, limits());
    let before = resident();
    let id = agent.start(JobKind::Check, &[]);
    // The others go on meanwhile.
    assert!(agent.jobs.answers(Duration::from_secs(30)));
    let job = agent.wait(&id);
    let log = std::fs::read(agent.jobs.log(&id).unwrap()).unwrap();
    assert!(log.len() <= log_file::MAX && log.ends_with(b"end\n") || log.len() <= log_file::MAX);
    assert!(String::from_utf8_lossy(&log).contains("left out here, in bytes"));
    assert!(job.report.is_none());
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
}

/// Returns the resident memory of this process in bytes.
pub(super) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}

#[test]
fn a_shutdown_lets_jobs_finish_cancels_the_others_and_takes_no_more() {
    let script = format!(
        "echo began >&2\ncase \"$1\" in verify) sleep 0.2; {DONE};;\n*) trap 'exit 130' TERM; while :; do sleep 0.01; done;; esac"
    );
    let agent = agent(&script, limits());
    let (short, long) = (
        agent.start(JobKind::Verify, &[]),
        agent.start(JobKind::Backup, &[]),
    );
    let waiting = agent.start(JobKind::Backup, &[]);
    agent.until_logged(&short, "began");
    agent.until_logged(&long, "began");
    agent.jobs.shut_down(Duration::from_secs(1));
    let state = |id| agent.jobs.get(id).unwrap().state;
    assert_eq!(state(&short), State::Succeeded);
    assert_eq!(
        (state(&long), state(&waiting)),
        (State::Cancelled, State::Cancelled)
    );
    assert_eq!(
        agent.jobs.start(spec(JobKind::Check, &[])),
        Err(Refused::ShuttingDown)
    );
    agent.jobs.shut_down(Duration::ZERO);
}

#[test]
fn a_hurried_shutdown_has_no_grace() {
    let script = "trap 'exit 130' TERM\necho began >&2\nwhile :; do sleep 0.01; done";
    let agent = agent(script, limits());
    let id = agent.start(JobKind::Backup, &[]);
    agent.until_logged(&id, "began");
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| agent.jobs.shut_down(LONG));
        until(|| agent.jobs.is_shutting_down());
        assert_eq!(agent.jobs.get(&id).unwrap().state, State::Running);
        agent.jobs.hurry();
        ended.join().unwrap();
    });
    assert_eq!(agent.jobs.get(&id).unwrap().state, State::Cancelled);
}

#[test]
fn jobs_end_with_the_last_handle() {
    let agent = agent(
        "trap '' TERM\necho $$ > \"$0.pid\"\necho began >&2\nwhile :; do sleep 1; done",
        limits(),
    );
    let id = agent.start(JobKind::Backup, &[]);
    agent.until_logged(&id, "began");
    let pid = std::fs::read_to_string(agent.dir.path().join("script.pid")).unwrap();
    assert!(lives(pid.trim()));
    drop(agent.jobs);
    assert!(!lives(pid.trim()));
}

#[test]
fn a_wait_ends_with_its_cancel() {
    let agent = agent("exec sleep 600", limits());
    let id = agent.start(JobKind::Verify, &[]);
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(!agent.jobs.wait(&id, &cancel).unwrap().state.is_over());
    assert!(
        agent
            .jobs
            .wait(&JobId("none".to_owned()), &cancel)
            .is_none()
    );
}

#[test]
fn old_logs_are_removed_and_other_files_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("jobs");
    std::fs::create_dir(&logs).unwrap();
    let names = [
        "20261130T000000Z-aaaaaa.log",
        "20261201T000000Z-aaaaaa.log",
        "20261202T000000Z-aaaaaa.log",
        "20261130T000000Z-mine.log",
        "notes.log",
    ];
    names
        .iter()
        .for_each(|name| std::fs::write(logs.join(name), "x").unwrap());
    let limits = Limits {
        history: 2,
        ..limits()
    };
    let program = Program {
        path: "/bin/true".into(),
        general: Vec::new(),
    };
    let jobs = Jobs::begin(program, dir.path(), Places::default(), limits).unwrap();
    let exists = names.map(|name| logs.join(name).exists());
    assert_eq!(exists, [false, true, true, true, true]);
    // The history is bounded too, with its logs.
    let ids: Vec<JobId> = (0..4)
        .map(|_| jobs.start(spec(JobKind::Check, &[])).unwrap())
        .collect();
    until(|| {
        jobs.list().iter().filter(|job| job.state.is_over()).count() == 2 && jobs.list().len() == 2
    });
    let log = |id: &JobId| logs.join(format!("{}.log", id.0));
    until(|| ids.iter().filter(|id| log(id).exists()).count() == 2);
}
