//! Runs the page workers on a data directory without a server, for `tools/bench`; prints the totals
//! as JSON.
//!
//! ```text
//! cargo run --release --example offline -- scan DIR --floor 1000000000 --threads 2 --mode direct
//! cargo run --release --example offline -- copy DIR --to /backups/bench --compress zstd:1
//! ```

use clap::{Parser, ValueEnum};
use lsnap::backup::offline::Offline;
use lsnap::codec::Compression;
use lsnap::datadir::ReadMode;
use lsnap::innodb::{Lsn, PageSize};
use lsnap::manifest::BackupName;
use lsnap::store::{Repository, StoreOptions};
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Job {
    /// Read, check, filter and frame pages; discard the result
    Scan,
    /// The same, into a repository
    Copy,
    /// Add a member to the chain of a repository: the pages from the start checkpoint of --after on
    Member,
    /// Write the tablespaces of the member --name of that chain into an empty directory
    Merge,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Auto,
    Direct,
    Buffered,
}

#[derive(Debug, Parser)]
struct Arguments {
    job: Job,
    datadir: PathBuf,
    /// Only pages from this LSN on
    #[arg(long)]
    floor: Option<u64>,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value_t = 4)]
    uploads: usize,
    /// Memory for buffers, in MiB
    #[arg(long, default_value_t = 256)]
    memory: usize,
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    #[arg(long, default_value_t = 16384)]
    page_size: u32,
    /// zstd:LEVEL or lz4
    #[arg(long)]
    compress: Option<String>,
    /// Store small files in shared objects
    #[arg(long)]
    pack: bool,
    /// URL of the repository
    #[arg(long, default_value = "")]
    to: String,
    /// Endpoint of the store, for a bucket; http:// is permitted, because the benchmark runs on one
    /// machine
    #[arg(long)]
    endpoint: Option<String>,
    /// The previous member
    #[arg(long)]
    after: Option<String>,
    /// The start checkpoint of the new member
    #[arg(long, default_value_t = 0)]
    at: u64,
    #[arg(long, default_value = "made-up-full")]
    name: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let a = Arguments::parse();
    let job = Offline {
        page_size: PageSize::new(a.page_size)?,
        floor: a.floor.map(Lsn),
        threads: a.threads,
        memory: a.memory << 20,
        mode: match a.mode {
            Mode::Auto => ReadMode::Auto,
            Mode::Direct => ReadMode::Direct,
            Mode::Buffered => ReadMode::Buffered,
        },
        compression: match a.compress.as_deref() {
            None => None,
            Some("lz4") => Some(Compression::Lz4),
            Some(text) => {
                let level = text.strip_prefix("zstd:").unwrap_or(text).parse()?;
                Some(Compression::Zstd { level })
            }
        },
        pack: a.pack,
        ..Offline::new(&a.datadir)
    };
    let start = Instant::now();
    let counts = match a.job {
        Job::Scan => job.scan()?,
        Job::Copy => {
            let name = BackupName::parse("bench-2026-01-01-00:00:00-full")?;
            let store = StoreOptions {
                allow_http: a.endpoint.is_some(),
                endpoint: a.endpoint.clone(),
                ..StoreOptions::default()
            };
            job.copy(&Repository::open_with(&a.to, &store)?, &name, a.uploads)?
        }
        Job::Member => {
            let repo = Repository::open(&a.to)?;
            let after = a.after.as_deref().map(BackupName::parse).transpose()?;
            let after = after.map(|name| repo.manifest(&name)).transpose()?;
            let made = job.member(&repo, after.as_ref(), Lsn(a.at))?;
            println!("{}", serde_json::json!({ "name": made.name }));
            return Ok(());
        }
        Job::Merge => {
            let (repo, name) = (Repository::open(&a.to)?, BackupName::parse(&a.name)?);
            let bytes = lsnap::benching::merge_chain(&repo, &name, &a.datadir, a.threads)?;
            println!("{}", serde_json::json!({ "written": bytes }));
            return Ok(());
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let (report, peak) = (counts.report, peak_kib()?);
    println!(
        "{}",
        serde_json::json!({
            "files": counts.files, "bytes": counts.bytes, "verified": report.verified,
            "rereads": report.rereads, "delta_pages": counts.delta_pages,
            "copied_bytes": counts.copied_bytes, "stored_bytes": counts.stored_bytes,
            "seconds": seconds, "peak_kib": peak,
        })
    );
    Ok(())
}

/// Returns the peak memory of this process.
fn peak_kib() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.unwrap_or("0").parse()?)
}
