//! Whether a chain may be merged at all (`docs/design.md#overlap`), before any file is looked at.

use crate::innodb::redo;
use crate::manifest::{BackupKind, Finding, Manifest};
use crate::reader::error::ReadError;

/// Checks a chain, base first: members that fit each other, each made with overlap.
///
/// # Errors
/// [`ReadError::Chain`] or [`ReadError::NoOverlap`] naming the first member that does not fit.
pub(crate) fn check(chain: &[Manifest]) -> Result<(), ReadError> {
    let Some(base) = chain.first() else {
        return Err(damaged("", "the chain is empty"));
    };
    if base.kind != BackupKind::Full {
        return Err(ReadError::NotFull {
            backup: base.name.to_string(),
            from_lsn: base.lsn.from_lsn,
        });
    }
    for member in chain {
        own_ranges(member)?;
    }
    // A chain without overlap may be prepared step by step; one whose members don't fit never.
    for step in [fits, overlaps] {
        for pair in chain.windows(2) {
            if let [previous, member] = pair {
                step(previous, member)?;
            }
        }
    }
    Ok(())
}

fn damaged(backup: &str, what: impl Into<Finding>) -> ReadError {
    ReadError::damaged(backup, "lsnap_manifest.json", what)
}

/// What must hold within one manifest.
///
/// # Errors
/// [`ReadError::Damaged`].
pub(crate) fn own_ranges(member: &Manifest) -> Result<(), ReadError> {
    let lsn = &member.lsn;
    let name = member.name.to_string();
    if member.server.redo_format != redo::FORMAT {
        return Err(damaged(
            &name,
            Finding::new(
                format!(
                    "redo format {} is not known to this build",
                    member.server.redo_format
                ),
                redo::FORMAT,
            ),
        ));
    }
    if lsn.start_checkpoint > lsn.to_lsn || lsn.to_lsn > lsn.last_lsn {
        return Err(damaged(
            &name,
            format!(
                "its LSNs are not in order: start checkpoint {}, to_lsn {}, last_lsn {}",
                lsn.start_checkpoint, lsn.to_lsn, lsn.last_lsn
            ),
        ));
    }
    Ok(())
}

/// What must hold between a member and the one before it.
///
/// # Errors
/// As [`check`].
pub(crate) fn link(previous: &Manifest, member: &Manifest) -> Result<(), ReadError> {
    fits(previous, member)?;
    overlaps(previous, member)
}

/// Whether a member continues the one before it.
fn fits(previous: &Manifest, member: &Manifest) -> Result<(), ReadError> {
    let differs = |what, found: String, expected: String| {
        if found == expected {
            Ok(())
        } else {
            Err(ReadError::Chain {
                member: member.name.to_string(),
                previous: previous.name.to_string(),
                what,
                found,
                expected,
            })
        }
    };
    if member.kind != BackupKind::Incremental {
        return Err(damaged(
            member.name.as_str(),
            "a full backup stands in the middle of a chain",
        ));
    }
    let (new, old) = (&member.server, &previous.server);
    differs("server uuid", new.uuid.clone(), old.uuid.clone())?;
    differs(
        "redo log uuid",
        new.redo_log_uuid.to_string(),
        old.redo_log_uuid.to_string(),
    )?;
    differs(
        "redo format",
        new.redo_format.to_string(),
        old.redo_format.to_string(),
    )?;
    differs(
        "page size",
        new.page_size.to_string(),
        old.page_size.to_string(),
    )?;
    differs(
        "from_lsn",
        member.lsn.from_lsn.to_string(),
        previous.lsn.to_lsn.to_string(),
    )?;
    // Backups of the same start have the same `to_lsn`: in the wrong order they would put pages back to an older state.
    if member.lsn.last_lsn < previous.lsn.last_lsn {
        return differs(
            "last_lsn",
            member.lsn.last_lsn.to_string(),
            format!("{} or more", previous.lsn.last_lsn),
        );
    }
    Ok(())
}

/// Whether a member has all pages that changed since the one before it began.
fn overlaps(previous: &Manifest, member: &Manifest) -> Result<(), ReadError> {
    if member.lsn.scan_floor > previous.lsn.start_checkpoint {
        return Err(ReadError::NoOverlap {
            member: member.name.to_string(),
            scan_floor: member.lsn.scan_floor,
            previous: previous.name.to_string(),
            start_checkpoint: previous.lsn.start_checkpoint,
        });
    }
    Ok(())
}
