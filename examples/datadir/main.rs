//! Generates InnoDB data directories of any size, without a server, for the large cases of the
//! benchmarks.
//!
//! ```text
//! cargo run --release --example datadir -- --out DIR --size 8G --files 1 --page-size 16k --seed 1
//! cargo run --release --example datadir -- --out DIR --change 2% --lsn 2000000000
//! ```
//! Every page has a valid header and checksum, but a server can't start on the directory, because
//! it has neither a dictionary nor a redo log. All pages of a new directory have LSNs below
//! `--lsn`, and those that `--change` rewrites have one from `--lsn` on: an incremental with that
//! floor contains exactly those pages.
//!
//! This is an example and not part of the library, because only tests and benches need it; they
//! include `pages.rs` and `tree.rs` from here.

mod pages;
mod tree;

use clap::Parser;
use std::path::PathBuf;

/// Generate an InnoDB data directory, or change a share of the pages of a generated one
#[derive(Debug, Parser)]
struct Arguments {
    /// The directory: empty or missing, or with --change one that this program generated
    #[arg(long)]
    out: PathBuf,
    /// Total size of all tables, such as 512M or 8G
    #[arg(long, default_value = "1G", value_parser = size)]
    size: u64,
    /// Number of tables, of equal size
    #[arg(long, default_value_t = 1)]
    files: u32,
    /// Page size: 4k, 8k, 16k, 32k or 64k
    #[arg(long, default_value = "16k", value_parser = page_size)]
    page_size: usize,
    /// Seed for the contents and for the choice of changed pages
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// LSN above those of all pages; with --change, the lowest LSN of changed pages
    #[arg(long, default_value_t = 1_000_000_000, value_parser = clap::value_parser!(u64).range(2..1 << 62))]
    lsn: u64,
    /// Rewrite about this share of the pages, such as 2%
    #[arg(long, value_parser = share)]
    change: Option<f64>,
    /// Checksum algorithm of the pages
    #[arg(long, value_enum, default_value_t = pages::Sum::Crc32)]
    checksum: pages::Sum,
    /// Number of writer threads; 0: one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return Err("a number and K, M, G or T is expected".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|e| format!("{e}"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| "too large".to_owned())
}

fn page_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        n @ (4096 | 8192 | 16384 | 32768 | 65536) => Ok(n as usize),
        _ => Err("4k, 8k, 16k, 32k or 64k is expected".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse::<f64>();
    match number {
        Ok(n) if (0.0..=100.0).contains(&n) && text.ends_with('%') => Ok(n / 100.0),
        _ => Err("a share such as 2% is expected".to_owned()),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let a = Arguments::parse();
    let threads = match a.threads {
        0 => std::thread::available_parallelism()?.get(),
        n => n,
    };
    let written = match a.change {
        Some(share) => tree::change(&a.out, share, a.lsn, a.seed, threads)?,
        None => {
            let shape = tree::Shape {
                bytes: a.size,
                files: a.files,
                page_size: a.page_size,
                seed: a.seed,
                lsn: a.lsn,
                sum: a.checksum,
                threads,
            };
            tree::create(&a.out, &shape)?
        }
    };
    println!("{}", serde_json::to_string(&written)?);
    Ok(())
}
