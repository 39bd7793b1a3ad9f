//! `lsnap list`: the chains of a repository.

use super::exit::Failure;
use super::store_args::StoreArgs;
use super::{Context, human, print_json};
use crate::store::{BackupKind, Listed, ListedState};
use chrono::Utc;

/// Arguments of `lsnap list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository, for example `file:///backups/mysql`.
    #[arg(long, value_name = "URL")]
    from: String,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mut listed = args.store.open(&args.from)?.list()?;
    // By name, `a-full-2` would stand between `a-full` and its incrementals.
    listed.sort_by_key(|backup| (backup.name.base(), backup.name.clone()));
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
    let (state, rest) = match &backup.state {
        ListedState::Finished(s) => {
            let kind = match s.kind {
                BackupKind::Full => "full",
                BackupKind::Incremental => "incremental",
            };
            let lsn = format!("{}-{}", s.lsn.from_lsn, s.lsn.last_lsn);
            let age = human::age((Utc::now() - s.finished_at).num_seconds());
            (kind, [human::bytes(s.data_bytes), lsn, age])
        }
        ListedState::Unfinished => ("UNFINISHED", ["-", "-", "-"].map(str::to_owned)),
        ListedState::Foreign { finished } => {
            let state = if *finished {
                "xtrabackup"
            } else {
                "xtrabackup, UNFINISHED"
            };
            (state, ["-", "-", "-"].map(str::to_owned))
        }
        _ => ("DAMAGED", ["-", "-", "-"].map(str::to_owned)),
    };
    let [data, lsn, age] = rest;
    [name, state.to_owned(), stored, data, lsn, age]
}
