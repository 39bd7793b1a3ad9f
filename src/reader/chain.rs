//! Checks that a chain can be merged (`docs/design.md#overlap`), before any file is read.

use crate::innodb::redo;
use crate::manifest::{BackupKind, Finding, LinkFault, LinkField, Manifest, link_faults};
use crate::reader::error::ReadError;

/// Checks a chain, base first: the members must continue each other, each with overlap.
///
/// # Errors
/// [`ReadError::Chain`] or [`ReadError::NoOverlap`] for the first member that doesn't fit.
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
    // All members are checked for continuity first: a chain without overlap can still be prepared
    // step by step, a chain whose members don't continue each other can't.
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

/// Checks the redo format and the LSNs of one manifest.
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

/// Checks a member against the one before it.
///
/// # Errors
/// The same as those of [`check`].
pub(crate) fn link(previous: &Manifest, member: &Manifest) -> Result<(), ReadError> {
    fits(previous, member)?;
    overlaps(previous, member)
}

/// Checks that a member continues the one before it.
fn fits(previous: &Manifest, member: &Manifest) -> Result<(), ReadError> {
    let faults = link_faults(previous, member);
    let of_restore = |fault: &LinkFault| ORDER.iter().position(|field| *field == fault.field);
    let first = faults
        .into_iter()
        .filter_map(|fault| Some((of_restore(&fault)?, fault)))
        .min_by_key(|(order, _)| *order);
    let Some((_, fault)) = first else {
        return Ok(());
    };
    Err(match fault.field {
        LinkField::Kind => damaged(
            member.name.as_str(),
            "a full backup is in the middle of a chain",
        ),
        field => ReadError::Chain {
            member: member.name.to_string(),
            previous: previous.name.to_string(),
            what: field.name(),
            found: fault.member,
            expected: match field {
                LinkField::LastLsn => format!("{} or more", fault.base),
                _ => fault.base,
            },
        },
    })
}

/// The fields without which a restore would be wrong, in the order in which they are reported. The
/// other fields are names and references, which a chain of directories doesn't have.
const ORDER: [LinkField; 8] = [
    LinkField::Kind,
    LinkField::ServerUuid,
    LinkField::RedoLogUuid,
    LinkField::RedoFormat,
    LinkField::PageSize,
    LinkField::Filter,
    LinkField::FromLsn,
    LinkField::LastLsn,
];

/// Checks that a member has all pages that changed since the member before it began.
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
