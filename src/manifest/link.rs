//! A member of a chain and the member before it: every quantity that must fit, in one place.

use super::{BackupKind, Manifest};

/// A quantity of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkField {
    /// The member is an incremental.
    Kind,
    /// Both are of one server.
    ServerUuid,
    /// Both are of one redo log.
    RedoLogUuid,
    /// Both redo logs have one format.
    RedoFormat,
    /// Both have pages of one size.
    PageSize,
    /// The id of the base, and the one that the member gives for it.
    BaseId,
    /// The member begins where the base ends.
    FromLsn,
    /// `to_lsn` of the base, and the one that the member gives for it.
    BaseToLsn,
    /// The member ends where the base ends, or later: backups of one start have the same `to_lsn`, and in the wrong order
    /// they would put pages back to an older state.
    LastLsn,
    /// Both names are of one chain.
    Chain,
    /// The name of the member sorts after that of the base.
    Name,
}

impl LinkField {
    /// What messages call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::ServerUuid => "server uuid",
            Self::RedoLogUuid => "redo log uuid",
            Self::RedoFormat => "redo format",
            Self::PageSize => "page size",
            Self::BaseId => "id",
            Self::FromLsn => "from_lsn",
            Self::BaseToLsn => "to_lsn",
            Self::LastLsn => "last_lsn",
            Self::Chain => "chain",
            Self::Name => "name",
        }
    }
}

/// A quantity that doesn't fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkFault {
    pub(crate) field: LinkField,
    /// What the member has, or gives for its base.
    pub(crate) member: String,
    /// What the base has.
    pub(crate) base: String,
}

/// Compares a member with the one before it. Fields of the reference to the base, and names, are compared only if the
/// member has a reference: in directories, members of other programs have none.
pub(crate) fn link_faults(base: &Manifest, member: &Manifest) -> Vec<LinkFault> {
    let mut faults = Vec::new();
    let mut add = |fits: bool, field, member: &dyn ToString, base: &dyn ToString| {
        if !fits {
            faults.push(LinkFault {
                field,
                member: member.to_string(),
                base: base.to_string(),
            });
        }
    };
    let mut same = |field, member: &dyn ToString, base: &dyn ToString| {
        add(member.to_string() == base.to_string(), field, member, base);
    };
    let (new, old) = (&member.server, &base.server);
    same(LinkField::ServerUuid, &new.uuid, &old.uuid);
    same(
        LinkField::RedoLogUuid,
        &new.redo_log_uuid,
        &old.redo_log_uuid,
    );
    same(LinkField::RedoFormat, &new.redo_format, &old.redo_format);
    same(LinkField::PageSize, &new.page_size, &old.page_size);
    same(LinkField::FromLsn, &member.lsn.from_lsn, &base.lsn.to_lsn);
    if let Some(reference) = &member.base {
        same(LinkField::BaseId, &reference.id, &base.id);
        same(LinkField::BaseToLsn, &reference.to_lsn, &base.lsn.to_lsn);
        same(LinkField::Chain, &member.name.base(), &base.name.base());
    }
    let kind = member.kind == BackupKind::Incremental;
    add(kind, LinkField::Kind, &"full", &"incremental");
    let (new, old) = (member.lsn.last_lsn, base.lsn.last_lsn);
    add(new >= old, LinkField::LastLsn, &new, &old);
    if member.base.is_some() {
        add(
            member.name > base.name,
            LinkField::Name,
            &member.name,
            &base.name,
        );
    }
    faults
}
