//! What the page, the metrics and the API show, in one place: the agent, its server, its repositories.

use crate::store::Listed;
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// What is known at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    /// The name of the agent.
    pub name: String,
    /// When the agent began.
    pub started_at: DateTime<Utc>,
    /// The moment.
    pub at: DateTime<Utc>,
    /// Whether the agent ends.
    pub shutting_down: bool,
    /// The server that is backed up; none is configured for a janitor.
    pub server: Option<ServerStatus>,
    /// The repositories.
    pub repositories: Vec<RepositoryStatus>,
}

/// The server, when it was asked last.
#[derive(Debug, Clone)]
pub(crate) struct ServerStatus {
    /// When it was asked.
    pub at: DateTime<Utc>,
    /// Its version, or why it wasn't reached.
    pub reached: Result<String, String>,
    /// Whether it is a replica, and its lag in seconds if it is known.
    pub replica: Option<Option<u64>>,
}

/// A repository, when it was listed last.
#[derive(Debug, Clone)]
pub(crate) struct RepositoryStatus {
    /// Its name in the configuration, or its URL.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// When it was listed with success.
    pub listed_at: Option<DateTime<Utc>>,
    /// What was found then.
    pub listed: Arc<Vec<Listed>>,
    /// Why the last try failed.
    pub error: Option<String>,
}
