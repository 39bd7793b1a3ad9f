//! Lists the backups of a repository and verifies that every byte is unchanged.
//!
//! `cargo run --example list_and_verify -- <repository>`

use lsnap::{Level, Outcome, Repository, Silent, VerifyOptions, Which};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("expected: repository")?;
    let repo = Repository::open(&url)?;
    for backup in repo.list()? {
        let state = match backup.finished() {
            Some(summary) => format!("finished at {}", summary.finished_at),
            None => "can't be restored".to_owned(),
        };
        println!("{}: {} bytes, {state}", backup.name, backup.stored_bytes);
    }

    let mut options = VerifyOptions::default();
    options.level = Level::Data;
    let report = lsnap::verify(&repo, Which::All, &options, &Silent)?;
    for problem in report.problems() {
        let (found, expected) = (&problem.found, &problem.expected);
        println!("{}: found {found}, expected {expected}", problem.object);
    }
    match report.outcome() {
        Outcome::Sound => Ok(()),
        other => Err(format!("not everything is sound: {other:?}").into()),
    }
}
