//! What the page, the metrics and the API show: the repositories and the server as they were found last.
//!
//! One thread looks: every `refresh`, and after a job that changed a repository.

use super::loaded::{Current, Loaded};
use super::status::{RepositoryStatus, ServerStatus, Status};
use crate::cancel::Cancel;
use crate::locked::Locked;
use crate::server::Server;
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The longest wait for an answer of the server.
const ANSWER: Duration = Duration::from_secs(10);

/// The state of an agent. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    current: Current,
    started_at: DateTime<Utc>,
    found: Mutex<Found>,
    /// Ends the wait for the next look.
    wake: Mutex<Cancel>,
}

#[derive(Debug, Default)]
struct Found {
    server: Option<ServerStatus>,
    repositories: Vec<RepositoryStatus>,
}

impl Board {
    /// Creates the board of an agent. Nothing was looked at yet.
    pub(crate) fn new(current: Current) -> Self {
        let repositories = unseen(&current.get());
        Self(Arc::new(Shared {
            current,
            started_at: Utc::now(),
            found: Mutex::new(Found {
                server: None,
                repositories,
            }),
            wake: Mutex::default(),
        }))
    }

    /// Returns the server as it was found last.
    pub(crate) fn server(&self) -> Option<ServerStatus> {
        self.0.found.locked().server.clone()
    }

    /// Returns the server and the repositories as they were found last.
    pub(crate) fn status(&self, shutting_down: bool) -> Arc<Status> {
        let found = self.0.found.locked();
        let (server, repositories) = (found.server.clone(), found.repositories.clone());
        drop(found);
        Arc::new(Status {
            name: self.0.current.get().settings.name.clone(),
            started_at: self.0.started_at,
            at: Utc::now(),
            shutting_down,
            server,
            repositories,
        })
    }

    /// Looks at the repositories and the server soon.
    pub(crate) fn refresh_soon(&self) {
        self.0.wake.locked().cancel();
    }

    /// Looks at the server now.
    pub(crate) fn look_now(&self) {
        self.look_at_server(&self.0.current.get());
    }

    /// Looks at the repositories and the server until `cancel` is cancelled.
    pub(crate) fn run(&self, cancel: &Cancel) {
        while !cancel.is_cancelled() {
            // Before the look: a request meanwhile is a request for another look.
            let wake = cancel.child();
            *self.0.wake.locked() = wake.clone();
            let loaded = self.0.current.get();
            self.look(&loaded, cancel);
            let _woken = wake.wait(loaded.settings.refresh);
        }
    }

    fn look_at_server(&self, loaded: &Loaded) {
        let server = loaded.server.as_ref().map(|options| server(options()));
        self.0.found.locked().server = server;
    }

    fn look(&self, loaded: &Loaded, cancel: &Cancel) {
        self.look_at_server(loaded);
        let mut found = Vec::new();
        for before in self.repositories(loaded) {
            if cancel.is_cancelled() {
                return;
            }
            found.push(listed(loaded, before));
        }
        self.0.found.locked().repositories = found;
    }

    /// Returns the configured repositories, as they were found last.
    fn repositories(&self, loaded: &Loaded) -> Vec<RepositoryStatus> {
        let found = self.0.found.locked();
        let known = |new: RepositoryStatus| {
            let mut known = found.repositories.iter();
            let known = known.find(|old| old.name == new.name && old.url == new.url);
            known.cloned().unwrap_or(new)
        };
        unseen(loaded).into_iter().map(known).collect()
    }
}

/// Returns the configured repositories, before a look at them.
fn unseen(loaded: &Loaded) -> Vec<RepositoryStatus> {
    let settings = &loaded.settings;
    let names = settings.repositories.iter();
    let of = |name: &String| RepositoryStatus {
        name: name.clone(),
        url: settings.places.shown(name),
        listed_at: None,
        listed: Arc::default(),
        error: None,
    };
    names.map(of).collect()
}

fn listed(loaded: &Loaded, before: RepositoryStatus) -> RepositoryStatus {
    let opened = (loaded.repository)(Some(&before.name));
    let listed = opened.and_then(|it| it.list().map_err(|error| error.to_string()));
    match listed {
        Ok(listed) => RepositoryStatus {
            listed_at: Some(Utc::now()),
            listed: Arc::new(listed),
            error: None,
            ..before
        },
        Err(error) => {
            if before.error.as_ref() != Some(&error) {
                tracing::warn!("repository {}: {error}", before.name);
            }
            RepositoryStatus {
                error: Some(error),
                ..before
            }
        }
    }
}

fn server(options: Result<crate::server::ConnectOptions, String>) -> ServerStatus {
    let mut replica = None;
    let reached = options.and_then(|options| {
        let text = |error: crate::server::ServerError| error.to_string();
        let mut server = Server::connect_with_limit(&options, ANSWER).map_err(text)?;
        let identity = server.identity().map_err(text)?;
        // Without the privilege, it is only not known.
        replica = server.replica_lag().unwrap_or_default();
        Ok(identity.version_string)
    });
    ServerStatus {
        at: Utc::now(),
        reached,
        replica,
    }
}
