//! Shows progress on standard error: a line on a terminal that is updated, lines for a log, JSON
//! lines for programs, or nothing. `docs/reference/progress.md` describes the output.

mod line;
mod meter;
mod style;

pub(super) use style::Style;

use super::{human, output};
use crate::locked::Locked;
use crate::progress::{Phase, Progress};
use meter::{Meter, Reading};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// Shows the progress of a job.
pub(super) struct Shown {
    state: Arc<State>,
    ticker: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    style: Style,
    /// The title of [`Phase::Transfer`].
    transfer: &'static str,
    phase: Mutex<Option<Running>>,
    ended: crate::cancel::Cancel,
}

/// The current phase.
struct Running {
    phase: Phase,
    began: Instant,
    meter: Meter,
    turn: usize,
}

impl Shown {
    /// Creates the display of a job.
    pub(super) fn new(style: Style) -> Self {
        Self::transferring(style, "transferring")
    }

    /// Creates the display of a job whose [`Phase::Transfer`] is called `transfer`: "uploading".
    pub(super) fn transferring(style: Style, transfer: &'static str) -> Self {
        Self {
            state: Arc::new(State {
                style: style.chosen(),
                transfer,
                phase: Mutex::new(None),
                ended: crate::cancel::Cancel::new(),
            }),
            ticker: Mutex::new(None),
        }
    }

    /// Ends the display, so that the next output starts on a line of its own.
    pub(super) fn end(&self) {
        self.state.ended.cancel();
        if let Some(ticker) = self.ticker.locked().take() {
            let _ = ticker.join();
        }
        self.state.finish(&mut self.state.phase.locked());
        output::clear_line();
    }

    fn start_ticker(&self) {
        let Some(interval) = self.state.style.interval() else {
            return;
        };
        let mut ticker = self.ticker.locked();
        if ticker.is_none() && !self.state.ended.is_cancelled() {
            let state = Arc::clone(&self.state);
            let tick = move || {
                while !state.ended.wait(interval) {
                    state.tick();
                }
            };
            // Without a thread, only the begin of each phase is shown.
            let thread = std::thread::Builder::new().name("progress".to_owned());
            *ticker = thread.spawn(tick).ok();
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.end();
    }
}

impl State {
    fn title(&self, phase: Phase) -> &'static str {
        match phase {
            Phase::Preparing => "preparing",
            Phase::RedoCatchUp => "redo",
            Phase::Copy => "pages",
            Phase::DataCopied => "pages done",
            Phase::Plain => "other files",
            Phase::Redo => "redo end",
            Phase::Finish => "finishing",
            Phase::Merge => "merging",
            Phase::Apply => "applying redo",
            Phase::HandOver => "hand-over",
            Phase::Verify => "checking",
            Phase::Transfer => self.transfer,
        }
    }

    fn tick(&self) {
        if let Some(running) = &mut *self.phase.locked() {
            let reading = running.meter.read(running.began.elapsed());
            running.turn += 1;
            self.show(running, &reading);
        }
    }

    fn begin(&self, phase: Phase, total: Option<u64>) {
        let mut current = self.phase.locked();
        self.finish(&mut current);
        let mut running = Running {
            phase,
            began: Instant::now(),
            meter: Meter::new(total),
            turn: 0,
        };
        let reading = running.meter.read(std::time::Duration::ZERO);
        self.show(&running, &reading);
        *current = Some(running);
    }

    /// Ends a phase: a program gets its last state.
    fn finish(&self, current: &mut Option<Running>) {
        if let Some(mut running) = current.take()
            && self.style == Style::Json
        {
            let reading = running.meter.read(running.began.elapsed());
            self.show(&running, &reading);
        }
    }

    fn show(&self, running: &Running, reading: &Reading) {
        let title = self.title(running.phase);
        match self.style {
            Style::Bar => {
                let line = line::fitted(title, reading, running.turn, style::terminal());
                output::draw_line(&line);
            }
            Style::Plain => output::err(&plain(title, reading)),
            Style::Json => output::json_line(&json(running.phase, reading)),
            Style::Auto | Style::None => {}
        }
    }
}

/// Returns a line for a log.
fn plain(title: &str, reading: &Reading) -> String {
    let mut parts = Vec::new();
    match reading.total {
        Some(total) if reading.elapsed.is_zero() => parts.push(human::bytes(total)),
        Some(total) => {
            let percent = (reading.done.min(total) as f64 / total as f64 * 100.0) as u64;
            parts.push(format!(
                "{percent}%, {} of {}",
                human::bytes(reading.done),
                human::bytes(total)
            ));
        }
        None if reading.done > 0 => parts.push(human::bytes(reading.done)),
        None => {}
    }
    if let Some(rate) = reading.rate {
        parts.push(format!("{}/s", human::bytes(rate as u64)));
    }
    match reading.left {
        Some(left) => parts.push(format!("{} left", line::time(left))),
        None if !reading.elapsed.is_zero() => {
            parts.push(format!("after {}", line::time(reading.elapsed)))
        }
        None => {}
    }
    match parts.as_slice() {
        [] => format!("{title}\n"),
        parts => format!("{title}: {}\n", parts.join(", ")),
    }
}

/// A line for programs.
#[derive(serde::Serialize)]
struct JsonLine {
    r#type: &'static str,
    phase: &'static str,
    done_bytes: u64,
    total_bytes: Option<u64>,
    bytes_per_second: Option<u64>,
    elapsed_seconds: f64,
    seconds_left: Option<u64>,
}

/// A note for programs.
#[derive(serde::Serialize)]
struct JsonNote<'a> {
    r#type: &'static str,
    message: &'a str,
}

fn json(phase: Phase, reading: &Reading) -> JsonLine {
    JsonLine {
        r#type: "progress",
        phase: phase.name(),
        done_bytes: reading.done,
        total_bytes: reading.total,
        bytes_per_second: reading.rate.map(|rate| rate as u64),
        elapsed_seconds: (reading.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        seconds_left: reading.left.map(|left| left.as_secs()),
    }
}

impl Progress for Shown {
    fn phase(&self, phase: Phase, total: Option<u64>) {
        self.state.begin(phase, total);
        self.start_ticker();
    }

    fn advance(&self, phase: Phase, bytes: u64) {
        if let Some(running) = &mut *self.state.phase.locked()
            && running.phase == phase
        {
            running.meter.advance(bytes);
        }
    }

    fn note(&self, message: &str) {
        match self.state.style {
            Style::None | Style::Auto => tracing::info!("{message}"),
            Style::Json => output::json_line(&JsonNote {
                r#type: "note",
                message,
            }),
            Style::Bar | Style::Plain => output::err(&format!("{message}\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn plain_lines_have_no_time_left_at_the_start() {
        let mut meter = Meter::new(Some(1 << 20));
        let read =
            |meter: &mut Meter, seconds| plain("pages", &meter.read(Duration::from_secs(seconds)));
        assert_eq!(read(&mut meter, 0), "pages: 1.00 MiB\n");
        meter.advance(1 << 19);
        assert_eq!(
            read(&mut meter, 10),
            "pages: 50%, 512.00 KiB of 1.00 MiB, 51.20 KiB/s, 10 s left\n"
        );
        let mut unknown = Meter::new(None);
        assert_eq!(read(&mut unknown, 0), "pages\n");
        assert_eq!(read(&mut unknown, 10), "pages: after 10 s\n");
    }

    #[test]
    fn programs_get_numbers_and_null() {
        let mut meter = Meter::new(Some(100));
        let first = serde_json::to_value(json(Phase::RedoCatchUp, &meter.read(Duration::ZERO)));
        assert_eq!(
            first.unwrap(),
            serde_json::json!({
                "type": "progress", "phase": "redo_catch_up", "done_bytes": 0, "total_bytes": 100,
                "bytes_per_second": null, "elapsed_seconds": 0.0, "seconds_left": null
            })
        );
    }
}
