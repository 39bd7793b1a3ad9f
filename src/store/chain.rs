//! Which backups belong together, and which one may be continued.

use super::{
    BackupKind, BackupName, Listed, ListedState, Manifest, Repository, StoreError, Summary,
};

impl Repository {
    /// The backup that a person means: its whole name, its last part, or `latest` (the newest
    /// finished one).
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Ambiguous`].
    pub fn resolve(&self, text: &str) -> Result<BackupName, StoreError> {
        let listed = self.list()?;
        let absent = || StoreError::NotFound {
            name: text.to_owned(),
            url: self.url().to_owned(),
        };
        if text == "latest" {
            let newest = listed
                .iter()
                .filter_map(|l| l.finished().map(|s| (s.finished_at, &l.name)))
                .max();
            return newest.map(|(_, name)| name.clone()).ok_or_else(absent);
        }
        let text = text.trim_end_matches('/');
        if let Some(exact) = listed.iter().find(|l| l.name.as_ref() == text) {
            return Ok(exact.name.clone());
        }
        let found: Vec<_> = listed
            .iter()
            .filter(|l| l.name.last_part() == text)
            .collect();
        match found[..] {
            [] => Err(absent()),
            [one] => Ok(one.name.clone()),
            _ => Err(StoreError::Ambiguous {
                name: text.to_owned(),
                found: found
                    .iter()
                    .map(|l| l.name.as_ref())
                    .collect::<Vec<_>>()
                    .join(" or "),
            }),
        }
    }

    /// The manifests that a restore of `name` needs: the full backup first, `name` last.
    ///
    /// # Errors
    /// Whatever makes the chain unusable: a member that is missing, unfinished or damaged, of another
    /// server, or that doesn't begin where the one before it ends.
    pub fn chain_of(&self, name: &BackupName) -> Result<Vec<Manifest>, StoreError> {
        let mut chain = vec![self.manifest(name)?];
        while let Some(base) = chain.last().and_then(|m| m.base.clone()) {
            if chain.iter().any(|m| m.name == base.name) {
                return Err(broken(name, format!("{} is its own base", base.name)));
            }
            let found = self.manifest(&base.name).map_err(|error| match error {
                StoreError::NotFound { .. } => {
                    broken(name, format!("its member {} is missing", base.name))
                }
                StoreError::NotFinished { .. } => {
                    broken(name, format!("its member {} is not finished", base.name))
                }
                error => error,
            })?;
            if let Some(later) = chain.last() {
                check_link(name, &found, later, &base.id)?;
            }
            chain.push(found);
        }
        chain.reverse();
        if chain.first().is_some_and(|m| m.kind != BackupKind::Full) {
            return Err(broken(
                name,
                "it does not begin with a full backup".to_owned(),
            ));
        }
        Ok(chain)
    }

    /// The manifest that the next incremental of server `server_uuid` continues: the newest member of
    /// its newest chain, or of the chain of the full backup `pinned`, or the incremental `pinned` if
    /// nothing continues it yet.
    ///
    /// # Errors
    /// [`StoreError::NoBase`], [`StoreError::NotNewest`], [`StoreError::OtherServer`], and as
    /// [`Self::chain_of`].
    pub fn latest_base(
        &self,
        server_uuid: &str,
        pinned: Option<&str>,
    ) -> Result<Manifest, StoreError> {
        let none = || StoreError::NoBase {
            url: self.url().to_owned(),
            server_uuid: server_uuid.to_owned(),
        };
        let listed = self.list().map_err(|error| match error {
            StoreError::NoRepository { .. } if pinned.is_none() => none(),
            error => error,
        })?;
        let start = match pinned {
            Some(text) => self.resolve(text)?,
            None => listed
                .iter()
                .filter_map(|l| l.finished().map(|s| (s, &l.name)))
                .filter(|(s, _)| s.kind == BackupKind::Full && s.server_uuid == server_uuid)
                .max_by_key(|(s, _)| s.finished_at)
                .map(|(_, name)| name.clone())
                .ok_or_else(none)?,
        };
        let tip = newest_after(&listed, &start)?;
        if start.is_incremental() && tip != start {
            return Err(StoreError::NotNewest {
                name: start.to_string(),
                newer: tip.to_string(),
            });
        }
        // Only a chain that can be restored is worth continuing.
        let mut chain = self.chain_of(&tip)?;
        let base = chain.pop().ok_or_else(none)?;
        if base.server.uuid != server_uuid {
            return Err(StoreError::OtherServer {
                name: base.name.to_string(),
                found: base.server.uuid,
                expected: server_uuid.to_owned(),
            });
        }
        Ok(base)
    }
}

impl Listed {
    /// What is known of a finished backup.
    #[must_use]
    pub fn finished(&self) -> Option<&Summary> {
        match &self.state {
            ListedState::Finished(summary) => Some(summary),
            _ => None,
        }
    }
}

fn broken(name: &BackupName, why: String) -> StoreError {
    StoreError::BrokenChain {
        name: name.to_string(),
        why,
    }
}

/// Whether `later` continues `earlier`.
fn check_link(
    name: &BackupName,
    earlier: &Manifest,
    later: &Manifest,
    id: &str,
) -> Result<(), StoreError> {
    if earlier.id != id {
        return Err(broken(
            name,
            format!(
                "{} is another backup ({}) than the one that {} continues ({id})",
                earlier.name, earlier.id, later.name
            ),
        ));
    }
    if earlier.server.uuid != later.server.uuid {
        return Err(broken(
            name,
            format!(
                "{} is of server {}, {} of {}",
                earlier.name, earlier.server.uuid, later.name, later.server.uuid
            ),
        ));
    }
    if earlier.lsn.to_lsn != later.lsn.from_lsn {
        return Err(StoreError::Gap {
            name: name.to_string(),
            member: later.name.to_string(),
            from: later.lsn.from_lsn,
            base: earlier.name.to_string(),
            to: earlier.lsn.to_lsn,
        });
    }
    Ok(())
}

/// Follows finished continuations from `start` on.
fn newest_after(listed: &[Listed], start: &BackupName) -> Result<BackupName, StoreError> {
    let mut tip = start.clone();
    // A chain can't have more members than there are backups: that ends a circle of damaged ones.
    for _ in 0..=listed.len() {
        let next: Vec<_> = listed
            .iter()
            .filter(|l| {
                l.finished()
                    .and_then(|s| s.base.as_ref())
                    .is_some_and(|b| b.name == tip)
            })
            .collect();
        match next[..] {
            [] => return Ok(tip),
            [one] => tip = one.name.clone(),
            _ => {
                let names = next
                    .iter()
                    .map(|l| l.name.as_ref())
                    .collect::<Vec<_>>()
                    .join(" and ");
                return Err(broken(
                    start,
                    format!("{tip} is continued by {names}: take a full backup"),
                ));
            }
        }
    }
    Err(broken(
        start,
        "its members name each other as base".to_owned(),
    ))
}
