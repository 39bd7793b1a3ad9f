//! `lsnap list`: the chains of a repository, as trees.

use super::exit::Failure;
use super::json::{Entries, ListDocument, State, problem};
use super::store_args::{RepoArg, StoreArgs};
use super::table::{self, Column};
use super::{Context, human, output};
use crate::manifest::BackupKind;
use crate::store::{ChainGroup, Listed, ListedState, Repository, chain_groups, disagreements};
use chrono::{DateTime, Utc};

/// Arguments of `lsnap list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    /// Print all columns, even if the table is wider than the terminal.
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    store: StoreArgs,
}

const COLUMNS: usize = 9;
type Row = [String; COLUMNS];

/// The columns, and the order in which they are dropped.
const HEAD: [Column; COLUMNS] = [
    column("BACKUP", None),
    column("STATE", None),
    column("TYPE", Some(4)),
    column("STORED", Some(6)),
    column("RESTORED", Some(3)),
    column("CHECKPOINTS", Some(1)),
    column("GTID", Some(2)),
    column("AGE", Some(7)),
    column("MADE BY", Some(0)),
];

const fn column(title: &'static str, importance: Option<u8>) -> Column {
    Column { title, importance }
}

impl Args {
    /// Returns the URL of the repository.
    pub(super) fn url(&self) -> &str {
        &self.repo.repo
    }

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
        output::json(&ListDocument {
            repository: args.repo.repo.clone(),
            backups: Entries::of(&listed, now).all(),
        });
    } else if listed.is_empty() {
        output::out(&format!("{}: no backups\n", args.repo.repo));
    } else {
        let width = if args.wide { None } else { table::width() };
        output::out(&(table(&groups, now, width) + &problems(&listed)));
    }
    Ok(())
}

/// Prints chains as trees: full backups with their incrementals below them.
fn table(groups: &[ChainGroup<'_>], now: DateTime<Utc>, width: Option<usize>) -> String {
    let mut rows: Vec<Row> = Vec::new();
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
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    table::laid_out(&HEAD, &rows, width)
}

/// Returns a line for each backup of which more than its state is known.
fn problems(listed: &[Listed]) -> String {
    let line = |backup: &Listed| Some(format!("{}: {}\n", backup.name, problem(backup)?));
    listed.iter().filter_map(line).collect()
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
        human::bytes(summary.map_or(backup.stored_bytes, |s| s.stored_bytes)),
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
        ListedState::Stream { finished: true } => "stream",
        _ => State::of(backup).word(),
    }
}
