//! From a socket to a stream that HTTP is spoken on.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::socket::Socket;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What HTTP is spoken on.
pub(crate) type Stream = Either<Socket, TlsStream<Socket>>;

/// The TLS configuration of the moment. It is asked at each handshake, so that certificates can be replaced (rotated)
/// while the process runs; connections that exist keep what they were made with. Whether clients must show a
/// certificate (mutual TLS), and the versions of HTTP that are offered (ALPN), are part of the configuration.
pub type ConfigSource = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// How a server takes in connections.
#[derive(Clone)]
pub enum Acceptor {
    /// TCP as it is.
    Plain,
    /// TLS. A handshake may take 5 seconds.
    Tls(ConfigSource),
}

/// Why a client got no connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client was silent, or too slow.
    #[error("no TLS handshake within {HANDSHAKE_TIMEOUT:?}")]
    Timeout,
    /// One side refused the other, or the client went away.
    #[error("the TLS handshake failed")]
    Failed(#[from] io::Error),
}

impl HandshakeError {
    /// As a label.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tls() { "Tls" } else { "Plain" })
    }
}

impl Acceptor {
    /// TLS with what `config` says at each handshake.
    pub fn tls(config: impl Fn() -> Arc<ServerConfig> + Send + Sync + 'static) -> Self {
        Self::Tls(Arc::new(config))
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    pub(crate) async fn accept(&self, socket: Socket) -> Result<Stream, HandshakeError> {
        let Self::Tls(config) = self else { return Ok(Either::Left(socket)) };
        let handshake = TlsAcceptor::from(config()).accept(socket);
        match timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(stream) => Ok(Either::Right(stream?)),
            Err(_elapsed) => Err(HandshakeError::Timeout),
        }
    }
}

/// What the client showed, verified by the handshake.
pub(crate) fn certificate(stream: &Stream) -> Option<&CertificateDer<'static>> {
    let Either::Right(tls) = stream else { return None };
    tls.get_ref().1.peer_certificates()?.first()
}
