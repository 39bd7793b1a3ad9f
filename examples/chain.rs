//! A full backup, an incremental, and a restore of the chain, through the library.
//!
//! `cargo run --example chain -- <socket> <repository> <new data directory> <mysqld>`

use lsnap::backup::{self, BackupOptions, BaseChoice};
use lsnap::progress::Silent;
use lsnap::restore::{self, RestoreOptions};
use lsnap::server::ConnectOptions;
use lsnap::store::Repository;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, socket, repository, datadir, mysqld] = &args[..] else {
        return Err("expected: socket, repository, data directory, mysqld".into());
    };
    let repo = Repository::open(repository)?;

    let mut options = BackupOptions::new(ConnectOptions::for_socket(socket, "root"));
    let full = backup::run(&repo, &options, &Silent)?;
    println!("{}: {} bytes stored", full.manifest.name, full.stored_bytes);

    options.incremental = Some(BaseChoice::Latest);
    let last = backup::run(&repo, &options, &Silent)?;
    println!("{}: {} bytes stored", last.manifest.name, last.stored_bytes);

    let options = RestoreOptions {
        mysqld: Some(mysqld.into()),
        user: Some("root".into()),
        ..RestoreOptions::new(datadir)
    };
    let plan = restore::plan(&repo, last.manifest.name.as_str(), &options)?;
    let report = restore::run(&repo, &plan, &options, &Silent)?;
    println!("{} restored to {}", report.target, report.datadir.display());
    Ok(())
}
