//! The results of a verification.

use crate::counted::count;
use crate::innodb::Lsn;
use crate::manifest::{BackupKind, BackupName, Dictionary, Finding};
use crate::reader::ReadError;
use crate::restore::{CheckedQuery, RestoreError, TableFinding};
use crate::store::{Listed, PassedOver, StoreError};
use serde::Serialize;

/// Number of problems of one member that are kept; a longer list doesn't add information.
const MOST: u64 = 1000;

/// The result of a verification.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Every backup that was verified; in a chain, the full one first.
    pub members: Vec<MemberReport>,
    /// The restores of [`super::Level::Restore`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<Restored>,
    /// Backups without a manifest: interrupted, or in progress. They can't be restored, and no
    /// finished backup is lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<BackupName>,
    /// Backups made by xtrabackup, which have no digests. `lsnap cloud get` checks the CRC of every
    /// chunk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xtrabackups: Vec<BackupName>,
    /// Streams of lsnap that were uploaded: their manifests describe the files of the stream. A
    /// restore of the extracted stream checks them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<BackupName>,
    /// Backups of chains that are being deleted; they are not verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub being_deleted: Vec<BackupName>,
    /// For `latest`: backups that are newer than the chosen one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// The random choice of the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picked: Option<Picked>,
    /// The listing by which the backups were chosen.
    #[serde(skip)]
    pub listed: Vec<Listed>,
}

/// A random choice.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Picked {
    /// The backup.
    pub name: BackupName,
    /// The seed, which repeats the choice in the same repository.
    pub seed: u64,
}

/// One backup.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct MemberReport {
    /// Its name.
    pub name: BackupName,
    /// Full or incremental, if its manifest could be read.
    pub kind: Option<BackupKind>,
    /// Number of objects that were checked.
    pub objects: u64,
    /// Length of these objects in bytes, from the listing or read.
    pub bytes: u64,
    /// Number of bytes that were read and compared.
    pub read_bytes: u64,
    /// Number of encrypted files of which only the digests were compared, because no key was given.
    pub sealed_files: u64,
    /// True if its manifest is proven to be written with the key; `None` if it could not be read.
    pub authentication: Option<Authentication>,
    /// The pages that were checked.
    pub pages: PageReport,
    /// The tablespaces in the server's dictionary at the time of the backup, and those that the
    /// backup lacks; `None` in backups of versions that didn't read them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dictionary: Option<Dictionary>,
    /// The problems that were found.
    pub problems: Vec<Problem>,
    /// Number of problems that are not in the list, because there are too many.
    pub more_problems: u64,
}

/// True if a backup's manifest is proven to be written with the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Authentication {
    /// It is not encrypted, so there is no proof.
    NotEncrypted,
    /// Its MAC is right.
    Proven,
    /// The MAC doesn't prove anything, or not everything; the caller accepted that.
    Accepted,
    /// Its MAC could not be checked without the key, or is wrong.
    NotAuthenticated,
}

/// The results of the checks of pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PageReport {
    /// Pages whose checksum, page number and space id are right.
    pub verified: u64,
    /// Pages of zeros only.
    pub zero: u64,
    /// Pages that the server encrypted: only their headers could be checked.
    pub unverifiable: u64,
    /// Pages of the old doublewrite area, which are not checked.
    pub skipped: u64,
    /// The newest LSN of these pages.
    pub max_lsn: Lsn,
    /// `lower_case_table_names` in the pages of the dictionary, if it is in these pages.
    #[serde(skip)]
    pub(crate) lower_case: Option<u8>,
}

/// A difference between a backup and its expected state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Problem {
    /// Its kind.
    pub kind: ProblemKind,
    /// The key of the object, or the file or backup concerned.
    pub object: String,
    /// The found value.
    pub found: String,
    /// The expected value.
    pub expected: String,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// An object is missing.
    Missing,
    /// An object has another length.
    Length,
    /// An object is not in the manifest.
    Foreign,
    /// The manifest or the summary was changed.
    Manifest,
    /// The key is wrong, or the manifest was changed without the key.
    Key,
    /// Bytes of an object were changed, or were wrong when they were stored.
    Content,
    /// A page is damaged, or of another place or time.
    Page,
    /// A member does not continue the one before it.
    Chain,
    /// It could not be restored, or the restored server found an error.
    Restore,
    /// A query of the user had another result.
    Query,
}

/// The result of a verification as one value; later values are more severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything was verified, without a problem.
    Sound,
    /// There are no backups.
    Empty,
    /// No problem was found, but a backup was not verified or not authenticated.
    NotVerified,
    /// Only the key is wrong.
    Key,
    /// A chain is broken, and there is no other damage.
    ChainBroken,
    /// Damage was found.
    Damaged,
}

/// A restore into a scratch directory.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Restored {
    /// The backup.
    pub name: BackupName,
    /// Number of tables that the server checked.
    pub tables: usize,
    /// Number of tables that were not checked, because the time for it was over.
    pub tables_left: usize,
    /// The results of the user's queries.
    pub checks: Vec<CheckedQuery>,
    /// Bytes that were written to files before the redo log was applied.
    pub restored_bytes: u64,
    /// Duration of fetching and merging, which run concurrently, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_seconds: Option<f64>,
    /// Duration of the redo applier, without the checks, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redo_seconds: Option<f64>,
    /// Duration of the checks of tables and of the queries in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_seconds: Option<f64>,
    /// True if the server's `gtid_executed` was compared with the recorded one, and is equal.
    pub gtid_verified: bool,
    /// The problems that were found.
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    /// Returns all problems.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let members = self.members.iter().flat_map(|m| &m.problems);
        members.chain(self.restored.iter().flat_map(|r| &r.problems))
    }

    /// Returns the backups in the repository that were not verified.
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

    /// Returns the backups that are not proven to be made with the key.
    pub fn not_authenticated(&self) -> impl Iterator<Item = &BackupName> {
        let open = |m: &&MemberReport| m.authentication == Some(Authentication::NotAuthenticated);
        self.members.iter().filter(open).map(|m| &m.name)
    }

    /// Returns the result as one value: that of the most severe problem, or the reason why the
    /// backups are not sound.
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
            | ProblemKind::Restore
            | ProblemKind::Query => Outcome::Damaged,
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

    /// Creates a problem from a finding.
    pub(super) fn of_finding(
        kind: ProblemKind,
        object: impl Into<String>,
        finding: impl Into<Finding>,
    ) -> Self {
        let Finding { found, expected } = finding.into();
        let expected = expected.unwrap_or_else(|| "what was written".to_owned());
        Self::new(kind, object, found, expected)
    }

    /// Creates a problem from an error about stored bytes; returns other errors.
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

    /// Does the same for an error of the reader.
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

    /// Does the same for an error of a restore.
    pub(super) fn of_restore(error: RestoreError) -> Result<Self, RestoreError> {
        match error {
            RestoreError::Read(error) => Self::of_read(error).map_err(Into::into),
            other => Err(other),
        }
    }

    pub(super) fn of_query(name: &BackupName, query: &CheckedQuery) -> Self {
        let start = |text: &str| text.chars().take(200).collect::<String>();
        Self::new(
            ProblemKind::Query,
            format!("{name}: check {}", query.name),
            format!("{:?}", start(&query.found)),
            format!("{:?}", start(&query.expected)),
        )
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
