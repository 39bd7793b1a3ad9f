//! How slowly data files are read: what a caller asks for, and what it is told at the end.
//!
//! Only the reads of the page workers are held back. The redo follower never is (what it misses is lost),
//! nor are the files of other engines, during whose copy tables may be locked: slower would be worse.

use super::error::BackupError;
use super::read_limiter::ReadLimiter;
use super::session::Session;
use super::watch::{self, Watched};
use crate::pace::{Controller, Settings};
use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, Instant};

/// What rate the data files are read at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Throttle {
    /// So many bytes a second, of all page workers together.
    Rate(NonZeroU64),
    /// As fast as the server hardly feels it: its work may take longer than usual by this part of it (0.05).
    Auto(f64),
}

impl Throttle {
    /// Automatic, with the usual tolerance of a twentieth.
    pub const AUTO: Self = Self::Auto(Settings::TOLERANCE);
    /// The rate of an automatic backup where nothing can be watched: 32 MiB a second.
    const BLIND: NonZeroU64 = NonZeroU64::new(32 << 20).unwrap();
}

/// What was done for the server's sake. Rates are bytes a second.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ThrottleReport {
    /// `fixed`, or `auto`.
    pub mode: &'static str,
    /// What was watched; `None` with a fixed rate.
    pub watched: Option<String>,
    /// Why something better was not watched.
    pub fallback: Option<String>,
    /// The lowest rate that was allowed.
    pub lowest_rate: u64,
    /// The highest.
    pub highest_rate: u64,
    /// What was read, divided by the time that it took.
    pub mean_rate: u64,
    /// How often the rate was cut because the server got slower.
    pub backed_off: u64,
    /// How often reading paused to learn what is usual for the server.
    pub looks: u64,
}

/// Runs `copy`, with the limiter that the options ask for and with what watches the server beside it.
pub(super) fn with_limiter<T>(
    session: &Session<'_>,
    copy: impl FnOnce(Option<&ReadLimiter>) -> Result<T, BackupError>,
) -> Result<(T, Option<ThrottleReport>), BackupError> {
    let options = session.options;
    let (rate, watched) = match options.throttle {
        None => return Ok((copy(None)?, None)),
        Some(Throttle::Rate(rate)) => (rate, None),
        Some(Throttle::Auto(tolerance)) => {
            let spool = Some(options.spool_dir.as_path());
            let written = [session.sink.directory(), spool];
            let written = written.into_iter().flatten().map(Path::to_owned).collect();
            let watched = Watched::begin(
                options.connect.clone(),
                session.variables.datadir.clone(),
                written,
            );
            for reason in &watched.fallback {
                tracing::warn!("--throttle auto: {reason}");
                let what = watched.name();
                session
                    .progress
                    .note(&format!("throttle: watching {what}, because {reason}"));
            }
            if watched.can_see() {
                return automatic(session, watched, tolerance, copy);
            }
            (Throttle::BLIND, Some(watched))
        }
    };
    let limiter = ReadLimiter::fixed(rate);
    let began = Instant::now();
    let copied = copy(Some(&limiter))?;
    let report = ThrottleReport {
        mode: watched.as_ref().map_or("fixed", |_| "auto"),
        watched: watched.as_ref().map(Watched::name),
        fallback: watched.and_then(|w| w.reasons()),
        lowest_rate: rate.get(),
        highest_rate: rate.get(),
        mean_rate: mean(limiter.passed(), began.elapsed()),
        backed_off: 0,
        looks: 0,
    };
    Ok((copied, Some(report)))
}

fn automatic<T>(
    session: &Session<'_>,
    watched: Watched,
    tolerance: f64,
    copy: impl FnOnce(Option<&ReadLimiter>) -> Result<T, BackupError>,
) -> Result<(T, Option<ThrottleReport>), BackupError> {
    let settings = Settings {
        floor: Settings::FLOOR,
        tolerance,
        readers: session.options.threads,
    };
    let limiter = ReadLimiter::ordered(settings.floor);
    let controller = Controller::new(settings, Duration::ZERO);
    let began = Instant::now();
    let (done, ended) = watch::end_channel();
    let (copied, seen) = std::thread::scope(|scope| {
        let limiter = &limiter;
        let watching = scope.spawn(move || watch::watch(watched, controller, limiter, &ended));
        let copied = copy(Some(limiter));
        drop(done);
        (copied, watching.join())
    });
    let copied = copied?;
    let (watched, summary) = seen.map_err(|_| BackupError::Panicked("watching"))?;
    let report = ThrottleReport {
        mode: "auto",
        watched: Some(watched.name()),
        fallback: watched.reasons(),
        lowest_rate: summary.lowest,
        highest_rate: summary.highest,
        mean_rate: mean(limiter.passed(), began.elapsed()),
        backed_off: summary.backed_off,
        looks: summary.looks,
    };
    Ok((copied, Some(report)))
}

fn mean(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(0.001)) as u64
}
