//! `lsnap list`: the chains of a repository, as trees.

use super::exit::Failure;
use super::store_args::{RepoArg, StoreArgs};
use super::{Context, human, output};
use crate::manifest::{BackupKind, BackupName};
use crate::store::{ChainGroup, Listed, ListedState, Repository, chain_groups, disagreements};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// Arguments of `lsnap list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    #[command(flatten)]
    store: StoreArgs,
}

const COLUMNS: usize = 9;
type Row = [String; COLUMNS];

/// One backup in the JSON document, which is a list of them, chain after chain.
#[derive(Debug, Serialize)]
struct Item<'a> {
    #[serde(flatten)]
    listed: &'a Listed,
    kind: BackupKind,
    made_by: Option<String>,
    /// The full backup of its chain.
    family: &'a BackupName,
    age_seconds: i64,
}

impl Args {
    /// Returns the URL of the repository, and the repository.
    pub(super) fn opened(&self) -> Result<(&str, Repository), Failure> {
        Ok((&self.repo.repo, self.store.open(&self.repo.repo)?))
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let (_, repository) = args.opened()?;
    let listed = repository.list()?;
    let groups = chain_groups(&listed);
    let now = Utc::now();
    for found in disagreements(&listed) {
        tracing::warn!("{found}");
    }
    if context.json {
        let items: Vec<Item<'_>> = groups.iter().flat_map(|f| items(f, now)).collect();
        output::json(&items);
    } else if listed.is_empty() {
        output::out(&format!("{}: no backups\n", args.repo.repo));
    } else {
        output::out(&table(&groups, now));
    }
    Ok(())
}

fn items<'a>(family: &'a ChainGroup<'a>, now: DateTime<Utc>) -> impl Iterator<Item = Item<'a>> {
    family.members().map(move |listed| Item {
        listed,
        kind: listed.kind(),
        made_by: listed.made_by(),
        family: &family.name,
        age_seconds: (now - listed.made_at()).num_seconds(),
    })
}

/// Prints chains as trees: full backups with their incrementals below them.
fn table(groups: &[ChainGroup<'_>], now: DateTime<Utc>) -> String {
    let head = [
        "BACKUP",
        "STATE",
        "TYPE",
        "STORED",
        "RESTORED",
        "CHECKPOINTS",
        "GTID",
        "AGE",
        "MADE BY",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for family in groups {
        if family.fulls.is_empty() {
            let mut row = [(); COLUMNS].map(|()| "-".to_owned());
            row[0] = family.name.to_string();
            row[1] = "MISSING".to_owned();
            rows.push(row);
        }
        let fulls = family.fulls.iter();
        rows.extend(fulls.map(|backup| row(backup.name.to_string(), backup, now)));
        for (at, backup) in family.others.iter().enumerate() {
            let last = at + 1 == family.others.len();
            let branch = if last { "└─" } else { "├─" };
            // The directory has the name of the full backup.
            let name = backup.name.last_part();
            rows.push(row(format!("{branch} {name}"), backup, now));
        }
    }
    laid_out(&rows)
}

fn laid_out(rows: &[Row]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:<width$}  "))
            .collect();
        out += line.trim_end();
        out.push('\n');
    }
    out
}

fn row(name: String, backup: &Listed, now: DateTime<Utc>) -> Row {
    let none = || "-".to_owned();
    let summary = backup.summary();
    let kind = match backup.kind() {
        BackupKind::Full => "full",
        BackupKind::Incremental => "incremental",
    };
    let gtid = match (&backup.foreign, summary.and_then(|s| s.binlog.as_ref())) {
        (_, Some(binlog)) => human::gtids(&binlog.gtid_executed),
        (Some(foreign), None) => foreign.binlog_pos.as_deref().and_then(human::gtids_in),
        _ => None,
    };
    [
        name,
        if backup.pinned {
            format!("{}, pinned", state(backup))
        } else {
            state(backup).to_owned()
        },
        kind.to_owned(),
        human::bytes(backup.stored_bytes),
        summary.map_or_else(none, |s| human::bytes(s.data_bytes)),
        backup
            .lsns()
            .map_or_else(none, |(from, to)| format!("{from}-{to}")),
        gtid.unwrap_or_else(none),
        human::age((now - backup.made_at()).num_seconds()),
        backup.made_by().unwrap_or_else(none),
    ]
}

/// Returns the state of a backup; in capitals if the backup can't be restored or relied on.
pub(super) fn state(backup: &Listed) -> &'static str {
    match backup.state {
        ListedState::Finished(_) if backup.lacks_tables() => "INCOMPLETE",
        ListedState::Finished(_) | ListedState::Foreign { finished: true } => "finished",
        ListedState::Stream { finished: true } => "stream",
        ListedState::BaseMissing(_) => "BASE MISSING",
        ListedState::Unfinished
        | ListedState::Stream { finished: false }
        | ListedState::Foreign { finished: false } => "UNFINISHED",
        ListedState::Deleting => "DELETING",
        ListedState::Damaged { .. } => "DAMAGED",
    }
}
