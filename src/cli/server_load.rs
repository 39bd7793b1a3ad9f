//! Options that limit the load of a backup on the server, and their summary.

use super::human;
use crate::backup::{IoClass, Priority, Throttle, ThrottleReport};
use crate::counted::count;
use std::num::NonZeroU64;

/// How much load a backup may put on the server.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Load on the server")]
pub(super) struct ServerLoadArgs {
    /// Read data files with at most this many bytes a second in all threads together (50MiB); or as
    /// fast as possible without slowing the server noticeably (auto; auto:20% lets its statements
    /// take 20% longer than usual instead of 5%). --max-rate limits uploads. The redo log is never
    /// throttled.
    #[arg(long, value_name = "RATE|auto", value_parser = throttle)]
    throttle: Option<Throttle>,
    /// Nice value of the threads that read, check and compress pages, 0 to 19.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=19))]
    nice: Option<u8>,
    /// I/O class of the same threads: idle, best-effort or best-effort:0 to best-effort:7. It has
    /// an effect if the disk's scheduler is bfq or mq-deadline (/sys/block/*/queue/scheduler).
    #[arg(long, value_name = "CLASS")]
    ionice: Option<IoClass>,
}

impl ServerLoadArgs {
    pub(super) const fn throttle(&self) -> Option<Throttle> {
        self.throttle
    }

    pub(super) const fn priority(&self) -> Priority {
        Priority {
            nice: self.nice,
            io: self.ionice,
        }
    }
}

fn throttle(text: &str) -> Result<Throttle, String> {
    if text == "auto" {
        return Ok(Throttle::AUTO);
    }
    if let Some(percent) = text.strip_prefix("auto:") {
        let number = percent.strip_suffix('%').unwrap_or(percent);
        let number = number
            .parse::<u16>()
            .ok()
            .filter(|n| (1..=1000).contains(n));
        return number
            .map(|n| Throttle::Auto(f64::from(n) / 100.0))
            .ok_or_else(|| format!("{percent:?}: expected 1% to 1000%, like auto:20%"));
    }
    let rate = human::parse_bytes(text).map_err(|e| format!("{e}; or auto"))?;
    NonZeroU64::new(rate as u64)
        .map(Throttle::Rate)
        .ok_or_else(|| "0 bytes a second is not a rate: expected at least 1".to_owned())
}

/// Describes the throttle's effect in a line.
pub(super) fn summary(report: &ThrottleReport) -> String {
    let rate = |n: u64| format!("{}/s", human::bytes(n));
    let mean = rate(report.mean_rate);
    let Some(watched) = &report.watched else {
        return format!(
            "  throttle: {} at most, {mean} on average\n",
            rate(report.highest_rate)
        );
    };
    let mut line = format!(
        "  throttle: {mean} on average, {} to {}; watched {watched}; backed off {}, {} at the idle server\n",
        rate(report.lowest_rate),
        rate(report.highest_rate),
        count(report.backed_off, "time"),
        count(report.looks, "look")
    );
    if let Some(reason) = &report.fallback {
        line += &format!("  throttle: nothing else was watched because {reason}\n");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttles_as_they_are_typed() {
        let rate = |n| NonZeroU64::new(n).map(Throttle::Rate);
        assert_eq!(throttle("auto"), Ok(Throttle::Auto(0.05)));
        assert_eq!(throttle("auto:20%"), Ok(Throttle::Auto(0.2)));
        assert_eq!(throttle("auto:5"), Ok(Throttle::Auto(0.05)));
        assert_eq!(throttle("100M").ok(), rate(100 << 20));
        assert_eq!(throttle("1.5MiB").ok(), rate(3 << 19));
        for wrong in [
            "",
            "0",
            "Auto",
            "auto:",
            "auto:0%",
            "auto:2000%",
            "auto:x",
            "-5M",
            "5X",
        ] {
            assert!(throttle(wrong).is_err(), "{wrong}");
        }
    }
}
