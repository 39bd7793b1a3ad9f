//! Why no backup fits, or one can't be read.

use crate::counted;
use crate::manifest::BackupName;
use crate::store::listing::passed_over::PassedOver;

/// Why no backup fits, or one can't be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackupFault {
    /// `resolve` found several.
    #[error("`{text}` fits {count}: {names}; give the whole name", count = counted::count(count, "backup"))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// How many fit.
        count: usize,
        /// The first few of them.
        names: String,
    },
    /// Something newer than the newest finished backup may have been one.
    #[error(
        "`latest` of {url} is in doubt: {}; the newest backup that can be used is {chosen}, which is older. Run \
         `lsnap verify` on the newer one, then give the name of the backup that is wanted instead of `latest`",
        told(newer)
    )]
    NewerInDoubt {
        /// The newest finished backup.
        chosen: BackupName,
        /// What is newer.
        newer: Vec<PassedOver>,
        /// The repository.
        url: String,
    },
    /// Objects lie there, but no manifest.
    #[error(
        "backup {name} is not finished: it has no {manifest}; it was interrupted or still runs, and \
         can't be restored"
    )]
    NotFinished {
        /// The backup.
        name: BackupName,
        /// The object that is missing.
        manifest: &'static str,
    },
    /// A backup of xtrabackup's.
    #[error(
        "backup {name} was made by xtrabackup and has no lsnap manifest: its files are not described here; \
         to restore it, `lsnap cloud get` it into a directory and `lsnap restore --from` that"
    )]
    Foreign {
        /// The backup.
        name: BackupName,
    },
    /// A stream of `lsnap backup --stream` that was put here.
    #[error(
        "backup {name} is a stream that was put here: its manifest describes the files of the stream and not \
         these objects. `lsnap restore` restores it, and checks every byte; `lsnap cloud get {name} -C DIR` \
         extracts it. Run one of them"
    )]
    Streamed {
        /// The backup.
        name: BackupName,
    },
    /// No such backup.
    #[error("no backup `{name}` in {url}: {hint}")]
    NotFound {
        /// What was asked for.
        name: String,
        /// The repository.
        url: String,
        /// What is there instead.
        hint: String,
    },
    /// A deletion was begun before it could be read.
    #[error("{name} can't be read: {}", being_deleted(*gone))]
    BeingDeleted {
        /// The backup.
        name: BackupName,
        /// It has no manifest any more.
        gone: bool,
    },
}

/// Backups that are newer than the one that was chosen, as a list.
fn told(newer: &[PassedOver]) -> String {
    let told: Vec<String> = newer.iter().map(PassedOver::to_string).collect();
    told.join("; ")
}

fn being_deleted(gone: bool) -> &'static str {
    if gone {
        "it was deleted meanwhile; choose another one"
    } else {
        "it is being deleted; choose another one (if the deletion was interrupted before it removed anything, the \
         backup can be read five minutes after the deletion began)"
    }
}
