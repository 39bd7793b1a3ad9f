//! What an agent was configured with: its settings, and the ways to its repositories and its server.

use super::settings::Settings;
use crate::locked::Locked;
use crate::server::ConnectOptions;
use crate::store::Repository;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Opens a repository by its name or URL; the configured one without. Credentials are read anew each time.
pub(crate) type OpenRepository = dyn Fn(Option<&str>) -> Result<Repository, String> + Send + Sync;
/// Returns the options of the server. The password is read anew each time.
pub(crate) type ServerOptions = dyn Fn() -> Result<ConnectOptions, String> + Send + Sync;

/// A configuration that was loaded.
#[derive(Clone)]
pub(crate) struct Loaded {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Opens a repository.
    pub repository: Arc<OpenRepository>,
    /// Returns the options of the server; none without a server.
    pub server: Option<Arc<ServerOptions>>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The configuration that was loaded last. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Current(Arc<Mutex<Loaded>>);

impl Current {
    pub(crate) fn new(loaded: Loaded) -> Self {
        Self(Arc::new(Mutex::new(loaded)))
    }

    /// Returns the configuration as it is now.
    pub(crate) fn get(&self) -> Loaded {
        self.0.locked().clone()
    }

    /// Replaces it.
    pub(crate) fn set(&self, loaded: Loaded) {
        *self.0.locked() = loaded;
    }
}
