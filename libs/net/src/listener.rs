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

/// The next connection at any of them, asked from the one whose `turn` it is: a flood at one does not starve the others.
/// Nothing is lost when it is dropped.
pub(crate) async fn next_of(
    listeners: &[Listener],
    turn: usize,
) -> io::Result<(TcpStream, &Acceptor)> {
    let count = listeners.len().max(1);
    poll_fn(|task| {
        for Listener { tcp, acceptor } in listeners.iter().cycle().skip(turn % count).take(count) {
            if let Poll::Ready(accepted) = tcp.poll_accept(task) {
                return Poll::Ready(accepted.map(|(stream, _)| (stream, acceptor)));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_at_one_listener_does_not_starve_another() {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (flooded, other) = (bind().await.unwrap(), bind().await.unwrap());
        let addresses = [&flooded, &flooded, &flooded, &other].map(|tcp| tcp.local_addr().unwrap());
        let mut clients = Vec::new();
        for address in addresses {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let listeners = [flooded, other].map(|tcp| Listener { tcp, acceptor: Acceptor::Plain });
        let mut accepted = Vec::new();
        for turn in 0..2 {
            let (stream, _) = next_of(&listeners, turn).await.unwrap();
            accepted.push(stream.local_addr().unwrap());
        }
        assert_eq!(accepted, [addresses[0], addresses[3]]);
    }
}
