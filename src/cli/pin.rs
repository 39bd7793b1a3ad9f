//! `lsnap pin` and `lsnap unpin`.

use super::Context;
use super::exit::Failure;
use super::latest_args::LatestArgs;
use super::store_args::{RepoArg, StoreArgs};
use crate::manifest::BackupName;
use serde::Serialize;

/// Arguments of `lsnap pin` and `lsnap unpin`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    /// A backup of the chain: its name, the last part of its name, or `latest`.
    name: String,
    #[command(flatten)]
    latest: LatestArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    name: BackupName,
    /// The full backup of its chain.
    chain: BackupName,
    pinned: bool,
    /// Whether the command changed the state.
    changed: bool,
}

pub(super) fn run(args: &Args, pin: bool, context: &Context) -> Result<(), Failure> {
    let latest = args.latest.of(Some(&args.name))?;
    let repository = args.store.open(&args.repo.repo)?.with_latest(latest);
    let listed = repository.list()?;
    let name = repository.choose_in(&listed, &args.name)?.name;
    let was_pinned = listed.iter().any(|l| l.name == name && l.pinned);
    if pin {
        repository.pin(&name)?;
    } else {
        repository.unpin(&name)?;
    }
    let report = Report {
        chain: name.base(),
        name,
        pinned: pin,
        changed: was_pinned != pin,
    };
    context.print(&report, |report| {
        let again = if report.changed { "" } else { " (unchanged)" };
        if report.pinned {
            format!(
                "the chain of {} is pinned{again}: prune and delete skip it\n",
                report.chain
            )
        } else {
            format!("the chain of {} is not pinned{again}\n", report.chain)
        }
    });
    Ok(())
}
