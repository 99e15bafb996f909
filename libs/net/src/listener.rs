//! Where clients come in.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};

use crate::acceptor::Acceptor;

/// Where clients come in, and what they speak before HTTP.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// Plain, or TLS.
    pub acceptor: Acceptor,
}

/// How a client came in.
#[derive(Clone, Copy, Debug)]
pub struct Connected<'a> {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The certificate that the client showed, verified by the handshake; always `None` without mutual TLS.
    pub certificate: Option<&'a CertificateDer<'static>>,
}

/// The next connection at any of them. Nothing is lost when it is dropped.
pub(crate) async fn next_of(listeners: &[Listener]) -> io::Result<(TcpStream, &Acceptor)> {
    poll_fn(|task| {
        for Listener { tcp, acceptor } in listeners {
            if let Poll::Ready(accepted) = tcp.poll_accept(task) {
                return Poll::Ready(accepted.map(|(stream, _)| (stream, acceptor)));
            }
        }
        Poll::Pending
    })
    .await
}
