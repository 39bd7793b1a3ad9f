//! What can go wrong in a repository, each message with what was found, what was expected and what
//! to do.

use crate::counted;
use crate::innodb::Lsn;
use crate::manifest::{BackupName, Finding, ManifestError};
use crate::store::bounded_list::Endless;
use crate::store::fault::{Fault, Kind};
use crate::store::{LeaseFault, PassedOver, Reader};
use std::fmt;
use std::sync::Arc;

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// A member's base is not in the repository.
    #[error("{member} needs base {base}, which is not in {url}")]
    MissingBase {
        /// The member.
        member: BackupName,
        /// Its base.
        base: BackupName,
        /// The repository.
        url: String,
    },
    /// A member's base has no manifest.
    #[error("{member} needs base {base}, which is not finished (it has no manifest)")]
    Unfinished {
        /// The member.
        member: BackupName,
        /// Its base.
        base: BackupName,
    },
    /// A member's base is another backup than the one that it was made on.
    #[error(
        "{what} of {base} is {found}, expected {expected}: {member} was not made on this backup"
    )]
    WrongBase {
        /// The member.
        member: BackupName,
        /// Its base.
        base: BackupName,
        /// Which field.
        what: &'static str,
        /// As found in the base.
        found: String,
        /// As recorded in the member.
        expected: String,
    },
    /// Two members stand on the same base.
    #[error(
        "it is forked, {first} and {second} both stand on {base}; delete one of them, or take a new \
         full backup"
    )]
    Forked {
        /// The common base.
        base: BackupName,
        /// One of the members.
        first: BackupName,
        /// The other.
        second: BackupName,
    },
    /// A member can't be read, so nobody knows where the chain ends.
    #[error("{member} is damaged ({what}); repair or delete it, or take a new full backup")]
    Damaged {
        /// The member.
        member: BackupName,
        /// Why it can't be read.
        what: String,
    },
}

/// What kind of failure a request to a store had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFault {
    /// The store knows who asks, and refuses.
    Denied,
    /// The credentials were good once.
    Expired,
    /// No such bucket or container; lsnap makes none.
    NoBucket,
    /// The server is not one that is trusted.
    Tls,
    /// The clocks differ, so that no signature is accepted.
    ClockSkew,
    /// TLS at a port of plain HTTP, or the other way round.
    WrongScheme,
    /// Something else answers than a store.
    NotAStore,
    /// An object is longer than the store, or a proxy before it, accepts.
    TooLarge,
    /// The store lacks a part of S3 that is needed.
    Unsupported,
    /// No connection, or it broke, also when tried again.
    Unreachable,
    /// No answer in time, also when tried again.
    TimedOut,
    /// The store could not, also when tried again.
    Busy,
}

/// A failed request, in words: what the store or the network said stands within them.
struct Told<'a>(RequestFault, &'a str);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.1;
        match self.0 {
            RequestFault::Denied => write!(
                f,
                "access denied ({what}); check the credentials and the rights of their owner \
         on the bucket"
            ),
            RequestFault::Expired => write!(
                f,
                "the credentials have expired ({what}); get new ones and run it again"
            ),
            RequestFault::NoBucket => write!(
                f,
                "no such bucket or container ({what}); check its name, the region and the \
         endpoint, or make it (lsnap does not)"
            ),
            RequestFault::Tls => write!(
                f,
                "no trusted connection ({what}); name the certificate of the server's authority, or the \
         server's own if it signed it itself, with --ca-file"
            ),
            RequestFault::ClockSkew => write!(
                f,
                "the store refused the request because the clocks differ ({what}); set this host's clock \
         right (the store accepts a difference of about 15 minutes)"
            ),
            RequestFault::WrongScheme => write!(
                f,
                "{what}; correct the endpoint's scheme (http:// also needs --allow-http)"
            ),
            RequestFault::NotAStore => write!(
                f,
                "the answer is not one of an object store ({what}): a proxy, a login page of the network \
         or another server answers; check --endpoint and the network"
            ),
            RequestFault::TooLarge => write!(
                f,
                "the object is too large for the store, or for a proxy before it ({what}); raise that \
         limit, or make smaller objects with --object-size"
            ),
            RequestFault::Unsupported => write!(
                f,
                "the store does not have what the request needs ({what}); if it refuses the checksum, give \
         --no-checksum-header; if it has no conditional puts (`If-None-Match: *`), it can't be used: without them \
         two backups can overwrite each other; use another store or a newer version of it, or back up to a \
         directory and copy that"
            ),
            RequestFault::Unreachable => write!(
                f,
                "the store can't be reached ({what}); check --endpoint, the network and the \
         proxy variables"
            ),
            RequestFault::TimedOut => write!(
                f,
                "no answer in time ({what}); a slow link needs a longer --timeout"
            ),
            RequestFault::Busy => write!(
                f,
                "the store was busy or failing until the retries were used up ({what}); run \
         it again later, or with a longer --retry-deadline"
            ),
        }
    }
}

/// Backups that are newer than the one that was chosen, as a list.
fn told(newer: &[PassedOver]) -> String {
    let told: Vec<String> = newer.iter().map(PassedOver::to_string).collect();
    told.join("; ")
}

/// Errors of a repository. Cheap to clone: the first failure of an upload is handed to every later call.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A name, a path or a manifest that can't be.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The URL's scheme is of no store. Only the scheme is shown: the rest of a URL may hold
    /// credentials.
    #[error(
        "repository scheme `{scheme}://` is not available in this build: it has s3://bucket/prefix, \
         gs://bucket/prefix, az://container/prefix, file:///path and plain paths"
    )]
    UnsupportedScheme {
        /// The scheme, without `://`.
        scheme: String,
    },
    /// The text names no repository.
    #[error(
        "`{url}` is no repository URL: {reason}; write s3://bucket/prefix, gs://bucket/prefix, \
         az://container/prefix, file:///absolute/path or a plain path"
    )]
    BadUrl {
        /// The text as given, without what may be a secret.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An option, or a setting of the environment, that can't be.
    #[error("{option}: {reason}")]
    BadOption {
        /// Which one.
        option: &'static str,
        /// What is wrong and what to do; never its value where that may be a secret.
        reason: String,
    },
    /// Nothing says who asks.
    #[error("{url}: {what}")]
    NoCredentials {
        /// The repository, or what was tried on which object.
        url: String,
        /// Where credentials were looked for, and what to do.
        what: String,
    },
    /// A request failed, also when tried again where that could help.
    #[error("{action} {key}: {}", Told(*kind, what))]
    Request {
        /// What was tried.
        action: &'static str,
        /// The object or prefix.
        key: String,
        /// What kind of failure.
        kind: RequestFault,
        /// The request, and what the store or the network answered.
        what: String,
    },
    /// Nothing is there to read from.
    #[error("repository {path}: no such directory; check the path (a first backup creates it)")]
    NoRepository {
        /// The directory.
        path: String,
    },
    /// The operating system refused something on a local repository, outside of an object.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: String,
        /// Why it failed.
        source: Arc<std::io::Error>,
    },
    /// The store refused or failed a request.
    #[error("{action} {key}: {source}")]
    Backend {
        /// What was tried.
        action: &'static str,
        /// The object or prefix.
        key: String,
        /// The store's own error.
        source: Arc<object_store::Error>,
    },
    /// A thread or task of the store ended without an answer.
    #[error("{what} ended without an answer (a bug, or the process is shutting down)")]
    TaskDied {
        /// Which one.
        what: String,
    },
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
    /// Written by a newer lsnap.
    #[error("{key}: manifest format {found}, this lsnap reads {expected}: use a newer lsnap")]
    UnknownFormat {
        /// The object.
        key: String,
        /// Its format.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The repository's layout is that of a newer lsnap.
    #[error(
        "{url}: the repository has format {found}, this lsnap reads formats up to {expected}: use a newer lsnap"
    )]
    NewerRepository {
        /// The repository.
        url: String,
        /// Its format.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The repository's marker can't be read.
    #[error(
        "{url}: {key}, which says how the repository is laid out, can't be read ({what}): put it back from a copy of \
         the repository; if no newer lsnap than this one was ever used here, remove it, the next backup writes it anew"
    )]
    BadMarker {
        /// The repository.
        url: String,
        /// The marker.
        key: &'static str,
        /// What was found and expected.
        what: String,
    },
    /// An object was there already; nothing is ever overwritten.
    #[error(
        "object {key} already exists and was not overwritten: another upload writes under this name, or an index was used twice"
    )]
    ObjectExists {
        /// The object.
        key: String,
    },
    /// The caller put something that can't be right.
    #[error("upload of {name}: {reason}")]
    Misuse {
        /// The backup.
        name: BackupName,
        /// What was wrong.
        reason: String,
    },
    /// The upload was given up.
    #[error("upload of {name} was aborted")]
    Aborted {
        /// The backup.
        name: BackupName,
    },
    /// The job was ended by its `Cancel`.
    #[error("interrupted: the deletion was stopped; run it again to delete the rest")]
    Interrupted,
    /// Objects could not be removed.
    #[error(
        "abort of {name}: {remaining} object(s) could not be removed, the first is {first}: {reason}; delete them by hand, the backup has no manifest and counts as unfinished"
    )]
    AbortIncomplete {
        /// The backup.
        name: BackupName,
        /// How many are left.
        remaining: u64,
        /// One of them.
        first: String,
        /// Why the first failing removal failed.
        reason: String,
    },
    /// A backup of another server.
    #[error(
        "{name} is a backup of server {found}, expected server {expected}: a chain holds backups of one server only"
    )]
    OtherServer {
        /// The backup.
        name: BackupName,
        /// The `server_uuid` in its manifest.
        found: String,
        /// The one that is needed.
        expected: String,
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
    /// An object, or a document of lsnap's, is not what was stored.
    #[error(
        "object {object} is damaged: {what}; do not restore from it, get it from a copy of the \
         repository"
    )]
    Damaged {
        /// Its key.
        object: String,
        /// What was found and expected.
        what: Finding,
    },
    /// An object of a finished backup is not there.
    #[error(
        "object {object} is missing (expected {bytes}): the backup can't be restored from this \
         repository", bytes = counted::count(bytes, "byte")
    )]
    Missing {
        /// Its key.
        object: String,
        /// Its length by the manifest.
        bytes: u64,
    },
    /// Something lies where a new backup should go.
    #[error(
        "{name} already exists (found {found}): nothing was written; choose another name or delete it"
    )]
    Exists {
        /// The backup.
        name: BackupName,
        /// The first object found.
        found: String,
    },
    /// A chain that can't be restored or continued.
    #[error("the chain of {name} is broken: {why}")]
    BrokenChain {
        /// The backup that was asked for.
        name: BackupName,
        /// Where and why (boxed: every `Result` of the layer would grow with it).
        why: Box<ChainFault>,
    },
    /// A member does not start where its base ends.
    #[error(
        "the chain of {name} is broken between {base} and {member}: from_lsn of {member} is {found}, \
         expected {expected}, the to_lsn of {base}"
    )]
    Gap {
        /// The backup that was asked for.
        name: BackupName,
        /// The earlier member.
        base: BackupName,
        /// The later member.
        member: BackupName,
        /// Where the later one starts.
        found: Lsn,
        /// Where the earlier one ends.
        expected: Lsn,
    },
    /// The pinned base is not the end of its chain.
    #[error(
        "base {base} is not the newest member of its chain, {newest} is: an incremental on it would \
         fork the chain; use {newest}"
    )]
    NotNewest {
        /// The base asked for.
        base: BackupName,
        /// The chain's end.
        newest: BackupName,
    },
    /// Somebody else changes the chain.
    #[error(transparent)]
    Lease(Box<LeaseFault>),
    /// A key that can't be named.
    #[error(
        "{directory} holds an object whose key can't be handled ({what}): rename or remove it with the store's own \
         tools, or keep backups under a prefix of their own"
    )]
    BadKey {
        /// What was listed.
        directory: String,
        /// The key, and what is wrong with it.
        what: String,
    },
    /// Somebody reads it.
    #[error(
        "{name} was not deleted: it is being read by {} ({}); wait until that ends (a reader that died is \
         forgotten within a minute), then run the command again", reader.holder, reader.work
    )]
    BeingRead {
        /// The backup.
        name: BackupName,
        /// Who reads it.
        reader: Box<Reader>,
    },
    /// A deletion was begun before it could be read.
    #[error("{name} can't be read: {}", being_deleted(*gone))]
    BeingDeleted {
        /// The backup.
        name: BackupName,
        /// It has no manifest any more.
        gone: bool,
    },
    /// Something that is not a backup's own lies under its name.
    #[error(
        "{name} was not deleted: {} lies in its directory and is not part of it; move or remove that first",
        key.escape_debug()
    )]
    Unexplained {
        /// The backup.
        name: BackupName,
        /// The key.
        key: String,
    },
    /// A listing that would never end.
    #[error(
        "listing {directory}: given up, {what}: the store, or a proxy before it, does not list as it should; run the \
         command again, and if it fails again, compare with a listing of the store's own tools"
    )]
    EndlessListing {
        /// What was listed.
        directory: String,
        /// What was found.
        what: String,
    },
    /// Other backups need it.
    #[error(
        "{name} was not deleted: {needed_by} stands on it, or may; delete that first, or both with --cascade"
    )]
    Needed {
        /// The backup.
        name: BackupName,
        /// The newest that needs it.
        needed_by: BackupName,
    },
    /// A backup is being made, or deleted, in the chain.
    #[error("the chain of {chain} is in use: nothing was deleted; run the command again later")]
    InUse {
        /// The chain's full backup.
        chain: BackupName,
    },
    /// An unfinished backup that was written to a short while ago.
    #[error(
        "{name} was not deleted: it is unfinished and its newest object is {seconds} s old, so it may be being made \
         now; if it is not, delete it with --unfinished-older-than 0s"
    )]
    InProgress {
        /// The backup.
        name: BackupName,
        /// The age of its newest object.
        seconds: i64,
    },
    /// A deletion that did not get to its end.
    #[error(
        "{} object(s) of {name} could not be removed, the first is {}: {reason}; the backup is no longer whole, run \
         the deletion again",
        left.len(), left.first().map_or_else(String::new, |key| key.escape_debug().to_string())
    )]
    NotDeleted {
        /// The backup.
        name: BackupName,
        /// Keys of what is left.
        left: Vec<String>,
        /// Why the first of them could not be removed.
        reason: String,
        /// The error behind that, where the store gave one.
        cause: Option<Box<StoreError>>,
    },
    /// A chain is not what it was when its deletion was decided.
    #[error(
        "the chain of {chain} changed meanwhile ({what}): it was left alone; run the command again"
    )]
    Changed {
        /// The chain's full backup.
        chain: BackupName,
        /// What is different.
        what: String,
    },
    /// A retention policy that must not be followed.
    #[error("nothing was deleted: {reason}")]
    Policy {
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Nothing to stand on.
    #[error(
        "no base for an incremental backup of server {server_uuid} in {url}: {hint}; take a full backup first"
    )]
    NoBase {
        /// The server.
        server_uuid: String,
        /// The repository.
        url: String,
        /// What is there instead.
        hint: String,
    },
}

fn being_deleted(gone: bool) -> &'static str {
    if gone {
        "it was deleted meanwhile; choose another one"
    } else {
        "it is being deleted; choose another one (if the deletion was interrupted before it removed anything, the \
         backup can be read five minutes after the deletion began)"
    }
}

impl From<LeaseFault> for StoreError {
    fn from(fault: LeaseFault) -> Self {
        Self::Lease(Box::new(fault))
    }
}

impl StoreError {
    /// Whether it says something of the store and not of one backup: whatever is tried next fails alike.
    #[must_use]
    pub fn is_of_the_store(&self) -> bool {
        match self {
            Self::Request { kind, .. } => matches!(
                kind,
                RequestFault::NoBucket
                    | RequestFault::Expired
                    | RequestFault::Tls
                    | RequestFault::Unreachable
                    | RequestFault::TimedOut
                    | RequestFault::Busy
            ),
            Self::NoCredentials { .. } | Self::NoRepository { .. } | Self::TaskDied { .. } => true,
            Self::NotDeleted {
                cause: Some(cause), ..
            } => cause.is_of_the_store(),
            _ => false,
        }
    }

    /// Whether it says that stored bytes were lost or changed.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }

    /// Wraps a store's error; one of a request over a network by its kind.
    pub(crate) fn backend(
        action: &'static str,
        key: impl Into<String>,
        source: object_store::Error,
    ) -> Self {
        let key = key.into();
        if let object_store::Error::InvalidPath { source } = &source {
            let what = source.to_string();
            return Self::BadKey {
                directory: key,
                what,
            };
        }
        if let Some(endless) = Endless::of(&source) {
            return Self::EndlessListing {
                directory: key,
                what: endless.to_string(),
            };
        }
        let Some(fault) = Fault::read(&source) else {
            return Self::Backend {
                action,
                key,
                source: Arc::new(source),
            };
        };
        let what = fault.what.clone();
        let kind = match fault.kind {
            Kind::NoBucket => RequestFault::NoBucket,
            Kind::Denied => RequestFault::Denied,
            Kind::Expired => RequestFault::Expired,
            Kind::Tls => RequestFault::Tls,
            Kind::Skew => RequestFault::ClockSkew,
            Kind::WrongScheme => RequestFault::WrongScheme,
            Kind::NotAStore => RequestFault::NotAStore,
            Kind::TooLarge => RequestFault::TooLarge,
            Kind::Unsupported => RequestFault::Unsupported,
            Kind::Unreachable | Kind::Broken => RequestFault::Unreachable,
            Kind::TimedOut => RequestFault::TimedOut,
            Kind::Busy => RequestFault::Busy,
            Kind::NoCredentials => {
                return Self::NoCredentials {
                    url: format!("{action} {key}"),
                    what,
                };
            }
            Kind::Other => {
                return Self::Backend {
                    action,
                    key,
                    // not the source as it came: its text may hold a whole document
                    source: Arc::new(fault.into_error()),
                };
            }
        };
        Self::Request {
            action,
            key,
            kind,
            what,
        }
    }

    /// Wraps an error of the operating system.
    pub(crate) fn io(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.display().to_string(),
            source: Arc::new(source),
        }
    }
}
