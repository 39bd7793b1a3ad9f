//! The throttled copy of the pages, and its report.

use super::error::BackupError;
use super::read_limiter::ReadLimiter;
use super::session::Session;
use super::throttle::{Throttle, ThrottleReport};
use super::watch::{self, Watched};
use crate::pace::{Controller, Settings};
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs `copy` with the limiter of the options, and concurrently the watcher of the server.
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
                tracing::warn!("BackupOptions::throttle auto: {reason}");
                let what = watched.name();
                session
                    .progress
                    .note(&format!("throttle: watching {what}, because {reason}"));
            }
            if watched.is_available() {
                return automatic(session, watched, tolerance, copy);
            }
            (Throttle::UNWATCHED, Some(watched))
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
    let limiter = ReadLimiter::adaptive(settings.floor);
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
