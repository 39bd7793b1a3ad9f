//! What was found.

use crate::counted::count;
use crate::innodb::Lsn;
use crate::manifest::{BackupKind, BackupName, Dictionary, Finding};
use crate::reader::ReadError;
use crate::restore::{RestoreError, TableFinding};
use crate::store::{PassedOver, StoreError};
use serde::Serialize;

/// Problems of one member that are kept: whoever has more needs no longer list.
const MOST: u64 = 1000;

/// The result of a verification.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Every backup that was looked at; in a chain, the full one first.
    pub members: Vec<MemberReport>,
    /// What was restored, of [`super::Level::Restore`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<Restored>,
    /// Backups without a manifest: interrupted, or running. They can't be restored, and nothing is lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<BackupName>,
    /// Backups that xtrabackup made: they have no digests to compare with. `lsnap cloud get` checks the
    /// CRC of every chunk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xtrabackups: Vec<BackupName>,
    /// Streams of lsnap's that were put here: their manifests describe the files of the stream. A restore
    /// of the extracted stream checks them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<BackupName>,
    /// Backups of chains that are being deleted: they are left alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub being_deleted: Vec<BackupName>,
    /// Of `latest`: what is newer than the backup that was taken for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
}

/// One backup.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct MemberReport {
    /// Its name.
    pub name: BackupName,
    /// Full or incremental, when its manifest could be read.
    pub kind: Option<BackupKind>,
    /// Objects that were looked at.
    pub objects: u64,
    /// Their bytes: found in the listing, or read.
    pub bytes: u64,
    /// Bytes that were read and compared.
    pub read_bytes: u64,
    /// Encrypted files of which only the digests were compared, because no key was given.
    pub sealed_files: u64,
    /// Whether a holder of the key wrote its manifest; `None` when that could not be read.
    pub authentication: Option<Authentication>,
    /// The pages that were checked.
    pub pages: PageReport,
    /// What the server's dictionary had when it was made, and what of that it lacks; `None` in backups of
    /// lsnaps that didn't look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dictionary: Option<Dictionary>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Problems that are not in the list, because there are too many.
    pub more_problems: u64,
}

/// Whether a holder of the key wrote a backup's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Authentication {
    /// It is not encrypted, so nothing proves that.
    NotEncrypted,
    /// Its MAC fits the key.
    Proven,
    /// The MAC proves nothing, or not all; the caller accepted that.
    Accepted,
    /// Its MAC could not be checked without the key, or is wrong.
    NotAuthenticated,
}

/// How pages turned out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PageReport {
    /// Checksum, number and space right.
    pub verified: u64,
    /// All zero.
    pub zero: u64,
    /// Encrypted by the server: only their headers could be checked.
    pub unverifiable: u64,
    /// Of the old doublewrite area, not looked at.
    pub skipped: u64,
    /// The newest LSN of any of them.
    pub max_lsn: Lsn,
    /// `lower_case_table_names` as the dictionary's own pages have it, where they are among these.
    #[serde(skip)]
    pub(crate) lower_case: Option<u8>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What sort.
    pub kind: ProblemKind,
    /// The object, by its key; or the file or backup that it is about.
    pub object: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

/// Sorts of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// An object is not there.
    Missing,
    /// An object has another length.
    Length,
    /// An object that the manifest does not know.
    Foreign,
    /// The manifest or the summary is not what was written.
    Manifest,
    /// The key does not fit, or somebody without it changed the manifest.
    Key,
    /// Bytes of an object are not what was written, or not what they should have been.
    Content,
    /// A page is damaged, or not of this place or time.
    Page,
    /// A member does not continue the one before it.
    Chain,
    /// It could not be restored, or the restored server found something.
    Restore,
}

/// The result of a verification in a word; a later one is the graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything was verified, and nothing is wrong.
    Sound,
    /// There was no backup.
    Empty,
    /// Nothing is wrong, but a backup was not verified or not authenticated.
    NotVerified,
    /// Only the key is wrong.
    Key,
    /// A chain is broken and otherwise sound.
    ChainBroken,
    /// Damage was found.
    Damaged,
}

/// A restore into a scratch directory.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// The backup.
    pub name: BackupName,
    /// Tables that the server checked.
    pub tables: usize,
    /// Whether the server's `gtid_executed` was compared with the recorded one, and equal.
    pub gtid_verified: bool,
    /// What was wrong.
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    /// All problems.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let members = self.members.iter().flat_map(|m| &m.problems);
        members.chain(self.restored.iter().flat_map(|r| &r.problems))
    }

    /// Backups that are there and were not looked at.
    pub fn not_verified(&self) -> impl Iterator<Item = &BackupName> {
        let others = self.xtrabackups.iter().chain(&self.being_deleted);
        let looked_at = |name: &BackupName| self.members.iter().any(|m| m.name == *name);
        let in_doubt = self
            .passed_over
            .iter()
            .filter(move |passed| passed.why.may_have_been_finished() && !looked_at(&passed.name));
        let in_doubt = in_doubt.map(|passed| &passed.name);
        self.streams.iter().chain(others).chain(in_doubt)
    }

    /// Backups of which nobody knows whether a holder of the key made them.
    pub fn not_authenticated(&self) -> impl Iterator<Item = &BackupName> {
        let open = |m: &&MemberReport| m.authentication == Some(Authentication::NotAuthenticated);
        self.members.iter().filter(open).map(|m| &m.name)
    }

    /// Returns the result in a word: the gravest of the problems, or what else keeps the backups from being sound.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let found = |problem: &Problem| match problem.kind {
            ProblemKind::Key => Outcome::Key,
            ProblemKind::Chain => Outcome::ChainBroken,
            ProblemKind::Missing
            | ProblemKind::Length
            | ProblemKind::Foreign
            | ProblemKind::Manifest
            | ProblemKind::Content
            | ProblemKind::Page
            | ProblemKind::Restore => Outcome::Damaged,
        };
        match self.problems().map(found).max() {
            Some(outcome) => outcome,
            None if self.not_verified().next().is_some() => Outcome::NotVerified,
            None if self.not_authenticated().next().is_some() => Outcome::NotVerified,
            None if self.members.is_empty() => Outcome::Empty,
            None => Outcome::Sound,
        }
    }
}

impl MemberReport {
    pub(super) fn new(name: &BackupName) -> Self {
        Self {
            name: name.clone(),
            kind: None,
            objects: 0,
            bytes: 0,
            read_bytes: 0,
            sealed_files: 0,
            authentication: None,
            pages: PageReport::default(),
            dictionary: None,
            problems: Vec::new(),
            more_problems: 0,
        }
    }

    pub(super) fn add(&mut self, problem: Problem) {
        if self.problems.len() as u64 >= MOST {
            self.more_problems += 1;
        } else if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

impl PageReport {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.verified += other.verified;
        self.zero += other.zero;
        self.unverifiable += other.unverifiable;
        self.skipped += other.skipped;
        self.max_lsn = self.max_lsn.max(other.max_lsn);
        self.lower_case = self.lower_case.or(other.lower_case);
    }
}

impl Problem {
    pub(super) fn new(
        kind: ProblemKind,
        object: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            object: object.into(),
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// Made of a finding.
    pub(super) fn of_finding(
        kind: ProblemKind,
        object: impl Into<String>,
        finding: impl Into<Finding>,
    ) -> Self {
        let Finding { found, expected } = finding.into();
        let expected = expected.unwrap_or_else(|| "what was written".to_owned());
        Self::new(kind, object, found, expected)
    }

    /// What an error says of stored bytes; the error again when it is about something else.
    pub(super) fn of_store(error: StoreError) -> Result<Self, StoreError> {
        Ok(match error {
            StoreError::Damaged { object, what } => {
                Self::of_finding(ProblemKind::Content, object, what)
            }
            StoreError::Missing { object, bytes } => Self::new(
                ProblemKind::Missing,
                object,
                "nothing",
                format!("{bytes}", bytes = count(bytes, "byte")),
            ),
            StoreError::UnknownFormat {
                key,
                found,
                expected,
            } => Self::new(
                ProblemKind::Manifest,
                key,
                format!("format {found}"),
                format!("format {expected}"),
            ),
            other => return Err(other),
        })
    }

    /// The same for an error of the reader.
    pub(super) fn of_read(error: ReadError) -> Result<Self, ReadError> {
        Ok(match error {
            ReadError::Store(error) => return Self::of_store(*error).map_err(Into::into),
            ReadError::Damaged {
                object,
                found,
                expected,
                ..
            } => Self::of_finding(ProblemKind::Content, object, Finding { found, expected }),
            ReadError::Innodb { what, source } => {
                Self::of_finding(ProblemKind::Content, what, source.to_string())
            }
            ReadError::Key { backup, why } => {
                Self::new(ProblemKind::Key, backup, why, "the key of the backup")
            }
            ReadError::Path { backup, path, why } => Self::new(
                ProblemKind::Manifest,
                format!("{backup}/{path}"),
                why,
                "a path within the backup",
            ),
            error @ (ReadError::Chain { .. }
            | ReadError::NoOverlap { .. }
            | ReadError::NotFull { .. }) => Self::new(
                ProblemKind::Chain,
                match &error {
                    ReadError::Chain { member, .. } | ReadError::NoOverlap { member, .. } => {
                        member.clone()
                    }
                    ReadError::NotFull { backup, .. } => backup.clone(),
                    _ => String::new(),
                },
                error.to_string(),
                "a member that continues the one before it",
            ),
            other => return Err(other),
        })
    }

    /// The same for an error of a restore.
    pub(super) fn of_restore(error: RestoreError) -> Result<Self, RestoreError> {
        match error {
            RestoreError::Read(error) => Self::of_read(error).map_err(Into::into),
            other => Err(other),
        }
    }

    pub(super) fn of_table(name: &BackupName, finding: &TableFinding) -> Self {
        Self::new(
            ProblemKind::Restore,
            format!("{name}: table {}", finding.table),
            finding.message.clone(),
            "CHECK TABLE: OK",
        )
    }
}
