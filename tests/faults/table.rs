//! The results: counts, and a text for every violation.

use std::collections::BTreeMap;
use std::fmt;

/// Counts of one command under one fault.
#[derive(Debug, Default)]
struct Row {
    runs: u64,
    well: u64,
    failed: u64,
    killed: u64,
    again: u64,
    restored: u64,
    violations: u64,
}

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Exit code 0.
    Well,
    /// With the expected exit code and the expected words.
    Properly,
    /// By SIGKILL.
    Killed,
    /// In another way, which is also a violation.
    Wrongly,
}

/// The table.
#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<(String, String), Row>,
    told: Vec<String>,
}

/// The result of one run.
#[derive(Debug)]
pub struct Outcome {
    pub ended: Ended,
    /// The same command succeeded afterwards.
    pub again: bool,
    /// Number of servers that were started on restored data.
    pub restored: u64,
    pub violations: Vec<String>,
}

impl Table {
    pub fn add(&mut self, command: &str, fault: &str, outcome: Outcome) {
        let row = self
            .rows
            .entry((fault.to_owned(), command.to_owned()))
            .or_default();
        row.runs += 1;
        match outcome.ended {
            Ended::Well => row.well += 1,
            Ended::Properly => row.failed += 1,
            Ended::Killed => row.killed += 1,
            Ended::Wrongly => {}
        }
        row.again += u64::from(outcome.again);
        row.restored += outcome.restored;
        row.violations += outcome.violations.len() as u64;
        for text in outcome.violations {
            let text = format!("{command}, {fault}: {text}");
            eprintln!("VIOLATION: {text}");
            self.told.push(text);
        }
    }

    /// Returns every violation.
    pub fn violations(&self) -> &[String] {
        &self.told
    }

    /// Returns the number of processes that were killed before they ended.
    pub fn killed(&self) -> u64 {
        self.rows.values().map(|row| row.killed).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [
            "runs",
            "well",
            "failed properly",
            "killed",
            "again well",
            "servers started",
            "violations",
        ];
        write!(f, "{:<26} {:<20}", "fault", "command")?;
        head.iter().try_for_each(|h| write!(f, " {h:>15}"))?;
        writeln!(f)?;
        let mut sums = [0; 7];
        for ((fault, command), row) in &self.rows {
            let counts = [
                row.runs,
                row.well,
                row.failed,
                row.killed,
                row.again,
                row.restored,
                row.violations,
            ];
            write!(f, "{fault:<26} {command:<20}")?;
            counts.iter().try_for_each(|n| write!(f, " {n:>15}"))?;
            writeln!(f)?;
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        write!(f, "{:<26} {:<20}", "all", "")?;
        sums.iter().try_for_each(|n| write!(f, " {n:>15}"))?;
        writeln!(f)
    }
}
