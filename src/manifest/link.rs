//! The link between a member of a chain and the member before it: all quantities that must agree.

use super::{BackupKind, Dictionary, Filtering, Manifest};

/// A quantity of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkField {
    /// The member is an incremental.
    Kind,
    /// Both have the same server uuid.
    ServerUuid,
    /// Both have the same redo log uuid.
    RedoLogUuid,
    /// Both redo logs have the same format.
    RedoFormat,
    /// Both have the same page size.
    PageSize,
    /// The id of the base is the one in the member's reference to it.
    BaseId,
    /// The member starts at the `to_lsn` of the base.
    FromLsn,
    /// The `to_lsn` of the base is the one in the member's reference to it.
    BaseToLsn,
    /// The member ends at the same LSN as the base, or later. Backups with the same start have the
    /// same `to_lsn`; in the wrong order they would set pages back to an older state.
    LastLsn,
    /// Both have the same filter, or are whole.
    Filter,
    /// Both names belong to one chain.
    Chain,
    /// The name of the member sorts after the name of the base.
    Name,
}

impl LinkField {
    /// Returns its name in messages.
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
            Self::Filter => "filter",
            Self::Chain => "chain",
            Self::Name => "name",
        }
    }
}

/// A quantity that doesn't agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkFault {
    pub(crate) field: LinkField,
    /// The value of the member, or of its reference to the base.
    pub(crate) member: String,
    /// The value of the base.
    pub(crate) base: String,
}

/// Compares a member with the one before it. The fields of the reference to the base, and the
/// names, are compared only if the member has a reference: in directories, members of other
/// programs have none.
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
    let (new, old) = (filtering(member), filtering(base));
    let text = |of: Filtering<'_>| match of.filter {
        None => "none".to_owned(),
        Some(filter) => filter.to_string(),
    };
    let fits = new.continues(old);
    add(fits, LinkField::Filter, &text(new), &text(old));
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

fn filtering(manifest: &Manifest) -> Filtering<'_> {
    let dictionary = manifest.dictionary.as_ref();
    dictionary.map_or(Filtering::default(), Dictionary::filtering)
}
