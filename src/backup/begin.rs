//! The start of a backup: checks the server and the base, and acquires the lock and the name.

use super::applier::StoppedAppliers;
use super::base::{check_datadir, reserve_name};
use super::due::{Due, FullWhen, unusable};
use super::error::BackupError;
use super::options::{BackupOptions, BaseChoice};
use super::session::{Base, Session, newer};
use super::sink::Sink;
use super::{inherit, object_size, partial, tracked};
use crate::codec::Compression;
use crate::manifest::{BackupName, Manifest};
use crate::progress::{Phase, Progress};
use crate::server::{Identity, Server, Variables};
use crate::store::{LatestOf, NextBase, PassedOver, Repository, SlotClaim, Upload};
use chrono::{DateTime, Utc};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

/// The destination of the backup, before its name is known.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    Repository(&'a Repository),
    Streams(&'a Sink),
}

/// How the base of a backup is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice<'a> {
    /// There is none.
    Full {
        /// Why; empty if the caller made the choice.
        reason: &'a str,
    },
    /// The base is this one.
    Base(&'a BaseChoice),
    /// The newest chain of the server, if no full backup is due.
    Due(FullWhen),
}

impl<'a> Choice<'a> {
    /// Returns the choice of the options.
    pub(super) fn of(options: &'a BackupOptions) -> Self {
        let base = options.incremental.as_ref();
        base.map_or(Self::Full { reason: "" }, Self::Base)
    }
}

impl<'a> Session<'a> {
    /// Checks the server, finds the base, acquires the lock and reserves the name.
    pub(super) fn begin(
        target: Target<'_>,
        bases: Option<&Repository>,
        choice: Choice<'_>,
        options: &'a BackupOptions,
        progress: &'a dyn Progress,
    ) -> Result<(Self, Server), BackupError> {
        progress.phase(Phase::Preparing, None);
        // Checked early, so that an error does not occur while the lock is held.
        object_size::check(options)?;
        options.priority.check()?;
        let filter = partial::Filter::of(options)?;
        if filter.is_some_and(|filter| filter.includes()) && matches!(target, Target::Repository(_))
        {
            return Err(BackupError::PartialInRepository);
        }
        if let (Target::Repository(_), Choice::Base(BaseChoice::Lsn(lsn))) = (target, choice) {
            return Err(BackupError::LsnInRepository { lsn: *lsn });
        }
        // Before the connection to the server: the error may be about a missing option.
        let encrypted_only = match target {
            Target::Repository(repo) => inherit::guard(repo, options)?,
            Target::Streams(_) => false,
        };
        let (mut server, identity, variables) = checked_server(options)?;
        if options.galera_info && !server.has_galera()? {
            progress.note(
                "the server does not support Galera replication: xtrabackup_galera_info is not written",
            );
        }
        let (found, why) = find_base(
            bases,
            choice,
            (&identity.server_uuid, options.cluster_of(&identity)),
        )?;
        if let Some(why) = &why {
            let kind = found.as_ref().map_or("full", |_| "incremental");
            progress.note(&format!("{kind} backup: {why}"));
        }
        let (base, passed_over) = checked_base(found, options, progress)?;
        let compression = inherit::compression(base.as_ref(), options)?;
        let base = match choice {
            Choice::Base(BaseChoice::Lsn(lsn)) => Some(Base::Lsn(*lsn)),
            _ => base.map(|base| Base::Backup(Box::new(base))),
        };
        if let Target::Repository(repo) = target {
            // Checked early, so that an error does not occur while the lock is held.
            repo.reach()?;
        }
        // Before anything is read and before the lock is acquired: see `tracked`.
        let tracking = tracked::begin(&mut server, &variables.datadir, options, progress)?;
        let stopped = stop_appliers(&mut server, options)?;
        server.lock_instance(options.lock_timeout)?;
        // Redo logging can't be switched under the lock.
        if !server.redo_enabled()? {
            return Err(BackupError::RedoDisabled);
        }
        // xtrabackup --prepare replays DDL on files up to this LSN: no DDL comes after it.
        let flushed = server.flushed_lsn()?;
        if let Target::Repository(repo) = target
            && encrypted_only
            && repo.require_encryption()?.encrypted_only
        {
            progress.note("from now on the repository takes encrypted backups only");
        }
        let cluster = options.cluster_of(&identity);
        let named = open_target(target, base.as_ref(), cluster, compression, options)?;
        let session = Self {
            options,
            progress,
            identity,
            variables,
            base,
            name: named.name,
            started: named.started,
            flushed,
            tracking,
            stopped: Mutex::new(stopped),
            why,
            passed_over,
            sink: named.sink,
            read_bytes: AtomicU64::new(0),
        };
        Ok((session, server))
    }
}

/// Runs the checks of the server with which a backup starts, without changing anything. Returns the
/// identity of the server.
///
/// # Errors
/// The same as [`run`](super::run) with the same options, as far as the server is the cause.
pub fn check_server(options: &BackupOptions) -> Result<Identity, BackupError> {
    options.priority.check()?;
    checked_server(options).map(|(_, identity, _)| identity)
}

/// Connects to the server, and runs all checks that are possible before it is locked.
fn checked_server(options: &BackupOptions) -> Result<(Server, Identity, Variables), BackupError> {
    let mut server = Server::connect_until(&options.connect, &options.cancel)?;
    let identity = server.identity()?;
    Server::check_supported(&identity, options.allow_untested)?;
    server.check_privileges()?;
    if options.stop_applier.is_some() && !server.may_stop_appliers()? {
        return Err(BackupError::Applier {
            what: "the account lacks the privilege to stop it: GRANT REPLICATION_SLAVE_ADMIN ON *.* to it"
                .to_owned(),
        });
    }
    if !server.redo_enabled()? {
        return Err(BackupError::RedoDisabled);
    }
    let variables = server.variables()?;
    if !variables.log_checksums {
        return Err(BackupError::LogChecksumsOff);
    }
    check_datadir(&variables.datadir, &identity)?;
    Ok((server, identity, variables))
}

/// Returns the base of an incremental, and newer backups that were not chosen as base.
fn checked_base(
    found: Option<NextBase>,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<(Option<Manifest>, Vec<PassedOver>), BackupError> {
    let Some(NextBase {
        base,
        before,
        passed_over,
    }) = found
    else {
        return Ok((None, Vec::new()));
    };
    progress.note(&format!(
        "base: {} (ends at LSN {})",
        base.name, base.lsn.last_lsn
    ));
    for text in newer(&passed_over, &base.name) {
        tracing::warn!("{text}");
    }
    inherit::check_encryption(&base, &before, options.key.as_ref())?;
    Ok((Some(base), passed_over))
}

/// The name of the backup and the destination of its bytes.
struct Named {
    started: DateTime<Utc>,
    name: BackupName,
    sink: Sink,
}

fn open_target(
    target: Target<'_>,
    base: Option<&Base>,
    cluster: &str,
    compression: Option<Compression>,
    options: &BackupOptions,
) -> Result<Named, BackupError> {
    match target {
        Target::Streams(sink) => {
            let (started, name) = reserve_name(base, cluster, |name| Ok(name.clone()))?;
            if let Some(how) = compression {
                sink.compress(how);
            }
            let sink = sink.clone();
            Ok(Named {
                started,
                name,
                sink,
            })
        }
        Target::Repository(repo) => {
            let begin = |name: &BackupName| repo.begin(name, options.uploads);
            let (started, upload) = reserve_name(base, cluster, begin)?;
            enter_slot(&upload, options)?;
            enter_chain(&upload, base.and_then(Base::manifest), options)?;
            Ok(Named {
                started,
                name: upload.name().clone(),
                sink: Sink::objects(upload, compression, options.key.clone()),
            })
        }
    }
}

/// Stops the appliers of a replica if `BackupOptions::stop_applier` is set.
fn stop_appliers(
    server: &mut Server,
    options: &BackupOptions,
) -> Result<Option<StoppedAppliers>, BackupError> {
    let Some(limit) = options.stop_applier else {
        return Ok(None);
    };
    StoppedAppliers::stop(server, &options.connect, limit, &options.cancel).map(Some)
}

/// Makes the upload the backup of a slot, if there is one.
fn enter_slot(upload: &Upload, options: &BackupOptions) -> Result<(), BackupError> {
    let Some(token) = &options.slot_token else {
        return Ok(());
    };
    let run = options.scheduled.as_ref();
    let claim = run.and_then(|run| {
        Some(SlotClaim {
            schedule: run.schedule.clone(),
            slot: run.slot?,
            token: token.clone(),
        })
    });
    claim.map_or(Ok(()), |claim| Ok(upload.for_slot(claim)?))
}

/// Acquires the lease of the chain, so that no other backup appends to it. A full backup starts its
/// own chain.
fn enter_chain(
    upload: &Upload,
    base: Option<&Manifest>,
    options: &BackupOptions,
) -> Result<(), BackupError> {
    let Some(base) = base else {
        return Ok(());
    };
    upload
        .follow(&base.name, options.lease_ttl)
        .map_err(|error| {
            if let Err(left) = upload.clone().abort() {
                tracing::error!("{left}");
            }
            error.into()
        })
}

/// Returns the backup that an incremental continues, and the reason of a choice that was made here. `of` are the UUID
/// and the cluster of the server.
fn find_base(
    bases: Option<&Repository>,
    choice: Choice<'_>,
    of: (&str, &str),
) -> Result<(Option<NextBase>, Option<String>), BackupError> {
    let (pinned, shown) = match choice {
        Choice::Full { reason } => {
            return Ok((None, (!reason.is_empty()).then(|| reason.to_owned())));
        }
        Choice::Due(when) => return due_base(bases, when, of),
        Choice::Base(BaseChoice::Lsn(_)) => return Ok((None, None)),
        Choice::Base(BaseChoice::Given(manifest)) => {
            let given = NextBase {
                before: Vec::new(),
                base: (**manifest).clone(),
                passed_over: Vec::new(),
            };
            return Ok((Some(given), None));
        }
        Choice::Base(BaseChoice::Latest) => (None, "the latest"),
        Choice::Base(BaseChoice::Named(name)) => (Some(name.as_str()), name.as_str()),
    };
    let repo = repository_of(bases, shown)?;
    let (server, cluster) = of;
    // a base that is named `latest` is of the same cluster
    let latest = LatestOf {
        cluster: Some(cluster.to_owned()),
        before: None,
    };
    let repo = repo.clone().with_latest(latest);
    Ok((Some(repo.next_base(server, Some(cluster), pinned)?), None))
}

/// Returns the end of the newest chain, unless a full backup is due.
fn due_base(
    bases: Option<&Repository>,
    when: FullWhen,
    (server, cluster): (&str, &str),
) -> Result<(Option<NextBase>, Option<String>), BackupError> {
    match repository_of(bases, "the latest")?.next_base(server, Some(cluster), None) {
        Ok(next) => Ok(match when.decide(&next, Utc::now()) {
            Due::Full(reason) => (None, Some(reason)),
            Due::Incremental(reason) => (Some(next), Some(reason)),
        }),
        Err(error) => Ok((None, Some(unusable(error.into())?))),
    }
}

fn repository_of<'r>(
    bases: Option<&'r Repository>,
    base: &str,
) -> Result<&'r Repository, BackupError> {
    bases.ok_or_else(|| BackupError::BaseUnusable {
        base: base.to_owned(),
        reason: "no repository was given to search it in".to_owned(),
    })
}
