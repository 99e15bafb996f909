//! The end of a process, as everyone in it sees it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// The request to stop, in two steps: *draining* (no longer ready, but still serving, until load balancers have noticed)
/// and *requested* (finish the work in flight and return). Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    requested: CancellationToken,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
}

impl Shutdown {
    /// Of a process that runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The first step alone: `/readyz` says no from now on.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Both steps: everyone finishes and returns.
    pub fn request(&self) {
        self.draining.cancel();
        self.requested.cancel();
    }

    /// Stops the process because something in it broke; it will exit with `error`. The first error is the one kept.
    pub fn fail(&self, error: anyhow::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.request();
    }

    /// Returns when the process begins to drain.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Returns when it is time to finish.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// Whether the process drains, or more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Whether it is time to finish.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// The second step as a token, for libraries that want one. Cancelling it stops only whoever holds it.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.requested.child_token()
    }

    /// What [`fail`](Self::fail) was called with, once.
    pub(crate) fn take_failure(&self) -> Option<anyhow::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
