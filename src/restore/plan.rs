//! The plan of a restore, created before the restore: a value that can be displayed, and that `run`
//! executes.

use super::applier::ApplierPlan;
use super::settings::Setting;
use crate::counted::count;
use crate::innodb::Lsn;
use crate::manifest::Manifest;
use crate::reader::{FilePlan, PlainPlan};
use crate::store::Streamed;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The plan of one restore.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RestorePlan {
    /// The backup whose state is restored.
    pub target: String,
    /// The target directory.
    pub datadir: PathBuf,
    /// The chain, newest first.
    pub members: Vec<MemberPlan>,
    /// How the chain is merged.
    pub way: MergeMethod,
    /// The redo applier, and the reason for the choice.
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
    /// Settings for the restored server's my.cnf.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// Files of the backup that are not placed in the restored directory because of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_placed: Vec<String>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// Of a restore from directories: one for each member, newest first.
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

/// How a chain is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MemberPlan {
    /// Its name.
    pub name: String,
    /// The LSN at which it continues its predecessor; 0 for a full backup.
    pub from_lsn: Lsn,
    /// Every page with this LSN or a later one is in it; 0 for a full backup.
    pub scan_floor: Lsn,
    /// The checkpoint at which its copy began.
    pub start_checkpoint: Lsn,
    /// The checkpoint at its end.
    pub to_lsn: Lsn,
    /// The LSN up to which its redo log reaches.
    pub last_lsn: Lsn,
}

impl RestorePlan {
    /// Returns the manifest of the backup whose state is restored.
    pub(crate) fn newest(&self) -> Option<&Manifest> {
        self.chain.first()
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
                "  way: stepwise; copies of {} are prepared one after the other, because at least one of \
                 them can only be completed by its own redo log",
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
