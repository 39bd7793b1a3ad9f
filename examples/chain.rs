//! A full backup, an incremental, and a restore of the chain.
//!
//! `cargo run --example chain -- <socket> <repository> <new data directory> <mysqld>`

use lsnap::{BackupOptions, BaseChoice, ConnectOptions, Repository, RestoreOptions, Silent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, socket, repository, datadir, mysqld] = &args[..] else {
        return Err("expected: socket, repository, data directory, mysqld".into());
    };
    let repo = Repository::open(repository)?;

    let mut options = BackupOptions::new(ConnectOptions::for_socket(socket, "root"));
    let full = lsnap::back_up(&repo, &options, &Silent)?;
    println!("{}: {} bytes stored", full.manifest.name, full.stored_bytes);

    options.incremental = Some(BaseChoice::Latest);
    let last = lsnap::back_up(&repo, &options, &Silent)?;
    println!("{}: {} bytes stored", last.manifest.name, last.stored_bytes);

    let mut options = RestoreOptions::new(datadir);
    options.mysqld = Some(mysqld.into());
    options.user = Some("root".into());
    let plan = lsnap::plan_restore(&repo, last.manifest.name.as_str(), &options)?;
    let report = lsnap::run_restore(&repo, &plan, &options, &Silent)?;
    println!("{} restored to {}", report.target, report.datadir.display());
    Ok(())
}
