//! `lsnap copy`.

use super::exit::{Failure, copy_code};
use super::exit_code::ExitCode;
use super::latest_args::LatestArgs;
use super::progress::Shown;
use super::retention::KeepArgs;
use super::store_args::{StoreArgs, store_args};
use super::{Context, human, interrupt, key};
use crate::copy::{self, CopyOptions, CopyReport, CopyWhich};
use crate::counted::count;
use crate::store;
use std::fmt::Write as _;
use std::time::Duration;

/// Arguments of `lsnap copy`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository to copy from: a URL, for example `file:///backups/mysql`, or the name of a
    /// configured repository.
    #[arg(long, value_name = "REPO", alias = "from", overrides_with = "repo")]
    repo: String,
    /// The repository to copy to: a URL, or the name of a configured repository. Its store options
    /// are those of its table in the file, and of --into-option.
    #[arg(long, value_name = "REPO", alias = "to", overrides_with = "into")]
    into: String,
    /// A store option of the target, as a key of `[repository]` with its value, for example
    /// `endpoint=https://s3.example.org`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    into_option: Vec<String>,
    /// The options of the target in the configuration file.
    #[arg(long, hide = true, value_name = "KEY=VALUE")]
    into_configured: Vec<String>,
    /// The backup: its name, the last part of its name, or `latest`. The backups that its restore
    /// needs are copied with it [default: latest].
    name: Option<String>,
    #[command(flatten)]
    latest: LatestArgs,
    /// Copy every finished backup of --cluster; if no cluster is given or configured, of the
    /// repository.
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Of these, copy those that the retention policy keeps: the configured one, or that of the
    /// options --keep-full, --keep-days and so on.
    #[arg(long, conflicts_with_all = ["name", "all"])]
    kept: bool,
    /// Pin the chains in the target that are pinned in the source.
    #[arg(long)]
    with_pins: bool,
    /// Print what would be copied, copy nothing.
    #[arg(long)]
    dry_run: bool,
    /// Copy N objects at the same time.
    #[arg(long, short = 'j', value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Use at most this much memory for objects in transit.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = human::parse_memory)]
    memory: usize,
    /// Others wait this long after the last renewal of this copy's lease on a chain, in seconds.
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = store::DEFAULT_TTL.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lease_ttl: u64,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    opening: key::Opening,
    #[command(flatten)]
    store: StoreArgs,
}

impl Args {
    fn options(&self) -> Result<CopyOptions, Failure> {
        Ok(CopyOptions {
            parallel: usize::from(self.parallel),
            memory: self.memory,
            key: self.opening.key()?,
            accept_unauthenticated: self.opening.accept_unauthenticated,
            with_pins: self.with_pins,
            dry_run: self.dry_run,
            lease_ttl: Duration::from_secs(self.lease_ttl),
            ..CopyOptions::default()
        })
    }

    /// Returns the store options of the target: those of the file, then those of the command line.
    fn target(&self) -> Result<StoreArgs, Failure> {
        let pairs = self.into_configured.iter().chain(&self.into_option);
        store_args(pairs).map_err(|message| Failure::arguments(format!("--into-option: {message}")))
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mut options = args.options()?;
    let policy = args.keep.policy();
    let which = match (&args.name, args.all, &policy) {
        (Some(_), _, Some(_)) | (None, true, Some(_)) => {
            return Err(Failure::arguments(
                "--keep-full and the other rules of a policy choose the backups to copy: give them without NAME and --all".to_owned(),
            ));
        }
        (None, true, None) => CopyWhich::All,
        (None, false, Some(policy)) => CopyWhich::Kept(policy),
        (None, false, None) if args.kept => {
            return Err(Failure::arguments(
                "--kept: there is no retention policy: set [retention] in the configuration file, or --keep-full".to_owned(),
            ));
        }
        (name, false, None) => CopyWhich::Named(name.as_deref().unwrap_or("latest")),
        (Some(_), true, None) => {
            return Err(Failure::arguments(
                "--all and a NAME exclude each other".to_owned(),
            ));
        }
    };
    let latest = args.latest.of(match which {
        CopyWhich::Named(name) => Some(name),
        _ => None,
    })?;
    let target = args.target()?;
    let from = args.store.open(&args.repo)?.with_latest(latest);
    let to = target.open(&args.into)?;
    options.cancel = interrupt::on_signal("run it again to continue")?;
    let shown = Shown::new(context.progress);
    let result = copy::copy(&from, &to, which, &options, &shown);
    shown.end();
    let report = result?;
    context.print(&report, summary);
    let [first, ..] = report.failed.as_slice() else {
        return Ok(());
    };
    let failed = count(report.failed.len(), "backup");
    let message = format!("{failed} could not be copied, see the report");
    Err(match &first.error {
        Some(error) => Failure::with_code(copy_code(error), message).of_kind(error.kind()),
        None => Failure::with_code(ExitCode::Damaged, message),
    })
}

fn summary(report: &CopyReport) -> String {
    let mut out = String::new();
    let verb = if report.dry_run {
        "would copy"
    } else {
        "copied"
    };
    for one in &report.copied {
        let (size, objects) = (human::bytes(one.stored_bytes), count(one.objects, "object"));
        let before = one.objects - one.sent_objects.min(one.objects);
        let again = if report.dry_run || before == 0 {
            String::new()
        } else {
            format!("; {before} of them were there from an interrupted copy")
        };
        let _ = writeln!(out, "{verb} {} ({size} in {objects}{again})", one.name);
    }
    for one in &report.skipped {
        let _ = writeln!(out, "skipped {}: {}", one.name, one.reason);
    }
    for one in &report.failed {
        let _ = writeln!(out, "NOT COPIED {}: {}", one.name, one.reason);
    }
    for name in &report.pinned {
        let _ = writeln!(out, "pinned the chain of {name}");
    }
    let bytes = report.copied.iter().map(|one| one.stored_bytes).sum();
    let _ = writeln!(
        out,
        "{verb} {}, {}; there before: {}",
        count(report.copied.len(), "backup"),
        human::bytes(bytes),
        count(report.present.len(), "backup")
    );
    for warning in &report.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    out
}
