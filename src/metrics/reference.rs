//! Generates the reference page of all metrics and the example file, and compares them with the files. If
//! `LSNAP_WRITE_REFERENCE` is set, the files are written.

use super::families::{FAMILIES, Group};
use super::text::{FILE_HEAD, Sample, format};
use crate::reference_file::compare_or_write;
use std::fmt::Write as _;
use std::path::PathBuf;

const PAGE: &str = "docs/reference/metrics.md";
const EXAMPLE: &str = "examples/monitoring/lsnap.prom";
const RULES: &[&str] = &[
    "examples/monitoring/lsnap.rules.yml",
    "examples/monitoring/lsnap.test.yml",
    "examples/monitoring/lsnap-agent.rules.yml",
    "examples/monitoring/lsnap-agent.test.yml",
    "examples/monitoring/lsnap-agent.dashboard.json",
    "docs/agent-api.md",
    "docs/schedule.md",
];

const HEAD: &str = "# Metrics\n\n\
    Generated from the table in the code: the unit tests compare this page with it, and write it if \
    LSNAP_WRITE_REFERENCE is set. [Schedule and monitoring](../schedule.md#prometheus) explains the file.\n\n\
    All times are Unix times in seconds, UTC. A label without a value is left out.\n\n\
    | label | value |\n|---|---|\n\
    | `command` | `backup`, `check`, `consolidate`, `copy`, `prune`, `restore`, `verify` |\n\
    | `repository` | the URL of the repository, as configured or given |\n\
    | `cluster` | of a backup: `--cluster`, else the name of the host; of the repository: the first part of the names of the backups |\n\
    | `level` | of `verify`: `present`, `data` or `restore` |\n\
    | `type` | `full` or `incremental` |\n\
    | `result` | `success` (exit code 0) or `failure` |\n\
    | `schedule`, `job` | the name of a schedule, and its `job` in the configuration |\n\
    | `phase` | the phase of a job, as in its [progress](progress.md) |\n";

fn page() -> String {
    let mut out = HEAD.to_owned();
    for (group, title, text) in [
        (
            Group::Run,
            "Runs",
            "Set by every run of a job, successful or not.",
        ),
        (Group::Success, "Successes", "Set by a successful run."),
        (
            Group::Backup,
            "Backups",
            "Of the last finished backup of each type.",
        ),
        (
            Group::Prune,
            "Prune",
            "Of the last `lsnap prune` or `lsnap backup --prune`.",
        ),
        (
            Group::Verify,
            "Verification",
            "Of the last `lsnap verify` of each level.",
        ),
        (
            Group::Repository,
            "Repository",
            "From a listing of the repository, after each successful job and each `lsnap check`.",
        ),
        (
            Group::Agent,
            "Agent",
            "Only at `/metrics` of [`lsnap agent`](../agent-api.md#metrics), which has the metrics above too: of its jobs \
             since its start, and of the last listing of each repository. Its runs have no label `cluster`, and the \
             last success of a backup is that of the newest one in the repository, whichever program made it.",
        ),
        (
            Group::Schedule,
            "Schedules",
            "Only at `/metrics` of the agent, from the records in the repository: whichever agent ran a slot.",
        ),
    ] {
        let _ = write!(
            out,
            "\n## {title}\n\n{text}\n\n| metric | type | labels | |\n|---|---|---|---|\n"
        );
        for family in FAMILIES.iter().filter(|family| family.group == group) {
            let labels: Vec<String> = family.labels.iter().map(|l| format!("`{l}`")).collect();
            let (name, kind, labels) = (family.name, family.kind, labels.join(", "));
            let help = family.help.trim_end_matches('.');
            let _ = writeln!(out, "| `{name}` | {kind} | {labels} | {help} |");
        }
    }
    out
}

/// Returns a file with every metric.
fn example() -> String {
    let labels = [
        ("version", "0.1.0"),
        ("command", "backup"),
        ("repository", "s3://backups/mysql"),
        ("cluster", "shop"),
        ("type", "full"),
        ("result", "success"),
    ];
    let value = |name: &str| match name {
        name if name.contains("timestamp") => 1_796_005_800.0,
        name if name.ends_with("bytes") => 1_073_741_824.0,
        _ => 1.0,
    };
    let of_file = FAMILIES
        .iter()
        .filter(|family| !family.group.is_of_the_agent());
    let samples = of_file.map(|family| Sample::new(family, &labels, value(family.name)));
    format(FILE_HEAD, &samples.collect::<Vec<_>>())
}

fn in_tree(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_reference_is_current() {
    for (path, text) in [(PAGE, page()), (EXAMPLE, example())] {
        compare_or_write(path, &text, "the table of metrics");
    }
}

#[test]
fn the_rules_use_only_metrics_that_exist() {
    for path in RULES {
        let text = std::fs::read_to_string(in_tree(path)).unwrap();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = text
            .split(|c| !is_word(c))
            .filter(|w| w.starts_with("lsnap_"));
        for word in words.filter(|word| !word.ends_with('_')) {
            assert!(
                FAMILIES.iter().any(|family| family.name == word),
                "{path}: {word}"
            );
        }
    }
}
