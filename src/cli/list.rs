//! `lsnap list`: the chains of a repository.

use super::exit::Failure;
use super::{Context, human, print_json};
use crate::store::{BackupKind, Listed, ListedState, Repository};
use chrono::Utc;

/// Arguments of `lsnap list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository, for example `file:///backups/mysql`.
    #[arg(long, value_name = "URL")]
    from: String,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let listed = Repository::open(&args.from)?.list()?;
    if context.json {
        print_json(&listed);
    } else if listed.is_empty() {
        println!("{}: no backups", args.from);
    } else {
        print!("{}", table(&listed));
    }
    Ok(())
}

/// Chains as trees: a full backup, and its incrementals below it.
fn table(listed: &[Listed]) -> String {
    let mut rows = vec![["BACKUP", "STATE", "STORED", "DATA", "LSN", "AGE"].map(str::to_owned)];
    rows.extend(listed.iter().map(row));
    let width = |column: usize| {
        rows.iter()
            .map(|r| r[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let line: String = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}  "))
            .collect();
        out += line.trim_end();
        out.push('\n');
    }
    out
}

fn row(backup: &Listed) -> [String; 6] {
    // An incremental stands below its full backup, whose name its directory repeats.
    let name = if backup.name.is_incremental() {
        format!("  {}", backup.name.last_part())
    } else {
        backup.name.to_string()
    };
    let stored = human::bytes(backup.stored_bytes);
    let dash = || "-".to_owned();
    match &backup.state {
        ListedState::Finished(s) => [
            name,
            match s.kind {
                BackupKind::Full => "full".to_owned(),
                BackupKind::Incremental => "incremental".to_owned(),
            },
            stored,
            human::bytes(s.data_bytes),
            format!("{}-{}", s.lsn.from_lsn, s.lsn.last_lsn),
            human::age((Utc::now() - s.finished_at).num_seconds()),
        ],
        ListedState::Unfinished => [
            name,
            "UNFINISHED".to_owned(),
            stored,
            dash(),
            dash(),
            dash(),
        ],
        ListedState::Foreign { finished: true } => [
            name,
            "xtrabackup".to_owned(),
            stored,
            dash(),
            dash(),
            dash(),
        ],
        ListedState::Foreign { finished: false } => [
            name,
            "xtrabackup, UNFINISHED".to_owned(),
            stored,
            dash(),
            dash(),
            dash(),
        ],
        ListedState::Damaged { .. } => [name, "DAMAGED".to_owned(), stored, dash(), dash(), dash()],
    }
}
