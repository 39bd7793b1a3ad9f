//! The beginning of a backup: the server and the base are checked, the lock and the name are taken.

use super::applier::StoppedAppliers;
use super::base::{check_datadir, take_name};
use super::error::BackupError;
use super::options::{BackupOptions, BaseChoice};
use super::session::{Session, newer};
use super::sink::Sink;
use super::{inherit, object_size, tracked};
use crate::codec::Compression;
use crate::manifest::{BackupName, Manifest};
use crate::progress::{Phase, Progress};
use crate::server::{Identity, Server, Variables};
use crate::store::{NextBase, PassedOver, Repository, Upload};
use chrono::{DateTime, Utc};
use std::sync::Mutex;

/// Where the backup goes, before its name is known.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    Repository(&'a Repository),
    Streams(&'a Sink),
}

impl<'a> Session<'a> {
    /// Checks the server, finds the base, takes the lock and the name.
    pub(super) fn begin(
        target: Target<'_>,
        bases: Option<&Repository>,
        options: &'a BackupOptions,
        progress: &'a dyn Progress,
    ) -> Result<(Self, Server), BackupError> {
        progress.phase(Phase::Preparing, None);
        // Rather now than when the lock is held.
        object_size::check(options)?;
        options.priority.check()?;
        // Before the connection to the server: the error may be about a forgotten option.
        let encrypted_only = match target {
            Target::Repository(repo) => inherit::guard(repo, options)?,
            Target::Streams(_) => false,
        };
        let (mut server, identity, variables) = checked_server(options)?;
        let (base, passed_over) = checked_base(bases, options, &identity, progress)?;
        let compression = inherit::compression(base.as_ref(), options)?;
        if let Target::Repository(repo) = target {
            // Rather now than when the lock is held.
            repo.reach()?;
        }
        // Before anything is read and before the lock: see `tracked`.
        let tracking = tracked::begin(&mut server, &variables.datadir, options, progress)?;
        let stopped = stop_appliers(&mut server, options)?;
        server.lock_instance(options.lock_timeout)?;
        // Under the lock it can't be switched any more.
        if !server.redo_enabled()? {
            return Err(BackupError::RedoDisabled);
        }
        // Where xtrabackup --prepare stops to replay what DDL did to files: no DDL comes after it.
        let flushed = server.flushed_lsn()?;
        if let Target::Repository(repo) = target
            && encrypted_only
            && repo.require_encryption()?.encrypted_only
        {
            progress.note("from now on the repository takes encrypted backups only");
        }
        let cluster = options.cluster.as_deref().unwrap_or(&identity.hostname);
        let named = take_place(target, base.as_ref(), cluster, compression, options)?;
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
            passed_over,
            sink: named.sink,
        };
        Ok((session, server))
    }
}

/// Connects to the server, and checks everything of it that can be checked before it is locked.
fn checked_server(options: &BackupOptions) -> Result<(Server, Identity, Variables), BackupError> {
    let mut server = Server::connect_until(&options.connect, &options.cancel)?;
    let identity = server.identity()?;
    Server::check_supported(&identity, options.allow_untested)?;
    server.check_privileges()?;
    if options.stop_applier.is_some() && !server.may_stop_appliers()? {
        return Err(BackupError::Applier {
            what: "this account may not stop it: GRANT REPLICATION_SLAVE_ADMIN ON *.* to it"
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

/// The base of an incremental, and newer backups that are not its base.
fn checked_base(
    bases: Option<&Repository>,
    options: &BackupOptions,
    identity: &Identity,
    progress: &dyn Progress,
) -> Result<(Option<Manifest>, Vec<PassedOver>), BackupError> {
    let Some(found) = find_base(bases, options, &identity.server_uuid)? else {
        return Ok((None, Vec::new()));
    };
    let NextBase {
        base,
        before,
        passed_over,
    } = found;
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

/// The name of the backup, and where its bytes go.
struct Named {
    started: DateTime<Utc>,
    name: BackupName,
    sink: Sink,
}

fn take_place(
    target: Target<'_>,
    base: Option<&Manifest>,
    cluster: &str,
    compression: Option<Compression>,
    options: &BackupOptions,
) -> Result<Named, BackupError> {
    match target {
        Target::Streams(sink) => {
            let (started, name) = take_name(base, cluster, |name| Ok(name.clone()))?;
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
            let (started, upload) = take_name(base, cluster, begin)?;
            enter_chain(&upload, base, options)?;
            Ok(Named {
                started,
                name: upload.name().clone(),
                sink: Sink::objects(upload, compression, options.key.clone()),
            })
        }
    }
}

/// Stops the appliers of a replica, if that was asked for.
fn stop_appliers(
    server: &mut Server,
    options: &BackupOptions,
) -> Result<Option<StoppedAppliers>, BackupError> {
    let Some(limit) = options.stop_applier else {
        return Ok(None);
    };
    StoppedAppliers::stop(server, &options.connect, limit, &options.cancel).map(Some)
}

/// Makes sure that nobody else appends to the chain. A full backup begins its own.
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

/// The backup that an incremental continues.
fn find_base(
    bases: Option<&Repository>,
    options: &BackupOptions,
    server: &str,
) -> Result<Option<NextBase>, BackupError> {
    let (pinned, choice) = match &options.incremental {
        None => return Ok(None),
        Some(BaseChoice::Given(manifest)) => {
            return Ok(Some(NextBase {
                before: Vec::new(),
                base: (**manifest).clone(),
                passed_over: Vec::new(),
            }));
        }
        Some(BaseChoice::Latest) => (None, "the latest"),
        Some(BaseChoice::Named(name)) => (Some(name.as_str()), name.as_str()),
    };
    let repo = bases.ok_or_else(|| BackupError::BaseUnusable {
        base: choice.to_owned(),
        reason: "no repository was named to look for it in".to_owned(),
    })?;
    Ok(Some(repo.next_base(server, pinned)?))
}
