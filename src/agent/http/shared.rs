//! What the handlers share.

use super::api::Api;
use super::limits::Limits;
use super::metrics::recorder::Recorder;
use crate::cancel::Cancel;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) api: Arc<dyn Api>,
    /// Ends the streams of events.
    pub(super) cancel: Cancel,
    pub(super) recorder: Arc<Recorder>,
    /// A permit for each stream of events.
    pub(super) streams: Arc<Semaphore>,
    pub(super) limits: Limits,
}

impl Shared {
    pub(super) fn new(api: Arc<dyn Api>, cancel: Cancel, limits: Limits) -> Self {
        Self {
            api,
            cancel,
            recorder: Arc::default(),
            streams: Arc::new(Semaphore::new(limits.streams)),
            limits,
        }
    }
}
