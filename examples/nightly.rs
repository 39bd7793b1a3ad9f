//! A nightly backup of an async service, with retries; SIGINT cancels it: `nightly SOCKET REPOSITORY`.

use lsnap::{BackupOptions, BaseChoice, Cancel, ConnectOptions, Error, Repository, Silent};

fn back_up(args: &[String], cancel: Cancel) -> Result<(), Error> {
    let repo = Repository::open(&args[2])?;
    repo.cancel_on(&cancel); // ends waits for the store
    let mut options = BackupOptions::new(ConnectOptions::for_socket(&args[1], "root"));
    (options.incremental, options.cancel) = (Some(BaseChoice::Latest), cancel);
    let mut done = lsnap::back_up(&repo, &options, &Silent);
    if matches!(&done, Err(error) if error.kind() == lsnap::ErrorKind::ChainBroken) {
        options.incremental = None; // a full backup begins a new chain
        done = lsnap::back_up(&repo, &options, &Silent);
    }
    Ok(done.map(|report| println!("{} is finished", report.manifest.name))?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    for minutes in [1, 5, 30, 0] {
        let (cancel, args) = (Cancel::new(), args.clone());
        let of_job = cancel.clone();
        let mut job = tokio::task::spawn_blocking(move || back_up(&args, of_job));
        let done = tokio::select! {
            done = &mut job => done?,
            _ = &mut interrupt => { cancel.cancel(); job.await? }
        };
        match done {
            Err(e) if e.is_retryable() && minutes > 0 && !cancel.is_cancelled() => eprintln!("{e}"),
            done => return done.map_err(Into::into),
        }
        let pause = tokio::time::sleep(std::time::Duration::from_secs(60 * minutes));
        tokio::select! { () = pause => {}, _ = &mut interrupt => break }
    }
    Ok(())
}
