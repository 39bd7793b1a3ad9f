//! Backups: listed, shown, deleted, pinned.

use super::super::error::{ApiError, ErrorDocument};
use super::super::shared::Shared;
use super::backup_view::BackupView;
use super::command;
use super::jobs::begin;
use super::repositories::{backup, repository};
use super::request::Reference;
use crate::agent::jobs::Job;
use crate::counted::count;
use crate::store::{Listed, chain_groups};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The repository.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryQuery {
    /// The repository, by its name in the configuration [default: the first one].
    repository: Option<String>,
}

type Asked<T> = Result<Query<T>, QueryRejection>;

/// The backups of a repository.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BackupsDocument {
    /// The repository.
    repository: String,
    /// When it was listed; null: not yet.
    listed_at: Option<DateTime<Utc>>,
    /// Why it couldn't be listed lately: `backups` is older then.
    error: Option<String>,
    /// The backups, chain after chain, each full backup before its incrementals.
    backups: Vec<BackupView>,
}

/// List the backups
///
/// As the agent listed the repository last: after each of its jobs, and regularly.
#[utoipa::path(get, path = "/v1/backups", tag = "backups", params(RepositoryQuery), responses(
    (status = 200, description = "The backups", body = BackupsDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    query: Asked<RepositoryQuery>,
) -> Result<Json<BackupsDocument>, ApiError> {
    let status = shared.api.status();
    let found = repository(&status, query?.repository.as_deref())?;
    Ok(Json(BackupsDocument {
        repository: found.name.clone(),
        listed_at: found.listed_at,
        error: found.error.clone(),
        backups: BackupView::all(&found.listed),
    }))
}

/// Show a backup
#[utoipa::path(get, path = "/v1/backups/{name}", tag = "backups", params(("name" = String, Path, description = "The name, with `%2F` for `/`, or the last part of the name"), RepositoryQuery), responses(
    (status = 200, description = "The backup", body = BackupView),
    (status = 404, description = "There is no such backup", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn show(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    query: Asked<RepositoryQuery>,
) -> Result<Json<BackupView>, ApiError> {
    let status = shared.api.status();
    let repository = repository(&status, query?.repository.as_deref())?;
    let found = backup(repository, &name)?.name.to_string();
    let mut all = BackupView::all(&repository.listed).into_iter();
    let view = all.find(|view| view.name == found);
    view.map(Json)
        .ok_or_else(|| ApiError::not_found(format!("there is no backup {found}")))
}

/// How a backup is deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteQuery {
    /// The repository, by its name in the configuration [default: the first one].
    repository: Option<String>,
    /// Delete the backups that need it first.
    #[serde(default)]
    #[param(required = false)]
    cascade: bool,
    /// Report what would be deleted, delete nothing.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// Delete a backup
///
/// A backup that others need is deleted only with them (`cascade`), a pinned one not at all. The job checks it again.
#[utoipa::path(delete, path = "/v1/backups/{name}", tag = "backups", params(("name" = String, Path, description = "The name, with `%2F` for `/`, or the last part of the name"), DeleteQuery), responses(
    (status = 202, description = "The job of the deletion", body = Job),
    (status = 404, description = "There is no such backup", body = ErrorDocument),
    (status = 409, description = "Others need it, or its chain is pinned", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn delete(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    query: Asked<DeleteQuery>,
) -> Result<Response, ApiError> {
    let query = query?.0;
    let status = shared.api.status();
    let found = repository(&status, query.repository.as_deref())?;
    let one = backup(found, &name)?;
    if one.pinned && !query.dry_run {
        return Err(
            ApiError::conflict(format!("the chain of {} is pinned", one.name))
                .with_hint("remove the pin with DELETE /v1/backups/NAME/pin"),
        );
    }
    let needing = needing(&found.listed, one);
    if needing > 0 && !query.cascade {
        return Err(ApiError::conflict(format!(
            "{} must be deleted before {}, because a restore needs both",
            count(needing, "backup"),
            one.name
        ))
        .with_hint("set `cascade=true` to delete them too"));
    }
    let reference = reference(one)?;
    let spec = command::delete(&reference, found.name.clone(), query.cascade, query.dry_run);
    begin(&shared, spec)
}

/// Returns the number of backups that must be deleted before this one.
fn needing(listed: &[Listed], one: &Listed) -> usize {
    let groups = chain_groups(listed);
    let group = groups
        .iter()
        .find(|group| group.members().any(|member| member.name == one.name));
    group.map_or(0, |group| group.needing(one).len())
}

/// Returns the whole name of a backup for the argument of a command.
fn reference(backup: &Listed) -> Result<Reference, ApiError> {
    Reference::parse(backup.name.as_str()).map_err(ApiError::arguments)
}

/// Pin the chain of a backup
///
/// Retention and deletions skip a pinned chain.
#[utoipa::path(put, path = "/v1/backups/{name}/pin", tag = "backups", params(("name" = String, Path, description = "The name, with `%2F` for `/`, or the last part of the name"), RepositoryQuery), responses(
    (status = 202, description = "The job that pins the chain", body = Job),
    (status = 404, description = "There is no such backup", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn pin(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    query: Asked<RepositoryQuery>,
) -> Result<Response, ApiError> {
    set_pin(&shared, &name, query?.repository.as_deref(), true)
}

/// Remove the pin of a chain
#[utoipa::path(delete, path = "/v1/backups/{name}/pin", tag = "backups", params(("name" = String, Path, description = "The name, with `%2F` for `/`, or the last part of the name"), RepositoryQuery), responses(
    (status = 202, description = "The job that removes the pin", body = Job),
    (status = 404, description = "There is no such backup", body = ErrorDocument),
    (status = "default", description = "The request was refused", body = ErrorDocument),
))]
pub(super) async fn unpin(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    query: Asked<RepositoryQuery>,
) -> Result<Response, ApiError> {
    set_pin(&shared, &name, query?.repository.as_deref(), false)
}

fn set_pin(shared: &Shared, name: &str, of: Option<&str>, pin: bool) -> Result<Response, ApiError> {
    let status = shared.api.status();
    let found = repository(&status, of)?;
    let reference = reference(backup(found, name)?)?;
    begin(shared, command::pin(&reference, found.name.clone(), pin))
}
