//! The options of commands that accept `latest`: the backups that it is chosen from.

use super::exit::Failure;
use super::human;
use crate::store::LatestOf;
use chrono::{DateTime, Utc};

/// The backups that `latest` is chosen from.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct LatestArgs {
    /// Let `latest` be of this cluster: the first part of the backups' names [default: the only
    /// cluster of the repository; with several, `latest` is refused].
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Let `latest` be the newest backup that was finished before this time: with a time zone
    /// (2026-11-30T08:00:00+01:00), a date (its begin in UTC), or a time span before now (2d, 12h).
    #[arg(long, value_name = "TIME", value_parser = human::parse_time)]
    before: Option<DateTime<Utc>>,
}

impl LatestArgs {
    /// Returns the cluster that was given.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// Returns the meaning of `latest`. `name` is the argument of the command.
    pub(super) fn of(&self, name: Option<&str>) -> Result<LatestOf, Failure> {
        if self.before.is_some() && name != Some("latest") {
            return Err(Failure::arguments(format!(
                "--before chooses another backup for `latest`, but {}; give `latest` with it",
                match name {
                    Some(name) => format!("the backup is {name}"),
                    None => "no name is given".to_owned(),
                }
            )));
        }
        Ok(LatestOf {
            cluster: self.cluster.clone(),
            before: self.before,
        })
    }
}
