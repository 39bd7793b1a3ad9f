//! The schedules of the agent: any number of `[[schedule]]` in the file.
//!
//! The structure and the names of the keys are checked for every command, as those of the other keys. Times, names and
//! values are checked by `lsnap agent` and `lsnap config check`: a restore must not fail because of a cron expression.

use super::Configuration;
use super::file::{Schedule, Value};
use super::nearest;
use crate::agent::schedule::Timetable;
use crate::agent::settings::{CatchUp, OnMissingBase, Prefer, ScheduleSettings, ScheduledJob};
use crate::cli::human;
use crate::store::valid_schedule_name;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// The keys, with the meaning of each for the reference.
pub(super) const KEYS: &[(&str, &str)] = &[
    (
        "name",
        "The name: letters, digits, `-`, `_` and `.`. Agents that share a repository share the schedules of one name. Required.",
    ),
    (
        "cron",
        "When: minute, hour, day of the month, month, day of the week; with 6 fields, seconds first. Required.",
    ),
    (
        "time-zone",
        "The IANA time zone of the expression, for example `Europe/Berlin` [default: UTC].",
    ),
    (
        "job",
        "What: `full`, `incremental`, `auto` (by `backup.full-every` and `backup.max-incrementals`), `consolidate`, `verify`, `prune`, `copy` or `check`. Required.",
    ),
    (
        "repository",
        "The repository, by name or URL [default: the configured one].",
    ),
    (
        "arguments",
        "More arguments of the command, a list: `[\"--data\"]` for a verification of every byte.",
    ),
    (
        "keep",
        "Keep this many full backups of this schedule, with their chains; delete the others after a backup [default: all].",
    ),
    (
        "jitter",
        "Start later by a time up to this, the same for all agents [default: 0s].",
    ),
    (
        "catch-up",
        "After a time without an agent: `once` runs the last missed slot, `skip` records all as missed [default: once].",
    ),
    (
        "on-missing-base",
        "An incremental without a base: `error` fails, `full` makes a full backup [default: error].",
    ),
    (
        "deadline",
        "Cancel the job if it takes longer, for example `6h` [default: none].",
    ),
    (
        "window",
        "Give a slot up if it can't begin within this time, for example `2h` [default: none].",
    ),
    (
        "retries",
        "Try a failed job again up to this often, with growing waits [default: 0].",
    ),
    (
        "prefer",
        "Which agent runs a slot: on a `replica`, on the `primary`, or `any` [default: replica].",
    ),
];

/// Refuses schedules with unknown keys.
pub(super) fn check(path: &Path, schedules: &[Schedule]) -> Result<(), String> {
    for schedule in schedules {
        for (key, _, line) in &schedule.settings {
            if !KEYS.iter().any(|(known, _)| known == key) {
                let hint = nearest(key, KEYS.iter().map(|(known, _)| *known));
                let path = path.display();
                return Err(format!(
                    "{path}:{line}: schedule.{key}: there is no such key{hint}"
                ));
            }
        }
    }
    Ok(())
}

impl Configuration {
    /// Returns the schedules.
    ///
    /// # Errors
    /// The first value that is not valid, with its place; two schedules of one name.
    pub(in crate::cli) fn schedules(&self) -> Result<Vec<ScheduleSettings>, String> {
        let Some(file) = &self.file else {
            return Ok(Vec::new());
        };
        let mut names = BTreeSet::new();
        let mut all = Vec::new();
        for schedule in &file.schedules {
            let path = file.path.display();
            let settings =
                settings(schedule).map_err(|(line, what)| format!("{path}:{line}: {what}"))?;
            if !names.insert(settings.name.clone()) {
                let (line, name) = (schedule.line, &settings.name);
                return Err(format!(
                    "{path}:{line}: there are two schedules of the name {name}; rename one"
                ));
            }
            all.push(settings);
        }
        Ok(all)
    }

    /// Returns the schedules as they are in the file.
    pub(super) fn written_schedules(&self) -> &[Schedule] {
        self.file
            .as_ref()
            .map_or(&[], |file| file.schedules.as_slice())
    }
}

/// Options that `arguments` can't have: the agent or the schedule sets them, or their values can be secret, and are set
/// in the tables of the file.
const REFUSED: &[&str] = &[
    "--config",
    "--header",
    "--into-option",
    "--json",
    "--profile",
    "--progress",
    "--repo",
    "--schedule",
    "--slot",
];

/// Returns whether an argument is one that `arguments` can't have.
pub(super) fn is_refused(argument: &str) -> bool {
    let is_hook = argument.trim_start_matches('-').starts_with("hook-");
    is_hook
        || REFUSED.iter().any(|option| argument.starts_with(option))
            && !argument.starts_with("--header-file")
}

type Wrong = (usize, String);

/// The values of a schedule.
struct Values<'a>(&'a Schedule);

impl<'a> Values<'a> {
    fn find(&self, key: &str) -> Option<(&'a Value, usize)> {
        let mut settings = self.0.settings.iter();
        let found = settings.find(|(name, ..)| name == key);
        found.map(|(_, value, line)| (value, *line))
    }

    /// Returns a value in the notation of an option, parsed.
    fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Wrong> {
        let Some((value, line)) = self.find(key) else {
            return Ok(None);
        };
        let Value::One(text) = value else {
            return Err((
                line,
                format!("schedule.{key}: expected a string or a number"),
            ));
        };
        let parsed = parse(text).map_err(|what| (line, format!("schedule.{key}: {what}")))?;
        Ok(Some(parsed))
    }

    fn required<T>(&self, key: &str, found: Option<T>) -> Result<T, Wrong> {
        found.ok_or_else(|| (self.0.line, format!("schedule.{key} is missing")))
    }

    fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, Wrong> {
        self.parsed(key, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                format!("{text:?} is not one of {}", words.join(", "))
            })
        })
    }

    fn list(&self, key: &str) -> Result<Vec<String>, Wrong> {
        match self.find(key) {
            None => Ok(Vec::new()),
            Some((Value::One(text), _)) => Ok(vec![text.clone()]),
            Some((Value::Many(list), _)) => Ok(list.clone()),
            Some((Value::Flag(_), line)) => {
                Err((line, format!("schedule.{key}: expected a list of strings")))
            }
        }
    }
}

const JOBS: &[(&str, ScheduledJob)] = &[
    ("full", ScheduledJob::Full),
    ("incremental", ScheduledJob::Incremental),
    ("auto", ScheduledJob::Auto),
    ("consolidate", ScheduledJob::Consolidate),
    ("verify", ScheduledJob::Verify),
    ("prune", ScheduledJob::Prune),
    ("copy", ScheduledJob::Copy),
    ("check", ScheduledJob::Check),
];

fn settings(schedule: &Schedule) -> Result<ScheduleSettings, Wrong> {
    let values = Values(schedule);
    let text = |text: &str| Ok(text.to_owned());
    let name = values.parsed("name", |name| match valid_schedule_name(name) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "{name:?} is not valid: expected 1 to 63 letters, digits, `-`, `_` and `.`, not `.` first"
        )),
    })?;
    let name = values.required("name", name)?;
    let zone = values.parsed("time-zone", text)?;
    let cron = values.parsed("cron", text)?;
    let cron = values.required("cron", cron)?;
    Timetable::parse(&cron, zone.as_deref()).map_err(|error| {
        let key = match error {
            crate::agent::schedule::TimetableError::Zone { .. } => "time-zone",
            _ => "cron",
        };
        let line = values.find(key).map_or(schedule.line, |(_, line)| line);
        (line, format!("schedule.{key}: {error}"))
    })?;
    let job = values.one_of("job", JOBS)?;
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("{text:?} is not a number"))
    };
    let keep = values.parsed("keep", |text| {
        std::num::NonZeroU32::new(number(text)?).ok_or_else(|| "0 would keep no backup".to_owned())
    })?;
    let job = values.required("job", job)?;
    let makes_backups = matches!(
        job,
        ScheduledJob::Full | ScheduledJob::Incremental | ScheduledJob::Auto
    );
    if let (Some(_), false, Some((_, line))) = (keep, makes_backups, values.find("keep")) {
        let what = "schedule.keep: only schedules of backups keep them; a schedule with `job = \"prune\"` uses [retention]";
        return Err((line, what.to_owned()));
    }
    let arguments = values.list("arguments")?;
    if let Some(wrong) = arguments.iter().find(|argument| is_refused(argument)) {
        // The value can be a secret.
        let option = wrong.split('=').next().unwrap_or_default();
        let line = values
            .find("arguments")
            .map_or(schedule.line, |(_, line)| line);
        let what = format!(
            "schedule.arguments: {option} can't be among them; set its key in a table of the file"
        );
        return Err((line, what));
    }
    let catch_up = [("once", CatchUp::Once), ("skip", CatchUp::Skip)];
    let missing = [
        ("error", OnMissingBase::Error),
        ("full", OnMissingBase::Full),
    ];
    let prefer = [
        ("replica", Prefer::Replica),
        ("primary", Prefer::Primary),
        ("any", Prefer::Any),
    ];
    Ok(ScheduleSettings {
        name,
        cron,
        time_zone: zone,
        job,
        repository: values.parsed("repository", text)?,
        arguments,
        keep,
        jitter: values
            .parsed("jitter", human::parse_duration)?
            .unwrap_or(Duration::ZERO),
        catch_up: values.one_of("catch-up", &catch_up)?.unwrap_or_default(),
        on_missing_base: values
            .one_of("on-missing-base", &missing)?
            .unwrap_or_default(),
        deadline: values.parsed("deadline", human::parse_duration)?,
        window: values.parsed("window", human::parse_duration)?,
        retries: values.parsed("retries", number)?.unwrap_or(0),
        prefer: values.one_of("prefer", &prefer)?.unwrap_or_default(),
    })
}

#[cfg(test)]
#[path = "schedules_tests.rs"]
mod tests;
