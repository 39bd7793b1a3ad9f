//! `lsnap show`: the details of one backup.

use super::exit::Failure;
use super::json::{Entries, FileDocument, ShowDocument, problem};
use super::latest_args::LatestArgs;
use super::store_args::{RepoArg, StoreArgs};
use super::{Context, absent, backed_up, human, list, replica};
use crate::manifest::{Absence, BackupKind, Dictionary, Summary, Wrapping};
use crate::store::{Contents, Description};
use crate::{counted, store};
use chrono::Utc;
use std::fmt::Write as _;

/// Arguments of `lsnap show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    repo: RepoArg,
    /// The backup: its name, the last part of its name, or `latest`.
    #[arg(default_value = "latest")]
    name: String,
    /// Print the files of the backup instead of its details; with --json, both.
    #[arg(long)]
    files: bool,
    #[command(flatten)]
    latest: LatestArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Formats a file: its stored size, its size, its role, its path.
fn file_line(file: &FileDocument<'_>) -> String {
    let (stored, bytes) = (human::bytes(file.stored_bytes), human::bytes(file.bytes));
    let path = crate::shown::shown(file.path);
    format!("{stored:>10} of {bytes:>10}  {:<10}  {path}\n", file.role)
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let latest = args.latest.of(Some(&args.name))?;
    let repository = args.store.open(&args.repo.repo)?.with_latest(latest);
    let description = store::describe(&repository, &args.name)?;
    let manifest = args
        .files
        .then(|| repository.manifest(&description.listed.name));
    let manifest = manifest.transpose()?;
    let entries = Entries::of(&description.all, Utc::now());
    let backup = entries.get(&description.listed.name);
    let document = ShowDocument::of(&description, backup, manifest.as_ref());
    context.print(&document, |document| match &document.files {
        Some(files) => files.iter().map(file_line).collect(),
        None => Page::default().of(&description),
    });
    Ok(())
}

/// The text of `lsnap show`: lines of a label and a text.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, label: &str, text: impl std::fmt::Display) {
        let _ = writeln!(self.0, "  {label:<12}{text}");
    }

    fn of(mut self, d: &Description) -> String {
        let _ = writeln!(self.0, "{}", d.listed.name);
        let kind = match d.kind {
            BackupKind::Full => "full",
            BackupKind::Incremental => "incremental",
        };
        let by = match &d.made_by {
            Some(program) => format!("made by {program}"),
            None => "creator unknown".to_owned(),
        };
        let state = list::state(&d.listed);
        self.line("state", format!("{state}, {kind}, {by}"));
        if let Some(problem) = problem(&d.listed) {
            self.line("problem", problem);
        }
        let made = d.listed.made_at();
        let age = human::age((Utc::now() - made).num_seconds());
        self.line("made", format!("{} UTC, {age} ago", made.format("%F %T")));
        for passed in &d.passed_over {
            self.line("newer", passed);
        }
        self.place(d);
        if let Some(summary) = d.listed.summary() {
            self.finished(summary);
        }
        self.foreign(d);
        let summary = d.listed.summary();
        let bytes = human::bytes(summary.map_or(d.listed.stored_bytes, |s| s.stored_bytes));
        let objects = summary.map_or(d.listed.objects, |s| s.objects);
        self.line(
            "stored",
            format!(
                "{bytes} in {objects}",
                objects = counted::count(objects, "object")
            ),
        );
        if let Some(contents) = &d.contents {
            self.contents(contents);
        }
        self.0
    }

    fn place(&mut self, d: &Description) {
        if let Some(why) = &d.broken {
            self.line("BROKEN", why);
        }
        for (label, names) in [
            ("chain", d.chain.as_slice()),
            ("needed by", d.needed_by.as_slice()),
        ] {
            let label = std::iter::once(label).chain(std::iter::repeat(""));
            for (label, name) in label.zip(names) {
                self.line(label, name);
            }
        }
        if d.needed_by.is_empty() {
            self.line("needed by", "nothing");
        }
        if let Some(holder) = &d.in_use_by {
            self.line("in use by", holder);
        }
    }

    fn finished(&mut self, s: &Summary) {
        let took = (s.finished_at - s.started_at).to_std().unwrap_or_default();
        self.line("took", human::duration(took));
        let lsn = &s.lsn;
        let lsns = backed_up::lsns(lsn);
        self.line("LSN", lsns.trim_start_matches("LSN: "));
        if s.kind == BackupKind::Incremental {
            self.line("scanned", format!("pages from LSN {} on", lsn.scan_floor));
        }
        match &s.binlog {
            Some(binlog) => {
                self.line("binary log", format!("{}:{}", binlog.file, binlog.position));
                let none = binlog.gtid_executed.is_empty();
                let gtids = if none { "none" } else { &binlog.gtid_executed };
                self.line("GTIDs", gtids);
            }
            None => self.line("binary log", "none"),
        }
        self.line("restored", human::bytes(s.data_bytes));
        let p = &s.pages;
        self.line(
            "pages",
            format!(
                "{} verified, {} zero, {} encrypted (only their headers checked), {} not checked, {} read again",
                p.verified, p.zero, p.unverifiable, p.skipped, p.rereads
            ),
        );
        self.line("id", &s.id);
        self.line("manifest", &s.manifest_digest);
    }

    fn foreign(&mut self, d: &Description) {
        let Some(info) = &d.listed.foreign else {
            return;
        };
        if let (Some(from), Some(to)) = (info.from_lsn, info.to_lsn) {
            self.line("LSN", format!("from_lsn {from}, to_lsn {to}"));
        }
        let known = [
            ("server", &info.server_version),
            ("began", &info.start_time),
            ("ended", &info.end_time),
            ("binary log", &info.binlog_pos),
        ];
        for (label, text) in known {
            if let Some(text) = text {
                self.line(label, text);
            }
        }
    }

    fn contents(&mut self, c: &Contents) {
        let (server, size) = (&c.server, human::bytes(c.server.page_size.bytes() as u64));
        self.line(
            "server",
            format!(
                "{} {} on {}, pages of {size}, uuid {}",
                server.flavor, server.version, server.hostname, server.uuid
            ),
        );
        for channel in c.replica.iter().flat_map(|r| &r.channels) {
            self.line("source", replica::source(channel));
        }
        for (role, count) in &c.files {
            let size = human::bytes(count.stored_bytes);
            let text = format!("{} {}, {size}", count.files, role.replace('_', " "));
            self.line("files", text);
        }
        if !c.wrappings.is_empty() {
            let ways: Vec<String> = c.wrappings.iter().map(way).collect();
            self.line("wrapped", ways.join("; "));
        }
        if let Some(overlaps) = c.overlaps {
            let how = if overlaps {
                "merged with its chain in one pass"
            } else {
                "step by step, with xtrabackup: it does not overlap with its base"
            };
            self.line("restore", how);
        }
        if let Some(dictionary) = &c.dictionary {
            self.dictionary(dictionary);
        }
        for left in &c.left_out {
            self.line("left out", format!("{}: {}", left.path, left.reason));
        }
    }
}

impl Page {
    fn dictionary(&mut self, dictionary: &Dictionary) {
        for space in &dictionary.absent {
            match space.why {
                Absence::Missing => self.line("MISSING", absent::missing(space)),
                Absence::Discarded => self.line("discarded", &space.name),
                Absence::Filtered => {}
            }
        }
        if let Some(partial) = absent::partial(dictionary) {
            self.line("PARTIAL", partial);
        }
        for table in &dictionary.other_engines {
            self.line("MISSING", format!("the rows of {table}"));
        }
        self.0 += &absent::not_opened(dictionary);
    }
}

fn way(wrapping: &Wrapping) -> String {
    let compression = wrapping.compression.as_ref().map(ToString::to_string);
    let encryption = wrapping.encryption.as_ref().map(ToString::to_string);
    let parts: Vec<String> = [compression, encryption].into_iter().flatten().collect();
    parts.join(", then ")
}
