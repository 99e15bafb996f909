//! The in-process transport: services that run in one process call each other without a network.
//!
//! A process that runs several of them gives each to [`InProcess::run`]. A channel from one to another then hands its
//! requests to that one's stack: messages are framed as ever, but there is no socket, no TLS and no HTTP/2. Who may call what,
//! limits, deadlines, retries, spans and metrics are the same, a call has a task of its own, and a server that stops waits for
//! it. Only the body of a streamed answer is its caller's to poll: after a stop it ends at the next poll.
//! Each still serves callers elsewhere on its port, and what does not run here is called over the network.
//! ADR 0007 says what for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::body::Body;

use crate::Peer;
use crate::client::{Failure, Payload};
use crate::server::Stack;
use crate::status::lost;

tokio::task_local! {
    static OURS: InProcess;
}

/// The services of one process by their names. Clones are the same.
#[derive(Clone)]
pub struct InProcess(Arc<BTreeMap<&'static str, watch::Sender<Option<Open>>>>);

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A service that answers.
#[derive(Clone)]
struct Open {
    stack: Arc<Stack>,
    calls: TaskTracker,
    /// Calls that are still in progress are cut off.
    cut: CancellationToken,
}

impl InProcess {
    /// Services that will run here, by the names in their certificates.
    pub fn new(names: impl IntoIterator<Item = &'static str>) -> Self {
        Self(Arc::new(names.into_iter().map(|name| (name, watch::Sender::new(None))).collect()))
    }

    /// Runs a service, or a caller of them. An [`Identity`](crate::Identity) that is loaded by `run` calls the others here, and
    /// serves them.
    pub async fn run<F: Future>(&self, run: F) -> F::Output {
        OURS.scope(self.clone(), run).await
    }

    /// Returns when each of them serves.
    pub async fn all_serve(&self) {
        for (name, service) in &*self.0 {
            tracing::info!(service = name, "waiting until it serves");
            let _ = service.subscribe().wait_for(Option::is_some).await; // the sender is ours
        }
    }

    /// Those that whoever asks was run with.
    pub(crate) fn ours() -> Option<Self> {
        OURS.try_with(Clone::clone).ok()
    }

    /// A service begins to answer. Nothing, if it is none of those that were named.
    pub(crate) fn serve(&self, name: &str, stack: &Arc<Stack>) -> Option<Serving> {
        let Some((name, service)) = self.0.get_key_value(name) else {
            tracing::warn!(name, "it runs in this process, and nobody here calls it by this name");
            return None;
        };
        let open = Open {
            stack: Arc::clone(stack),
            calls: TaskTracker::new(),
            cut: CancellationToken::new(),
        };
        service.send_replace(Some(open.clone()));
        let cut = open.cut.clone().drop_guard();
        Some(Serving { all: self.clone(), name, calls: open.calls, _cut: cut })
    }

    /// A service that runs here, for `caller`. An error: it does not serve now.
    pub(crate) fn find(&self, name: &str, caller: &Peer) -> Option<Result<Server, NotServing>> {
        let mut changes = self.0.get(name)?.subscribe();
        let Some(open) = changes.borrow_and_update().clone() else { return Some(Err(NotServing)) };
        let (caller, released) = (caller.clone(), CancellationToken::new());
        let held = Arc::new(released.clone().drop_guard());
        Some(Ok(Server { open, caller, changes, released, _held: held }))
    }
}

/// It starts, or stops.
#[derive(Debug, thiserror::Error)]
#[error("it runs in this process, and does not serve now")]
pub(crate) struct NotServing;

/// While it lives, the service is found by others of its process.
pub(crate) struct Serving {
    all: InProcess,
    name: &'static str,
    calls: TaskTracker,
    /// A server that is dropped, rather than drained, drops its calls.
    _cut: DropGuard,
}

impl Serving {
    /// Takes no more calls, lets those in progress finish within `max_drain`, and cuts off the rest.
    pub(crate) async fn drain(self, max_drain: Duration) {
        self.refuse();
        self.calls.close();
        if timeout(max_drain, self.calls.wait()).await.is_err() {
            tracing::warn!(left = self.calls.len(), "cutting off calls that did not drain");
        }
        let calls = self.calls.clone();
        drop(self);
        calls.wait().await;
    }

    fn refuse(&self) {
        if let Some(service) = self.all.0.get(self.name) {
            service.send_replace(None);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// A service in this process, as one caller sees it. It is a connection: clones are the same.
#[derive(Clone)]
pub(crate) struct Server {
    open: Open,
    caller: Peer,
    changes: watch::Receiver<Option<Open>>,
    released: CancellationToken,
    _held: Arc<DropGuard>,
}

impl Server {
    /// Whether it takes no more calls.
    pub(crate) fn is_gone(&self) -> bool {
        self.changes.has_changed().unwrap_or(true)
    }

    /// Returns when it takes no more calls, or the last clone is dropped.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut changes, released) = (self.changes.clone(), self.released.clone());
        async move {
            tokio::select! {
                _ = changes.changed() => {} // or whoever could say so is gone
                () = released.cancelled() => {}
            }
        }
    }

    /// Calls it, in a task that ends with this future.
    pub(crate) async fn call(self, request: Request<Payload>) -> Result<Response<Body>, Failure> {
        // First: a drain that begins after the check below then waits for this call.
        let waited_for = self.open.calls.token();
        let lost = |unsent| Failure { status: lost("the service has stopped"), unsent };
        if self.is_gone() {
            return Err(lost(true));
        }
        let Self { open: Open { stack, calls, cut }, caller, .. } = self;
        let answer = cut.run_until_cancelled_owned(stack.answer(caller, request));
        let answer = AbortOnDropHandle::new(calls.spawn(answer));
        drop(waited_for);
        answer.await.ok().flatten().ok_or_else(|| lost(false))
    }
}
