//! The texts about a finished backup.

use super::{absent, human, replica, server_load};
use crate::backup::BackupReport;
use crate::counted::count;
use crate::datadir::LeftOut;
use crate::manifest::LsnRange;
use std::time::Duration;

/// Describes a backup in one line. Its warnings were logged.
pub(super) fn brief(report: &BackupReport) -> String {
    let m = &report.manifest;
    let why = report.reason.as_ref().filter(|_| m.base.is_none());
    format!(
        "{}: {} backup, {} of tablespaces, {} stored in {}{}",
        m.name,
        kind(report),
        human::bytes(m.data_bytes()),
        human::bytes(report.stored_bytes),
        human::duration(Duration::from_secs_f64(report.seconds)),
        why.map_or_else(String::new, |why| format!("; full because {why}")),
    ) + &warned(report)
}

/// Returns the end of the line: the number of warnings, which are on standard error.
fn warned(report: &BackupReport) -> String {
    match report.warnings.len() {
        0 => "\n".to_owned(),
        n => format!("; WARNING: {}\n", count(n, "warning")),
    }
}

fn kind(report: &BackupReport) -> &'static str {
    match report.manifest.base {
        Some(_) => "incremental",
        None => "full",
    }
}

/// Describes the LSNs of a backup (`docs/reference/numbers.md`).
pub(super) fn lsns(lsn: &LsnRange) -> String {
    format!(
        "LSN: from_lsn {}, to_lsn {}, redo log {} to {}",
        lsn.from_lsn, lsn.to_lsn, lsn.start_checkpoint, lsn.last_lsn
    )
}

pub(super) fn summary(report: &BackupReport) -> String {
    let m = &report.manifest;
    let seconds = report.seconds.max(0.001);
    let mut out = format!(
        "{}\n  {} of tablespaces, {} read in {} ({}/s), {} stored\n  {}\n",
        m.name,
        human::bytes(m.data_bytes()),
        human::bytes(report.read_bytes),
        human::duration(Duration::from_secs_f64(seconds)),
        human::bytes((report.read_bytes as f64 / seconds) as u64),
        human::bytes(report.stored_bytes),
        lsns(&m.lsn),
    );
    if let Some(reason) = &report.reason {
        out += &format!("  {} because {reason}\n", kind(report));
    }
    if let Some(b) = &m.binlog {
        out += &format!("  binary log {} position {}\n", b.file, b.position);
        if !b.gtid_executed.is_empty() {
            out += &format!("  gtid_executed {}\n", b.gtid_executed);
        }
    }
    if let Some(of) = &m.replica {
        for channel in &of.channels {
            out += &format!("  source {}\n", replica::source(channel));
        }
    }
    out += &format!("  {} verified", count(m.pages.verified, "page"));
    if m.pages.unverifiable > 0 {
        out += &format!(
            ", {} read twice (their checksums can't be checked without the key)",
            count(m.pages.unverifiable, "encrypted page")
        );
    }
    if m.pages.rereads > 0 {
        out += &format!(
            ", {} read again because they were being written",
            m.pages.rereads
        );
    }
    out += "\n";
    match m.page_tracking.as_ref().map(|t| (t.used, &t.reason)) {
        Some((true, _)) => out += "  page tracking: used\n",
        Some((false, Some(reason))) => out += &format!("  page tracking: not used: {reason}\n"),
        Some((false, None)) => out += "  page tracking: on, for the next incremental\n",
        None => {}
    }
    for left in m.left_out.iter().filter(|l| LeftOut::opens_keys(&l.reason)) {
        out += &format!("  not in the backup: {} ({})\n", left.path, left.reason);
    }
    if let Some(throttle) = &report.throttle {
        out += &server_load::summary(throttle);
    }
    if let Some(dictionary) = &m.dictionary {
        out += &absent::not_opened(dictionary);
        out += &absent::discarded(dictionary);
    }
    for warning in &report.warnings {
        out += &format!("  WARNING: {warning}\n");
    }
    out
}
