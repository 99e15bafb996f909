//! The calling side: a [`Channel`] to a service by name, used with the generated clients.
//!
//! It is the one layer that retries. A call is sent again when that cannot do harm (the method
//! is marked idempotent, or nothing of the call ever reached a server), at most twice, after a
//! random pause, within the call's deadline, and under a budget: retries never add more than a
//! tenth to the load of a service that is failing (no retry storm). A call that is still UNAVAILABLE carries
//! `grpc-retry-pushback-ms: -1`, so that no caller above retries it ([`status::given_up`](crate::status)).
//!
//! These policies know nothing of HTTP/2 or TLS: that is a [`Transport`].

mod payload;
mod transport;
mod http2;
mod endpoint;
mod balance;
mod budget;
mod streamed;
mod policy;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;

use crate::Identity;
use policy::Shared;

pub use http2::Http2;
pub use payload::Payload;
pub use transport::{Connection, Failure, Transport};

/// Where a service can be reached: `host:port`, several separated by commas. A host may resolve
/// to many addresses; each is an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets(Arc<[(String, u16)]>);

/// Text that is no list of `host:port`.
#[derive(Debug, thiserror::Error)]
#[error("expected host:port, several separated by commas, but found {0:?}")]
pub struct BadTargets(String);

impl FromStr for Targets {
    type Err = BadTargets;

    fn from_str(text: &str) -> Result<Self, BadTargets> {
        let bad = || BadTargets(text.to_owned());
        let target = |target: &str| {
            let (host, port) = target.trim().rsplit_once(':').ok_or_else(bad)?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let plausible = !host.is_empty() && !host.contains(['/', ' ', '@']);
            let port = port.parse().map_err(|_| bad())?;
            if plausible { Ok((host.to_owned(), port)) } else { Err(bad()) }
        };
        text.split(',').map(target).collect::<Result<_, _>>().map(Self)
    }
}

/// A channel to the service whose certificates say `name`, at `targets`. Returns at once: the
/// connections are made, kept and made again in the background until the last clone is dropped.
/// Must be called inside a tokio runtime.
pub fn connect(name: &'static str, targets: &Targets, identity: &Identity) -> Channel {
    connect_over(Http2::new(name, identity.clone()), name, targets)
}

/// [`connect`] over another transport, with the same policies.
pub fn connect_over<T: Transport>(
    transport: T,
    name: &'static str,
    targets: &Targets,
) -> Channel<T> {
    let shared = Shared::new(name, Arc::clone(&targets.0), transport);
    Channel { shared: Arc::new(shared), streaming: false }
}

/// A channel to a service, for the generated clients: `CartServiceClient::new(channel)`. Clones
/// share connections.
pub struct Channel<T: Transport = Http2> {
    shared: Arc<Shared<T>>,
    streaming: bool,
}

impl<T: Transport> Channel<T> {
    /// The same channel for methods that stream, where the descriptors of the shop do not tell:
    /// nothing is buffered, nothing is retried, and without a deadline of its own a call has none.
    #[must_use]
    pub fn streaming(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), streaming: true }
    }
}

impl<T: Transport> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), streaming: self.streaming }
    }
}

impl<T: Transport> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl<T: Transport> tower::Service<Request<Body>> for Channel<T> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (shared, streaming) = (Arc::clone(&self.shared), self.streaming);
        Box::pin(async move { shared.call(request, streaming).await })
    }
}
