//! What is below the policies: how a request gets to one address of a service and its answer back.
//!
//! Deadlines, retries and their budget ([`policy`](super::policy)), balancing and back-off
//! ([`balance`](super::balance), [`endpoint`](super::endpoint)) know no more of a transport than this.
//! [`Http2`](super::Http2) is the shop's; `tests/it/transports.rs` runs the same policies over tonic's own `Channel`
//! and over no network at all.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic::Status;

use super::payload::Payload;
use crate::status::BoxError;

/// Makes connections to the addresses of one service.
pub trait Transport: Send + Sync + 'static {
    /// A connection that can be shared.
    type Connection: Connection;

    /// Connects to `address`; this may take as long as it likes, its caller has a limit.
    ///
    /// The future beside the connection drives it: it is polled until it ends, which it does when the connection
    /// takes no more requests. Calls in progress need not be over by then, but must not need it to finish.
    ///
    /// # Errors
    /// Nobody answers there, or it is somebody else.
    fn connect(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = Result<(Self::Connection, impl Future<Output = ()> + Send), BoxError>> + Send;
}

/// A connection; cheap to clone.
pub trait Connection: Clone + Send + Sync + 'static {
    /// The body of an answer. Its error is what a connection that broke off means to the caller.
    type Body: Body<Data = Bytes, Error = Status> + Send + Unpin + 'static;

    /// Whether it takes no more requests.
    fn is_closed(&self) -> bool;

    /// Sends a request; resolves when the head of the answer is there.
    ///
    /// It takes the handle: a transport whose connection ends when its last handle is dropped must drop this one
    /// before it waits.
    fn send(
        self,
        request: Request<Payload>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Failure>> + Send;
}

/// An attempt without an answer.
#[derive(Debug)]
pub struct Failure {
    /// What it means to the caller, if it is the last attempt. Only UNAVAILABLE is tried again.
    pub status: Status,
    /// Certainly no server has seen the request, so that another attempt can do no harm. When in doubt: `false`.
    pub unsent: bool,
}
