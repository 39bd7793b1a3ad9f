//! Tests of the keys of schedules.

use super::super::file::{self, File};
use super::*;

fn schedules(text: &str) -> Result<Vec<ScheduleSettings>, String> {
    let (settings, schedules) =
        file::parse_all(text).map_err(|(line, what)| format!("x.toml:{line}: {what}"))?;
    check(Path::new("x.toml"), &schedules)?;
    let file = File {
        path: "x.toml".into(),
        settings,
        schedules,
    };
    Configuration {
        file: Some(file),
        ..Configuration::default()
    }
    .schedules()
}

const NIGHTLY: &str = "[[schedule]]\nname = 'nightly'\ncron = '30 2 * * *'\njob = 'full'\n";

#[test]
fn every_key_is_read() {
    let text = "[backup]\nparallel = 3\n[[schedule]]\nname = 'a.b-c_1'\ncron = '*/5 * * * *'\n\
        time-zone = 'Europe/Berlin'\njob = 'incremental'\nrepository = 'offsite'\narguments = ['--parallel', '2']\n\
        keep = 7\njitter = '10min'\ncatch-up = 'skip'\non-missing-base = 'full'\ndeadline = '6h'\nwindow = '2h'\n\
        retries = 3\nprefer = 'any'\n";
    let all = schedules(&(text.to_owned() + NIGHTLY)).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(
        all[0],
        ScheduleSettings {
            name: "a.b-c_1".to_owned(),
            cron: "*/5 * * * *".to_owned(),
            time_zone: Some("Europe/Berlin".to_owned()),
            job: ScheduledJob::Incremental,
            repository: Some("offsite".to_owned()),
            arguments: vec!["--parallel".to_owned(), "2".to_owned()],
            keep: std::num::NonZeroU32::new(7),
            jitter: Duration::from_secs(600),
            catch_up: CatchUp::Skip,
            on_missing_base: OnMissingBase::Full,
            deadline: Some(Duration::from_secs(6 * 3600)),
            window: Some(Duration::from_secs(2 * 3600)),
            retries: 3,
            prefer: Prefer::Any,
        }
    );
    assert_eq!(
        (all[1].catch_up, all[1].prefer),
        (CatchUp::Once, Prefer::Replica)
    );
}

#[test]
fn wrong_schedules_are_refused_with_their_line() {
    for (text, words) in [
        (
            "retry = 3\n",
            "x.toml:5: schedule.retry: there is no such key; did you mean retries?",
        ),
        ("keep = 0\n", "x.toml:5: schedule.keep: 0 would keep"),
        ("keep = true\n", "x.toml:5: schedule.keep: expected"),
        (
            "deadline = '6'\n",
            "x.toml:5: schedule.deadline: \"6\" is not a time span",
        ),
        (
            "prefer = 'source'\n",
            "x.toml:5: schedule.prefer: \"source\" is not one of replica, primary, any",
        ),
        (
            "arguments = ['--hook-failure=https://x/s3cret']\n",
            "arguments: --hook-failure can't be among them;",
        ),
        ("time-zone = 'Berlin'\n", "x.toml:5: schedule.time-zone: "),
        (
            NIGHTLY,
            "x.toml:5: there are two schedules of the name nightly",
        ),
        ("[schedule.x]\n", "x.toml:5: schedule.x: "),
    ] {
        let error = schedules(&(NIGHTLY.to_owned() + text)).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
    for (old, new, words) in [
        (
            "'nightly'",
            "'../x'",
            "x.toml:2: schedule.name: \"../x\" is not valid",
        ),
        ("'30 2 * * *'", "'61 2 * * *'", "x.toml:3: schedule.cron: "),
        (
            "cron = '30 2 * * *'\n",
            "",
            "x.toml:1: schedule.cron is missing",
        ),
        (
            "job = 'full'",
            "job = 'prune'\nkeep = 3",
            "x.toml:5: schedule.keep: only",
        ),
        ("[[schedule]]", "[schedule]", "1: write [[schedule]]"),
        (
            "[[schedule]]",
            "[[profile.a.schedule]]",
            "schedules are not part of a profile",
        ),
    ] {
        let error = schedules(&NIGHTLY.replace(old, new)).unwrap_err();
        assert!(error.contains(words), "{new}: {error}");
    }
}
