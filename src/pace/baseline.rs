//! Measures how much a backup slows the server: compares the current latency of its work with the
//! latency of the same work while no data files are read.
//!
//! Work is counted by class (a kind of statement, of file wait, of device request), and each class
//! has its own usual latency. So a load that changes from quick statements to slow ones doesn't
//! look like a slower server.

use std::collections::BTreeMap;
use std::time::Duration;

/// A kind of work for which the server counts events and their total time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A kind of SQL statement, which clients wait for. Compared first.
    Statement(String),
    /// A wait for a file or a device: compared if the server runs almost no statements.
    Wait(String),
}

/// A class and its counters: since the server started, or in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The kind of work.
    pub class: Class,
    /// Number of events.
    pub count: u64,
    /// Total time of the events, in nanoseconds.
    pub nanos: u64,
}

/// The work of a server in a short time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// Length of the window.
    pub length: Duration,
    /// The counters of the work, one for each class.
    pub counters: Vec<Counter>,
    /// Threads that were running a statement at the end of the window, if known.
    pub running: Option<u64>,
}

/// The result of comparing a window with the usual latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slowdown {
    /// Factor by which the same work took longer than usual; 1 is usual.
    Slower(f64),
    /// Too little work to compare.
    Quiet,
    /// Far fewer statements end than usual, while statements are running.
    Stalled,
    /// Work whose usual latency isn't known.
    Unknown,
}

/// Fewer events than this give no useful mean.
const MIN_EVENTS: u64 = 16;
/// The latency of a class counts at most as this multiple of its usual latency, so that one report
/// that ran for an hour doesn't outweigh a thousand other statements.
const MAX_FACTOR: f64 = 20.0;

impl Window {
    /// Computes the difference of two samples of the counters. A class whose counters decreased
    /// (the summary table was truncated) is skipped.
    #[must_use]
    pub fn between(
        length: Duration,
        before: &[Counter],
        after: &[Counter],
        running: Option<u64>,
    ) -> Self {
        let old: BTreeMap<_, _> = before.iter().map(|c| (&c.class, c)).collect();
        let since = |now: &Counter| {
            let (count, nanos) = old.get(&now.class).map_or((0, 0), |c| (c.count, c.nanos));
            Some(Counter {
                class: now.class.clone(),
                count: now.count.checked_sub(count)?,
                nanos: now.nanos.checked_sub(nanos)?,
            })
        };
        let counters = after.iter().filter_map(since).filter(|c| c.count > 0);
        Self {
            length,
            counters: counters.collect(),
            running,
        }
    }

    /// Returns whether the window has enough events for a comparison.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.events(true) >= MIN_EVENTS || self.events(false) >= MIN_EVENTS
    }

    fn of(&self, statements: bool) -> impl Iterator<Item = &Counter> {
        let right = move |c: &&Counter| matches!(c.class, Class::Statement(_)) == statements;
        self.counters.iter().filter(right)
    }

    fn events(&self, statements: bool) -> u64 {
        self.of(statements).map(|c| c.count).sum()
    }
}

/// A window in which work took more than this multiple of the median window doesn't count for the
/// usual latency: one report that ended in it would outweigh a thousand other statements.
const OUTLIER_FACTOR: f64 = 2.0;

/// The usual latency of one class of work.
#[derive(Debug, Clone, Copy)]
struct Usual {
    /// Mean latency, in nanoseconds.
    mean: f64,
    /// Number of events behind the mean; each sample halves the weight of the events before it.
    weight: f64,
}

impl Usual {
    /// Weights the new mean by its number of events, so that the few statements of the monitoring
    /// itself, which are all that an idle server runs, don't replace a mean of thousands. The
    /// larger of the two means counts at most as `MAX_FACTOR` times the smaller one.
    fn learn(&mut self, (mean, count): (f64, f64)) {
        let (old, new) = (
            self.mean.min(mean * MAX_FACTOR),
            mean.min(self.mean * MAX_FACTOR),
        );
        let total = self.weight + count;
        self.mean = (old * self.weight + new * count) / total;
        self.weight = total / 2.0;
    }
}

/// Returns the mean over windows (each a mean and a count) and its number of events, without the
/// windows that are far above the median (of two: above the lower one). The median alone would
/// exclude outliers too, but of two windows the lower one is always too low.
fn ordinary(mut windows: Vec<(f64, f64)>) -> (f64, f64) {
    windows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let middle = windows.get(windows.len().saturating_sub(1) / 2);
    let most = middle.map_or(f64::MAX, |(mean, _)| mean * OUTLIER_FACTOR);
    windows.retain(|(mean, _)| *mean <= most);
    let count: f64 = windows.iter().map(|(_, count)| count).sum();
    let sum: f64 = windows.iter().map(|(mean, count)| mean * count).sum();
    (sum / count.max(1.0), count)
}

/// The usual values of the server.
#[derive(Debug)]
pub(super) struct Baseline {
    classes: BTreeMap<Class, Usual>,
    /// Statements per second.
    statements: f64,
    /// Threads that run statements.
    running: f64,
    /// Mean deviation of idle windows from their mean, as a fraction of it.
    noise: f64,
    known: bool,
}

impl Baseline {
    /// Creates a baseline without any samples.
    pub(super) const fn new() -> Self {
        Self {
            classes: BTreeMap::new(),
            statements: 0.0,
            running: 0.0,
            noise: 0.0,
            known: false,
        }
    }

    /// Adds windows in which the backup read nothing.
    pub(super) fn learn(&mut self, windows: &[Window]) {
        let mut seen: BTreeMap<&Class, Vec<(f64, f64)>> = BTreeMap::new();
        // Work with a count of 0 has no mean; two such windows would set the mean to NaN
        // permanently.
        let done = windows.iter().flat_map(|w| &w.counters);
        for counter in done.filter(|c| c.count > 0) {
            let count = counter.count as f64;
            let mean = (counter.nanos as f64 / count).max(1.0);
            seen.entry(&counter.class).or_default().push((mean, count));
        }
        for (class, windows) in seen {
            let now = ordinary(windows);
            match self.classes.get_mut(class) {
                Some(usual) => usual.learn(now),
                None => {
                    let (mean, weight) = now;
                    self.classes.insert(class.clone(), Usual { mean, weight });
                }
            }
        }
        let seconds: f64 = windows.iter().map(|w| w.length.as_secs_f64()).sum();
        if seconds <= 0.0 {
            return;
        }
        let statements: u64 = windows.iter().map(|w| w.events(true)).sum();
        let running = windows.iter().filter_map(|w| w.running).max().unwrap_or(0);
        let (rate, running) = (statements as f64 / seconds, running as f64);
        let noise = self.noise_in(windows);
        if self.known {
            self.statements = f64::midpoint(self.statements, rate);
            self.running = f64::midpoint(self.running, running);
            self.noise = f64::midpoint(self.noise, noise);
        } else {
            (self.statements, self.running, self.noise) = (rate, running, noise);
            self.known = true;
        }
    }

    /// Returns how far windows without reads differ from each other, as a fraction of the usual
    /// latency.
    pub(super) const fn noise(&self) -> f64 {
        self.noise
    }

    fn noise_in(&self, windows: &[Window]) -> f64 {
        let compared = windows.iter().map(|window| self.compare(window));
        let compared: Vec<f64> = compared
            .filter_map(|compared| match compared {
                Slowdown::Slower(times) => Some(times),
                _ => None,
            })
            .collect();
        let (mean, _) = ordinary(compared.iter().map(|times| (*times, 1.0)).collect());
        let off = compared.iter().map(|times| (times - mean).abs());
        let off: Vec<_> = off
            .filter(|off| *off <= mean * (OUTLIER_FACTOR - 1.0))
            .collect();
        off.iter().sum::<f64>() / off.len().max(1) as f64
    }

    /// Compares a window with the usual latency.
    pub(super) fn compare(&self, window: &Window) -> Slowdown {
        if self.is_stalled(window) {
            return Slowdown::Stalled;
        }
        for statements in [true, false] {
            let (mut known, mut unknown, mut took, mut usual) = (0, 0, 0.0, 0.0);
            for counter in window.of(statements) {
                if let Some(of_class) = self.classes.get(&counter.class) {
                    let expected = counter.count as f64 * of_class.mean;
                    known += counter.count;
                    took += (counter.nanos as f64).min(expected * MAX_FACTOR);
                    usual += expected;
                } else {
                    unknown += counter.count;
                }
            }
            if known + unknown < MIN_EVENTS {
                continue;
            }
            if unknown > known {
                return Slowdown::Unknown;
            }
            return Slowdown::Slower(took / usual);
        }
        Slowdown::Quiet
    }

    /// Returns whether the server is stalled. A stalled server finishes no statement, so it has no
    /// slow statement to measure.
    fn is_stalled(&self, window: &Window) -> bool {
        let expected = self.statements * window.length.as_secs_f64();
        let running = window.running.unwrap_or(0) as f64;
        expected >= MIN_EVENTS as f64
            && (window.events(true) as f64) < expected / 10.0
            && running >= self.running.max(3.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(class: &str, count: u64, micros: u64) -> Counter {
        Counter {
            class: Class::Statement(class.to_owned()),
            count,
            nanos: count * micros * 1000,
        }
    }

    fn window(counters: &[Counter], running: u64) -> Window {
        Window::between(Duration::from_millis(250), &[], counters, Some(running))
    }

    #[test]
    fn another_mix_of_statements_is_not_a_slower_server() {
        let mut baseline = Baseline::new();
        assert_eq!(baseline.compare(&window(&[], 0)), Slowdown::Quiet);
        let usual = [
            statements("select", 900, 100),
            statements("commit", 100, 2000),
        ];
        assert_eq!(baseline.compare(&window(&usual, 4)), Slowdown::Unknown);
        baseline.learn(&[window(&usual, 4)]);
        assert_eq!(baseline.compare(&window(&usual, 4)), Slowdown::Slower(1.0));
        let commits = [statements("commit", 400, 2000)];
        assert_eq!(
            baseline.compare(&window(&commits, 4)),
            Slowdown::Slower(1.0)
        );
        let slow = [
            statements("select", 900, 150),
            statements("commit", 100, 3000),
        ];
        assert_eq!(baseline.compare(&window(&slow, 4)), Slowdown::Slower(1.5));
    }

    /// Returns a window of `count` statements of 100 microseconds each, and a report of `seconds`
    /// seconds.
    fn with_report(count: u64, seconds: u64) -> Window {
        let mut all = statements("select", count, 100);
        all.count += u64::from(seconds > 0);
        all.nanos += seconds * 1_000_000_000;
        window(&[all], 4)
    }

    #[track_caller]
    fn usual_is(baseline: &Baseline, micros: std::ops::Range<f64>) {
        let Slowdown::Slower(times) = baseline.compare(&with_report(1000, 0)) else {
            panic!("{baseline:?}");
        };
        let found = 100.0 / times;
        assert!(micros.contains(&found), "{found} microseconds");
    }

    #[test]
    fn a_report_that_ends_during_a_sample_does_not_count() {
        // the first sample, a later one, and one with a report in each of its windows
        let mut baseline = Baseline::new();
        baseline.learn(&[
            with_report(250, 30),
            with_report(250, 0),
            with_report(250, 0),
        ]);
        usual_is(&baseline, 99.0..101.0);
        baseline.learn(&[with_report(250, 0), with_report(250, 30)]);
        usual_is(&baseline, 99.0..101.0);
        assert!(baseline.noise() < 0.01, "{}", baseline.noise());
        baseline.learn(&[with_report(250, 30), with_report(250, 30)]);
        usual_is(&baseline, 100.0..MAX_FACTOR * 100.0);
    }

    #[test]
    fn a_mean_from_an_outlier_is_replaced() {
        let mut baseline = Baseline::new();
        baseline.learn(&[with_report(0, 30)]);
        baseline.learn(&[with_report(250, 0)]);
        usual_is(&baseline, 99.0..110.0);
    }

    #[test]
    fn a_few_statements_do_not_outweigh_thousands() {
        let mut baseline = Baseline::new();
        baseline.learn(&[with_report(2000, 0), with_report(2000, 0)]);
        let ours = window(&[statements("select", 3, 5000)], 1);
        baseline.learn(&[ours.clone(), ours.clone()]);
        usual_is(&baseline, 100.0..105.0);
        // the few events that were seen first don't keep their weight for long
        let mut baseline = Baseline::new();
        baseline.learn(&vec![ours; 8]);
        baseline.learn(&[with_report(500, 0), with_report(500, 0)]);
        usual_is(&baseline, 100.0..160.0);
    }

    #[test]
    fn a_class_without_events_does_not_count() {
        let nothing = Window {
            counters: vec![statements("select", 0, 100)],
            ..window(&[], 1)
        };
        let mut baseline = Baseline::new();
        for _ in 0..3 {
            baseline.learn(&[nothing.clone(), nothing.clone()]);
        }
        assert_eq!(baseline.compare(&with_report(1000, 0)), Slowdown::Unknown);
        baseline.learn(&[with_report(1000, 0), nothing.clone()]);
        usual_is(&baseline, 99.0..101.0);
    }

    #[test]
    fn two_windows_have_the_same_weight() {
        let mut baseline = Baseline::new();
        baseline.learn(&[80, 120].map(|n| window(&[statements("select", 100, n)], 1)));
        usual_is(&baseline, 99.0..101.0);
    }

    #[test]
    fn an_idle_server_has_noise() {
        let mut baseline = Baseline::new();
        let windows = [80, 120, 90, 110].map(|n| window(&[statements("a", 100, n)], 1));
        baseline.learn(&windows);
        assert!(
            (baseline.noise() - 0.15).abs() < 1e-9,
            "{}",
            baseline.noise()
        );
    }

    #[test]
    fn one_long_report_is_capped() {
        let mut baseline = Baseline::new();
        baseline.learn(&[window(&[statements("select", 100, 100)], 1)]);
        let hour = Counter {
            class: Class::Statement("select".to_owned()),
            count: 101,
            nanos: 3_600_000_000_000,
        };
        assert_eq!(
            baseline.compare(&window(&[hour], 1)),
            Slowdown::Slower(MAX_FACTOR)
        );
    }

    #[test]
    fn a_server_without_statements_is_judged_by_its_waits() {
        let wait = |count, micros: u64| Counter {
            class: Class::Wait("log".to_owned()),
            count,
            nanos: count * micros * 1000,
        };
        let mut baseline = Baseline::new();
        baseline.learn(&[window(&[wait(100, 50), statements("select", 2, 100)], 1)]);
        let now = window(&[wait(50, 100), statements("select", 3, 9999)], 1);
        assert_eq!(baseline.compare(&now), Slowdown::Slower(2.0));
        assert_eq!(
            baseline.compare(&window(&[wait(3, 100)], 1)),
            Slowdown::Quiet
        );
    }

    #[test]
    fn running_statements_without_completions_are_a_stall() {
        let mut baseline = Baseline::new();
        baseline.learn(&[window(&[statements("select", 1000, 100)], 4)]);
        assert_eq!(baseline.compare(&window(&[], 8)), Slowdown::Stalled);
        assert_eq!(
            baseline.compare(&window(&[statements("select", 99, 100)], 4)),
            Slowdown::Stalled
        );
        assert_eq!(
            baseline.compare(&window(&[], 1)),
            Slowdown::Quiet,
            "they left"
        );
    }

    #[test]
    fn a_truncated_summary_is_skipped() {
        let before = [statements("a", 10, 10), statements("b", 10, 10)];
        let after = [statements("a", 3, 10), statements("b", 14, 10)];
        let window = Window::between(Duration::from_secs(1), &before, &after, None);
        assert_eq!(window.counters, [statements("b", 4, 10)]);
        assert!(!window.is_telling());
    }

    #[test]
    fn the_usual_latency_follows_the_server_by_halves() {
        let mut baseline = Baseline::new();
        baseline.learn(&[window(&[statements("a", 100, 100)], 1)]);
        baseline.learn(&[window(&[statements("a", 100, 200)], 1)]);
        let now = window(&[statements("a", 100, 150)], 1);
        assert_eq!(baseline.compare(&now), Slowdown::Slower(1.0));
    }
}
