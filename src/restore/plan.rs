//! What a restore would do, before it does anything: a value that a person reads and `run` follows.

use super::applier::ApplierPlan;
use super::error::RestoreError;
use super::settings::Setting;
use super::target::Target;
use super::version::Release;
use super::{
    RestoreOptions, apart, applier, binary_log, facts, finished, held, refused_option, settings,
};
use crate::counted::count;
use crate::innodb::{Lsn, redo};
use crate::manifest::{BackupName, Finding, Manifest};
use crate::reader::layout::Layout;
use crate::reader::{
    FilePlan, PlainPlan, ReadError, SourcePlan, chain, layout, redo_log, streamed, unwrap,
};
use crate::store::{Repository, StoreError, Streamed};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Working space of the redo applier: the redo files that a server makes anew, temporary tables.
const APPLIER_SPACE: u64 = 128 << 20;

/// How one restore will go.
#[derive(Debug, Clone, Serialize)]
pub struct RestorePlan {
    /// The backup whose state is restored.
    pub target: String,
    /// Where to.
    pub datadir: PathBuf,
    /// The chain, newest first.
    pub members: Vec<MemberPlan>,
    /// How the chain is brought together.
    pub way: MergeMethod,
    /// Who applies the redo log, and why.
    pub applier: ApplierPlan,
    /// The tablespace files of the restored directory.
    pub files: Vec<FilePlan>,
    /// All other files.
    pub plain: Vec<PlainPlan>,
    /// Bytes of the redo log to apply.
    pub redo_bytes: u64,
    /// Bytes read from the repository, at most.
    pub fetch_bytes: u64,
    /// Bytes written to the target, at most.
    pub write_bytes: u64,
    /// Lines of the restored server's my.cnf.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// Files of the backup that the restored directory does not get, as far as their names say so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_placed: Vec<String>,
    /// What a person should know beforehand.
    pub warnings: Vec<String>,
    /// Of a restore from directories: one a member, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<PathBuf>,
    /// Of a restore of a stream in a repository: the members that are streams, newest first.
    #[serde(skip)]
    pub(crate) streams: Arc<Vec<Option<Streamed>>>,
    /// The manifests, newest first.
    #[serde(skip)]
    pub(crate) chain: Arc<Vec<Manifest>>,
    /// Index of the redo log among the newest member's files.
    #[serde(skip)]
    pub(crate) redo: usize,
}

/// How a chain is brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MergeMethod {
    /// Every page is written once, from the newest member that has it; one redo log is applied.
    Merge,
    /// All members are copied, and xtrabackup prepares them one after the other.
    Stepwise,
}

/// One member of the chain.
#[derive(Debug, Clone, Serialize)]
pub struct MemberPlan {
    /// Its name.
    pub name: String,
    /// From where on it continues its predecessor; 0 for a full backup.
    pub from_lsn: Lsn,
    /// Pages from this LSN on are in it; 0 for a full backup.
    pub scan_floor: Lsn,
    /// The checkpoint at which its copy began.
    pub start_checkpoint: Lsn,
    /// The checkpoint at its end.
    pub to_lsn: Lsn,
    /// The LSN to which its redo log reaches.
    pub last_lsn: Lsn,
}

/// Makes the plan for a restore of the backup `name` (anything that `Repository::resolve` takes).
/// Looks at the repository, at the target directory and at the programs that could apply redo;
/// writes nothing.
///
/// # Errors
/// Everything that would make the restore impossible, see [`RestoreError`].
pub fn plan(
    repo: &Repository,
    name: &str,
    options: &RestoreOptions,
) -> Result<RestorePlan, RestoreError> {
    own_options(options)?;
    apart::check(&options.datadir, repo.directory())?;
    Target::check(&options.datadir)?;
    let choice = repo.choose(name)?;
    let name = &choice.name;
    let Checked {
        manifests,
        streams,
        layout,
        mut accepted,
    } = checked(repo, name, options)?;
    let newest = manifests.first().ok_or_else(|| {
        RestoreError::Read(ReadError::damaged(
            name,
            "lsnap_manifest.json",
            "its chain is empty",
        ))
    })?;
    let applier = applier::choose(&newest.server, options)?;
    check_names(newest)?;
    let mut plan = assemble(manifests, layout, applier, options);
    plan.streams = Arc::new(streams);
    plan.warnings.append(&mut accepted);
    plan.warnings.extend(choice.warnings());
    plan.leave(finished::not_placed(&plan, options));
    Ok(plan)
}

/// Checks a person's own options of the recovering server.
///
/// # Errors
/// [`RestoreError::MysqldArgument`].
pub(super) fn own_options(options: &RestoreOptions) -> Result<(), RestoreError> {
    let mut refused = options.mysqld_args.iter().filter_map(|argument| {
        let why = refused_option(argument)?;
        Some(RestoreError::MysqldArgument {
            argument: argument.clone(),
            why,
        })
    });
    refused.next().map_or(Ok(()), Err)
}

/// A chain that can be restored, as far as its manifests say.
pub(crate) struct Checked {
    /// Newest first.
    manifests: Vec<Manifest>,
    /// Its members that are streams, newest first; empty if none is.
    streams: Vec<Option<Streamed>>,
    /// Where everything of it goes.
    layout: Layout,
    /// What was accepted that the key proves nothing of.
    accepted: Vec<String>,
}

/// Looks at the chain of a backup: all that can be said without a target and a program.
///
/// # Errors
/// Everything that a restore demands of manifests, see [`RestoreError`].
pub(crate) fn checked(
    repo: &Repository,
    name: &BackupName,
    options: &RestoreOptions,
) -> Result<Checked, RestoreError> {
    let (mut manifests, mut streams) = match repo.chain_of(name) {
        Err(StoreError::Streamed { .. }) => streamed::chain(repo, name)?.into_iter().unzip(),
        chain => (chain?, Vec::new()),
    };
    streams.reverse();
    match chain::check(&manifests) {
        Err(ReadError::NoOverlap { .. }) if options.allow_missing_overlap => {}
        checked => checked?,
    }
    let accepted = unwrap::check(&manifests, options.opening())?;
    manifests.reverse();
    let layout = layout::lay_out(&manifests)?;
    if let Some(newest) = manifests.first() {
        recoverable(newest)?;
    }
    Ok(Checked {
        manifests,
        streams,
        layout,
        accepted,
    })
}

/// Whether a server can be told what it needs to know of the backup, as far as the manifest says.
/// With [`chain::check`], [`unwrap::check`] and [`layout::lay_out`], it is all that a restore demands of
/// manifests before it reads anything else; a verification demands the same.
///
/// # Errors
/// [`ReadError::Damaged`](crate::reader::ReadError::Damaged).
pub(crate) fn recoverable(newest: &Manifest) -> Result<(), RestoreError> {
    let server = &newest.server;
    let damaged = |what: Finding| {
        RestoreError::Read(ReadError::damaged(
            &newest.name,
            "lsnap_manifest.json",
            what,
        ))
    };
    if Release::parse(&server.version).is_none() {
        return Err(damaged(Finding::new(
            format!("the server version {:?} found", server.version),
            "major.minor.patch",
        )));
    }
    if redo_log::creator(&server.redo_creator).is_none() {
        return Err(damaged(Finding::new(
            format!("the redo creator {:?} found", server.redo_creator),
            "at most 31 bytes",
        )));
    }
    check_names(newest)
}

/// Checks what of the newest member reaches a command line, an index or a question to a server.
///
/// # Errors
/// [`ReadError::Damaged`](crate::reader::ReadError::Damaged).
pub(crate) fn check_names(newest: &Manifest) -> Result<(), RestoreError> {
    binary_log::BinaryLog::of(newest)?;
    facts::check(newest)
}

/// Adds up a checked chain (newest first) and its layout.
pub(crate) fn assemble(
    manifests: Vec<Manifest>,
    layout: Layout,
    applier: ApplierPlan,
    options: &RestoreOptions,
) -> RestorePlan {
    let redo = manifests
        .first()
        .and_then(|newest| newest.files.get(layout.redo));
    let redo_bytes = redo.map_or(0, |entry| entry.bytes);
    let redo_stored = redo.map_or(0, |entry| sum(entry.objects.iter().map(|o| o.bytes)));
    let plain = sum(layout.plain.iter().map(|file| file.bytes));
    let sources = layout.files.iter().flat_map(|file| &file.sources);
    let stored = sum(sources.map(|source| source.stored_bytes));
    let pages = sum(layout
        .files
        .iter()
        .map(|file| most_written(file, &manifests)));
    RestorePlan {
        target: manifests
            .first()
            .map(|newest| newest.name.to_string())
            .unwrap_or_default(),
        datadir: options.datadir.clone(),
        members: manifests.iter().map(member).collect(),
        way: MergeMethod::Merge,
        settings: newest_settings(&manifests, &layout),
        warnings: warnings(&manifests, &layout, &applier, options),
        applier,
        redo_bytes,
        fetch_bytes: sum([stored, redo_stored, plain]),
        write_bytes: sum([
            pages,
            plain,
            redo::recovery_file_len(redo_bytes),
            APPLIER_SPACE,
        ]),
        files: layout.files,
        plain: layout.plain,
        directories: Vec::new(),
        not_placed: Vec::new(),
        streams: Arc::default(),
        chain: Arc::new(manifests),
        redo: layout.redo,
    }
}

/// A file takes no more than its length, and no more than its sources hold (if nothing is compressed); and
/// where the source's file had holes, about as much as that one.
fn most_written(file: &FilePlan, manifests: &[Manifest]) -> u64 {
    let entry = |source: &SourcePlan| manifests.get(source.member)?.files.get(source.entry);
    let sources = file.sources.iter().map(|source| {
        let compressed = entry(source)
            .and_then(|entry| entry.wrapping.as_ref())
            .is_some_and(|wrapping| wrapping.compression.is_some());
        if compressed {
            source.bytes
        } else {
            source.stored_bytes
        }
    });
    let newest = file.sources.first().and_then(entry);
    let allocated = newest.and_then(|entry| entry.role.space()?.allocated);
    let held = file.bytes.min(sources.fold(0, u64::saturating_add));
    allocated.map_or(held, |allocated| held.min(allocated))
}

/// A sum of lengths out of manifests, which may claim anything.
fn sum(lengths: impl IntoIterator<Item = u64>) -> u64 {
    lengths.into_iter().fold(0, u64::saturating_add)
}

fn member(manifest: &Manifest) -> MemberPlan {
    MemberPlan {
        name: manifest.name.to_string(),
        from_lsn: manifest.lsn.from_lsn,
        scan_floor: manifest.lsn.scan_floor,
        start_checkpoint: manifest.lsn.start_checkpoint,
        to_lsn: manifest.lsn.to_lsn,
        last_lsn: manifest.lsn.last_lsn,
    }
}

fn newest_settings(manifests: &[Manifest], layout: &Layout) -> Vec<Setting> {
    manifests
        .first()
        .map(|newest| settings::needed(&newest.server, layout))
        .unwrap_or_default()
}

fn warnings(
    manifests: &[Manifest],
    layout: &Layout,
    applier: &ApplierPlan,
    options: &RestoreOptions,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let encrypted = layout.files.iter().filter(|file| file.encrypted).count();
    if encrypted > 0 {
        warnings.push(format!(
            "{encrypted} tablespace {} encrypted: the redo applier needs a keyring with the source server's keys",
            if encrypted == 1 { "file is" } else { "files are" }
        ));
    }
    let config: Vec<&str> = manifests
        .first()
        .map(held::keyring_config)
        .unwrap_or_default();
    if !config.is_empty() && options.keyring_config.is_none() {
        warnings.push(format!(
            "the redo applier is not given the {} of the backup, which name programs and files; if it needs a \
             keyring, name a directory with your own with --keyring-config",
            config.join(", ")
        ));
    }
    let left_out: Vec<&str> = manifests
        .first()
        .map(held::keyring_config_left_out)
        .unwrap_or_default();
    if !left_out.is_empty() && options.keyring_config.is_none() {
        warnings.push(format!(
            "the backup does not hold {}, a way to the keys of the source server: name a directory with your own with \
             --keyring-config, or neither the redo applier nor the restored server can open encrypted tablespaces",
            left_out.join(", ")
        ));
    }
    for file in &layout.files {
        if let Some(directory) = &file.external {
            warnings.push(format!(
                "{} lay outside of the source's data directory, in {directory}; it is restored into the target",
                file.path
            ));
        }
    }
    for space in manifests.first().iter().flat_map(|m| m.missing_tables()) {
        warnings.push(format!(
            "the backup lacks {} (space {}): its file {} was missing when the backup was made",
            space.name, space.space_id, space.path
        ));
    }
    let newest = manifests.first().and_then(|m| m.dictionary.as_ref());
    for table in newest.iter().flat_map(|d| &d.other_engines) {
        warnings.push(format!("the backup lacks the rows of {table}"));
    }
    if let Some(newest) = manifests.first() {
        let source = Release::parse(&newest.server.version);
        if source.map(|release| release.to_string()) != Some(applier.version.clone()) {
            warnings.push(format!(
                "the source server is {}, the redo applier {}: start the restored directory with {} or newer",
                newest.server.version, applier.version, applier.version
            ));
        }
    }
    warnings
}

impl RestorePlan {
    /// Notes files that are not placed.
    pub(super) fn leave(&mut self, names: Vec<String>) {
        self.warnings.extend(finished::told(&names, self));
        self.not_placed.extend(names);
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restore {} to {}", self.target, self.datadir.display())?;
        for member in &self.members {
            writeln!(
                f,
                "  member {}: pages from LSN {}, copy from checkpoint {}, redo to {}",
                member.name, member.scan_floor, member.start_checkpoint, member.last_lsn
            )?;
        }
        for directory in &self.directories {
            writeln!(f, "  from {}", directory.display())?;
        }
        match self.way {
            MergeMethod::Stepwise => writeln!(
                f,
                "  way: stepwise; copies of {} are prepared one after the other, for at least one of \
                 them has to be brought in by its own redo log",
                count(self.members.len(), "member")
            )?,
            MergeMethod::Merge => writeln!(
                f,
                "  way: merge; each page is written once, from the newest of {} that has it",
                count(self.members.len(), "member")
            )?,
        }
        writeln!(
            f,
            "  redo: {}, applied by {}",
            count(self.redo_bytes, "byte"),
            self.applier
        )?;
        writeln!(
            f,
            "  {} and {} other files; at most {} to fetch, {} to write",
            count(self.files.len(), "tablespace file"),
            self.plain.len(),
            count(self.fetch_bytes, "byte"),
            self.write_bytes
        )?;
        for setting in &self.settings {
            writeln!(f, "  my.cnf of the restored server: {setting}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "  warning: {warning}")?;
        }
        Ok(())
    }
}
