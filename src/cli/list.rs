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
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
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
