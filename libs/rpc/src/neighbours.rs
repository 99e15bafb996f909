//! Services that run in one process, and call each other without a network.
//!
//! A process that runs several of them gives each to [`Neighbours::run`]. A channel from one to another then hands its
//! requests to that one's stack: messages are framed as ever, but there is no socket, no TLS and no HTTP/2. Who may call what,
//! limits, deadlines, retries, spans and metrics are the same, and each still serves callers elsewhere on its port.
//! What is not run here is called over the network. ADR 0007 says what for.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::Peer;
use crate::server::Stack;

tokio::task_local! {
    static OURS: Neighbours;
}

/// The services of one process by their names. Clones are the same.
#[derive(Clone)]
pub struct Neighbours(Arc<BTreeMap<&'static str, watch::Sender<Option<Arc<Stack>>>>>);

impl std::fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Neighbours {
    /// Services that will run here, by the names in their certificates.
    pub fn new(names: impl IntoIterator<Item = &'static str>) -> Self {
        Self(Arc::new(names.into_iter().map(|name| (name, watch::Sender::new(None))).collect()))
    }

    /// Runs a service, or a caller of them. An [`Identity`](crate::Identity) that is loaded by `run` calls the others here, and serves them.
    pub async fn run<F: Future>(&self, run: F) -> F::Output {
        OURS.scope(self.clone(), run).await
    }

    /// Returns when each of them serves.
    pub async fn all_serve(&self) {
        for service in self.0.values() {
            let _ = service.subscribe().wait_for(Option::is_some).await; // the sender is ours
        }
    }

    /// Those that whoever asks was run with.
    pub(crate) fn ours() -> Option<Self> {
        OURS.try_with(Clone::clone).ok()
    }

    /// A service begins to answer, until the guard is dropped.
    pub(crate) fn serve(&self, name: &str, stack: &Arc<Stack>) -> Option<Serving> {
        let (name, service) = self.0.get_key_value(name)?;
        service.send_replace(Some(Arc::clone(stack)));
        Some(Serving { neighbours: self.clone(), name })
    }

    /// A service that runs here, for `caller`. An error: it does not serve now.
    pub(crate) fn find(&self, name: &str, caller: &Peer) -> Option<Result<Neighbour, NotServing>> {
        let mut changes = self.0.get(name)?.subscribe();
        let stack = changes.borrow_and_update().clone();
        Some(
            stack
                .map(|stack| Neighbour { stack, caller: caller.clone(), changes })
                .ok_or(NotServing),
        )
    }
}

/// It starts, or stops.
#[derive(Debug, thiserror::Error)]
#[error("it runs in this process, and does not serve now")]
pub(crate) struct NotServing;

/// While it lives, neighbours find the service.
pub(crate) struct Serving {
    neighbours: Neighbours,
    name: &'static str,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(service) = self.neighbours.0.get(self.name) {
            service.send_replace(None);
        }
    }
}

/// A service in this process, as one caller sees it.
#[derive(Clone)]
pub(crate) struct Neighbour {
    pub(crate) stack: Arc<Stack>,
    pub(crate) caller: Peer,
    changes: watch::Receiver<Option<Arc<Stack>>>,
}

impl Neighbour {
    /// Whether it takes no more calls.
    pub(crate) fn is_gone(&self) -> bool {
        self.changes.has_changed().unwrap_or(true)
    }

    /// Returns when it takes no more calls.
    pub(crate) async fn gone(mut self) {
        let _ = self.changes.changed().await; // or whoever could say so is gone
    }
}
