//! `lsnap pin` and `lsnap unpin`.

use super::Context;
use super::exit::Failure;
use super::json::{BackupEntry, Entries, PinDocument};
use super::latest_args::LatestArgs;
use super::store_args::{RepoArg, StoreArgs};
use chrono::Utc;

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
    let document = PinDocument {
        backup: BackupEntry {
            pinned: Some(pin),
            ..Entries::of(&listed, Utc::now()).get(&name)
        },
        changed: was_pinned != pin,
    };
    context.print(&document, |document| {
        let again = if document.changed { "" } else { " (unchanged)" };
        let chain = name.base();
        if pin {
            format!("the chain of {chain} is pinned{again}: prune and delete skip it\n")
        } else {
            format!("the chain of {chain} is not pinned{again}\n")
        }
    });
    Ok(())
}
