//! Repositories and backups, found by their names.

use super::super::error::ApiError;
use crate::agent::status::{RepositoryStatus, Status};
use crate::manifest::BackupName;
use crate::shown::shown;
use crate::store::Listed;
use axum::http::StatusCode;

/// Returns a repository by its name in the configuration; without a name the first one.
pub(super) fn repository<'a>(
    status: &'a Status,
    name: Option<&str>,
) -> Result<&'a RepositoryStatus, ApiError> {
    let all = &status.repositories;
    let found = match name {
        None => all.first(),
        Some(name) => all.iter().find(|repository| repository.name == name),
    };
    found.ok_or_else(|| match name {
        None => ApiError::not_found("the agent has no repository")
            .with_hint("set `[repository]` in the configuration file"),
        Some(name) => {
            let names: Vec<String> = all.iter().map(|r| shown(&r.name).to_string()).collect();
            ApiError::not_found(format!("there is no repository {}", shown(name)))
                .with_hint(format!("use one of: {}", names.join(", ")))
        }
    })
}

/// Returns a backup by its name or the last part of its name, as it was listed last.
pub(super) fn backup<'a>(
    repository: &'a RepositoryStatus,
    name: &str,
) -> Result<&'a Listed, ApiError> {
    let wrong = |error: &dyn ToString| ApiError::arguments(error.to_string());
    BackupName::parse(name).map_err(|error| wrong(&error))?;
    if repository.listed_at.is_none() {
        let why = repository.error.as_deref();
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unreachable",
            format!(
                "{} was not listed yet: {}",
                shown(&repository.name),
                why.unwrap_or("the agent began just now")
            ),
        ));
    }
    let all = repository.listed.iter();
    if let Some(exact) = all.clone().find(|listed| listed.name.as_str() == name) {
        return Ok(exact);
    }
    let mut by_part = all.filter(|listed| listed.name.last_part() == name);
    match (by_part.next(), by_part.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(ApiError::conflict(format!(
            "several backups end with {}",
            shown(name)
        ))
        .with_hint("give the whole name, with `%2F` for `/`")),
        (None, _) => Err(ApiError::not_found(format!(
            "{} has no backup {}",
            shown(&repository.name),
            shown(name)
        ))),
    }
}
