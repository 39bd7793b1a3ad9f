//! The link between a member and its base.

use super::report::{Problem, ProblemKind};
use crate::innodb::SpaceId;
use crate::manifest::{LinkFault, LinkField, Manifest, link_faults};
use crate::reader::{ReadError, chain};
use std::collections::HashSet;

/// Compares a member with its base: each field of the reference separately, then the first of those
/// that a restore checks, and last the order of the names.
pub(super) fn compare(base: &Manifest, member: &Manifest) -> Result<Vec<Problem>, ReadError> {
    let of_member = |found: String, expected: &str| {
        Problem::new(ProblemKind::Chain, member.name.as_str(), found, expected)
    };
    let faults = link_faults(base, member);
    let mut problems = Vec::new();
    for LinkFault {
        field,
        member,
        base: found,
    } in &faults
    {
        match field {
            LinkField::BaseId | LinkField::BaseToLsn => problems.push(of_member(
                format!("its base {} has the {} {found}", base.name, field.name()),
                member,
            )),
            LinkField::Chain => problems.push(of_member(
                format!("its base {} belongs to another chain", base.name),
                member,
            )),
            _ => {}
        }
    }
    problems.extend(lost(base, member));
    if let Err(error) = chain::link(base, member) {
        problems.push(Problem::of_read(error)?);
    }
    let by_name = faults.iter().any(|fault| fault.field == LinkField::Name);
    if by_name && problems.is_empty() {
        problems.push(of_member(
            format!("its base {} has a name that sorts after its own", base.name),
            "a base whose name sorts before it",
        ));
    }
    Ok(problems)
}

/// Returns the tables whose files were missing, although the base has them and the dictionary still
/// contained them. lsnap doesn't create such a backup; restoring one would hide that the tables
/// were lost.
fn lost(base: &Manifest, member: &Manifest) -> Vec<Problem> {
    let spaces = base.files.iter().filter_map(|file| file.role.space());
    let had: HashSet<SpaceId> = spaces.map(|space| space.space_id).collect();
    let lost = member
        .missing_tables()
        .filter(|space| had.contains(&space.space_id));
    lost.map(|space| {
        Problem::new(
            ProblemKind::Chain,
            member.name.as_str(),
            format!(
                "no tablespace {} (space {}), which its base has",
                space.name, space.space_id
            ),
            "every tablespace of the base that was not dropped",
        )
    })
    .collect()
}
