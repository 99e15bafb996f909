//! The shop's transport: TCP, TLS with the certificate of the moment, and HTTP/2 by hyper; nothing of these to a service in
//! this process.

use std::error::Error as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use futures_util::{FutureExt as _, TryFutureExt as _};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use hyper::body::Incoming;
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
use crate::in_process;
use crate::status::{BoxError, Chain, lost};

/// Also while idle: a peer that vanished is found before a call needs it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// HTTP/2 over mutual TLS, or the [in-process transport](crate::InProcess) to a service that runs here.
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
        if let Some(server) = self.identity.in_process(self.name) {
            let server = server?;
            let gone = server.gone();
            return Ok((Link(Way::InProcess(server)), Either::Left(gone)));
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
    InProcess(in_process::Server),
}

impl Connection for Link {
    type Body = Answer;

    fn is_closed(&self) -> bool {
        match &self.0 {
            Way::Network(sender) => sender.is_closed(),
            Way::InProcess(server) => server.is_gone(),
        }
    }

    fn send(
        self,
        request: Request<Payload>,
    ) -> impl Future<Output = Result<Response<Answer>, Failure>> + Send {
        match self.0 {
            Way::Network(sender) => Either::Left(over_network(sender, request)),
            Way::InProcess(server) => {
                Either::Right(server.call(request).map_ok(|it| it.map(Answer::InProcess)))
            }
        }
    }
}

/// The body of an answer.
pub enum Answer {
    /// From a connection.
    Network(Incoming),
    /// From a service in this process.
    InProcess(Body),
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.get_mut() {
            Self::Network(body) => Pin::new(body).poll_frame(cx).map_err(broken_off),
            Self::InProcess(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Network(body) => body.is_end_stream(),
            Self::InProcess(body) => body.is_end_stream(),
        }
    }
}

fn over_network(
    mut sender: SendRequest<Payload>,
    request: Request<Payload>,
) -> impl Future<Output = Result<Response<Answer>, Failure>> + Send {
    let sent = sender.try_send_request(request);
    // The sender goes before the wait. A request that is handed over in the moment in which its connection ends
    // stays in the channel between the two, and is given back only when the last sender is gone: whoever waits
    // with a sender in hand waits for himself, until the deadline.
    drop(sender);
    sent.map(|answered| {
        let answer = answered.map_err(failure)?;
        Ok(answer.map(Answer::Network))
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
