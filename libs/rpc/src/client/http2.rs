//! The shop's transport: TCP, TLS with the certificate of the moment, and HTTP/2 by hyper; nothing of these to a service in
//! this process.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::body::Body;

use super::payload::Payload;
use super::transport::{Connection, Failure, Transport};
use crate::Identity;
use crate::neighbours::Neighbour;
use crate::status::{BoxError, Chain, lost};

/// Also while idle: a peer that vanished is found before a call needs it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// HTTP/2 over mutual TLS, or by hand to a service that runs in this process ([`Neighbours`](crate::Neighbours)).
#[derive(Clone, Debug)]
pub struct Http2 {
    name: &'static str,
    identity: Identity,
}

impl Http2 {
    /// To the service whose certificates say `name`.
    pub fn new(name: &'static str, identity: Identity) -> Self {
        Self { name, identity }
    }
}

impl Transport for Http2 {
    type Connection = Link;

    async fn connect(
        &self,
        address: SocketAddr,
    ) -> Result<(Self::Connection, impl Future<Output = ()> + Send), BoxError> {
        if let Some(neighbour) = self.identity.neighbour(self.name) {
            let neighbour = neighbour?;
            return Ok((Link(Way::Neighbour(neighbour.clone())), Either::Left(neighbour.gone())));
        }
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let tls = TlsConnector::from(Arc::clone(&self.identity.client()));
        let tls = tls.connect(ServerName::try_from(self.name)?, tcp).await?;
        let handshake = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(TokioIo::new(tls));
        let (sender, driver) = handshake.await?;
        Ok((Link(Way::Network(sender)), Either::Right(driver.map(drop))))
    }
}

/// A connection, or a service in this process.
#[derive(Clone)]
pub struct Link(Way);

#[derive(Clone)]
enum Way {
    Network(SendRequest<Payload>),
    Neighbour(Neighbour),
}

impl Connection for Link {
    type Body = Body;

    fn is_closed(&self) -> bool {
        match &self.0 {
            Way::Network(sender) => sender.is_closed(),
            Way::Neighbour(neighbour) => neighbour.is_gone(),
        }
    }

    fn send(
        self,
        request: Request<Payload>,
    ) -> impl Future<Output = Result<Response<Body>, Failure>> + Send {
        match self.0 {
            Way::Network(sender) => Either::Left(over_network(sender, request)),
            Way::Neighbour(Neighbour { stack, caller, .. }) => {
                Either::Right(stack.answer(caller, request.map(Body::new)).map(Ok))
            }
        }
    }
}

fn over_network(
    mut sender: SendRequest<Payload>,
    request: Request<Payload>,
) -> impl Future<Output = Result<Response<Body>, Failure>> + Send {
    let sent = sender.try_send_request(request);
    // The sender goes before the wait. A request that is handed over in the moment in which its connection ends
    // stays in the channel between the two, and is given back only when the last sender is gone: whoever waits
    // with a sender in hand waits for himself, until the deadline.
    drop(sender);
    sent.map(|answered| {
        let answer = answered.map_err(failure)?;
        Ok(answer.map(|body| Body::new(body.map_err(broken_off))))
    })
}

fn failure<T>(error: TrySendError<T>) -> Failure {
    let returned = error.message().is_some();
    let error = error.into_error();
    let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    // Reset or sent away before a handler saw it, says the server.
    let turned_away = h2.is_some_and(|error| {
        let reason = error.reason();
        (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
            || (error.is_go_away() && error.is_remote() && reason == Some(h2::Reason::NO_ERROR))
    });
    Failure { status: broken_off(error), unsent: returned || turned_away }
}

/// What a broken connection or stream means to the caller.
fn broken_off(error: hyper::Error) -> Status {
    tracing::debug!(error = %Chain(&error), "a call was lost");
    let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    match h2.filter(|error| error.is_reset()).and_then(h2::Error::reason) {
        Some(h2::Reason::REFUSED_STREAM) | None => lost("the connection was lost"),
        Some(h2::Reason::CANCEL) => Status::cancelled("the server cancelled the call"),
        Some(_) => Status::internal("the stream was reset"),
    }
}
