//! Errors of the selection of backups, and of backups that can't be read.

use crate::counted;
use crate::manifest::BackupName;
use crate::store::listing::passed_over::PassedOver;

/// The reason why a backup can't be selected or read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackupFault {
    /// Several backups match a prefix.
    #[error("`{text}` matches {count}: {names}; give the whole name", count = counted::count(count, "backup"))]
    Ambiguous {
        /// The requested name.
        text: String,
        /// The number of matches.
        count: usize,
        /// The first few of them.
        names: String,
    },
    /// `latest` is requested, and there are backups of several clusters.
    #[error(
        "`latest` of {url} can be a backup of {clusters}: it has backups of {count}; set LatestOf::cluster to one of them",
        clusters = clusters.join(" or "), count = counted::count(clusters.len(), "cluster")
    )]
    SeveralClusters {
        /// The repository.
        url: String,
        /// The clusters.
        clusters: Vec<String>,
    },
    /// There may be a usable backup that is newer than the newest finished one.
    #[error(
        "`latest` of {url} is in doubt: {}; the newest usable backup is {chosen}, which is older. Verify the newer one, \
         then give the name of the wanted backup instead of `latest`",
        list_of(newer)
    )]
    NewerInDoubt {
        /// The newest finished backup.
        chosen: BackupName,
        /// The newer ones.
        newer: Vec<PassedOver>,
        /// The repository.
        url: String,
    },
    /// The backup has objects, but no manifest.
    #[error(
        "backup {name} is not finished: it has no {manifest}; it was interrupted or is still in progress, and \
         can't be restored"
    )]
    NotFinished {
        /// The backup.
        name: BackupName,
        /// The object that is missing.
        manifest: &'static str,
    },
    /// The backup was made by xtrabackup, or by lsnap under that name as an incremental on an LSN alone.
    #[error(
        "backup {name} has no lsnap manifest: xtrabackup made it, or lsnap under that name on an LSN alone. There is no \
         list of its files, so it can't be verified or restored in the repository. To restore it, get it and the backups \
         that it needs into directories (cloud get); restore a full backup from its directory, and prepare an \
         incremental step by step (xtrabackup --prepare)"
    )]
    Foreign {
        /// The backup.
        name: BackupName,
    },
    /// The backup is a stream of `lsnap backup --stream` that was put into the repository.
    #[error(
        "backup {name} is a stream that was put into the repository: its manifest describes the files of the stream, not \
         these objects. Restore it, which checks every byte, or extract it \
         into a directory (cloud get)"
    )]
    Streamed {
        /// The backup.
        name: BackupName,
    },
    /// There is no such backup.
    #[error("no backup `{name}` in {url}: {hint}")]
    NotFound {
        /// The requested name.
        name: String,
        /// The repository.
        url: String,
        /// What exists instead.
        hint: String,
    },
    /// The deletion of the backup was begun before it could be read.
    #[error("{name} can't be read: {}", being_deleted(*gone))]
    BeingDeleted {
        /// The backup.
        name: BackupName,
        /// Whether its manifest is removed already.
        gone: bool,
    },
}

/// Returns a list of newer backups.
fn list_of(newer: &[PassedOver]) -> String {
    let texts: Vec<String> = newer.iter().map(PassedOver::to_string).collect();
    texts.join("; ")
}

fn being_deleted(gone: bool) -> &'static str {
    if gone {
        "it was deleted in the meantime; choose another one"
    } else {
        "it is being deleted; choose another one (if the deletion was interrupted before it removed anything, the \
         backup can be read five minutes after the deletion began)"
    }
}
