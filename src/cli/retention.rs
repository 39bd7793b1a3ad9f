//! The retention policy: what `lsnap prune` keeps, and `lsnap backup --prune`.

use super::human;
use crate::store::Policy;
use std::time::Duration;

/// The options that keep chains, by their ids.
pub(super) const KEEP: [&str; 6] = [
    "keep_full",
    "keep_days",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
];

/// A retention policy. Each option keeps chains; a chain that no option keeps is deleted.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Retention")]
#[group(skip)]
pub(super) struct RetentionArgs {
    #[command(flatten)]
    keep: KeepArgs,
    /// Delete unfinished backups whose newest object is older than this.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = human::parse_duration)]
    unfinished_older_than: Duration,
}

/// The rules of a retention policy.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Retention")]
#[group(skip)]
pub(super) struct KeepArgs {
    /// Keep the newest N finished full backups of each cluster, with their incrementals.
    #[arg(long, value_name = "N")]
    keep_full: Option<u64>,
    /// Keep every chain with a backup younger than N days.
    #[arg(long, value_name = "N")]
    keep_days: Option<u32>,
    /// Keep the newest full backup of each of the last N days that have one, with its incrementals.
    #[arg(long, value_name = "N")]
    keep_daily: Option<u64>,
    /// The same for weeks, which start on Monday.
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u64>,
    /// The same for months.
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u64>,
    /// The same for years.
    #[arg(long, value_name = "N")]
    keep_yearly: Option<u64>,
}

impl KeepArgs {
    /// Returns the policy, or `None` if there is no rule.
    pub(super) fn policy(&self) -> Option<Policy> {
        let counts = [
            self.keep_full,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ];
        let any = self.keep_days.is_some() || counts.iter().any(Option::is_some);
        any.then(|| Policy {
            keep_full: self.keep_full,
            keep_days: self.keep_days,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_yearly: self.keep_yearly,
            ..Policy::default()
        })
    }
}

impl RetentionArgs {
    pub(super) fn policy(&self) -> Policy {
        Policy {
            unfinished_older_than: self.unfinished_older_than,
            ..self.keep.policy().unwrap_or_default()
        }
    }
}
