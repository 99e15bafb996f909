//! One connection: TCP, TLS with the certificate of the moment, HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::payload::Payload;
use crate::{Identity, metrics};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Also while idle: a peer that vanished is found before a call needs it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Sends requests on a connection; cheap to clone.
pub(super) type Sender = SendRequest<Payload>;
/// Drives a connection; resolves when it takes no more requests.
pub(super) type Driver = Connection<TokioIo<TlsStream<TcpStream>>, Payload, TokioExecutor>;

/// Makes connections to the endpoints of one service.
pub(super) struct Connector {
    name: &'static str,
    identity: Identity,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no connection within {CONNECT_TIMEOUT:?}")]
    Timeout,
    #[error("cannot connect")]
    Io(#[from] io::Error),
    #[error("not a name for a certificate")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
    #[error("HTTP/2 cannot start")]
    Http(#[from] hyper::Error),
}

impl Connector {
    pub(super) fn new(name: &'static str, identity: Identity) -> Self {
        Self { name, identity }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) async fn connect(&self, address: SocketAddr) -> Result<(Sender, Driver), Error> {
        let connection = timeout(CONNECT_TIMEOUT, self.try_connect(address)).await;
        let connection = connection.unwrap_or(Err(Error::Timeout));
        let outcome = if connection.is_ok() { "ok" } else { "failed" };
        metrics::CONNECTS.with_label_values(&[self.name, outcome]).inc();
        connection
    }

    async fn try_connect(&self, address: SocketAddr) -> Result<(Sender, Driver), Error> {
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
        Ok(handshake.await?)
    }
}
