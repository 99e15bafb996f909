//! A TCP connection that is not closed under its peer's feet.
//!
//! When a server says goodbye, calls that the client had sent a moment earlier may still lie
//! unread in the kernel. Closing the socket then makes it answer with a reset, which wipes the
//! goodbye from the client's buffers: the client never learns that those calls were not begun,
//! and may not repeat them. So after an orderly end the socket is kept, and read to its end.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The client has the goodbye and closes its end within a round trip.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// A socket that leaves itself to its [`Remains`] when it was shut down before it is dropped.
pub(super) struct Socket {
    /// Always there until the drop.
    tcp: Option<TcpStream>,
    shut_down: bool,
    remains: Remains,
}

/// What is left of a [`Socket`].
#[derive(Clone, Default)]
pub(super) struct Remains(Arc<Mutex<Option<TcpStream>>>);

impl Remains {
    /// Reads what the client still had to say, until it closes its end.
    pub(super) async fn drain(self) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut tcp) = left else { return };
        let mut ignored = [0; 4096];
        let to_the_end = async { while let Ok(1..) = tcp.read(&mut ignored).await {} };
        let _ = timeout(LINGER_MAX, to_the_end).await;
    }
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> (Self, Remains) {
        let remains = Remains::default();
        (Self { tcp: Some(tcp), shut_down: false, remains: remains.clone() }, remains)
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.tcp.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.shut_down {
            *self.remains.0.lock().unwrap_or_else(PoisonError::into_inner) = self.tcp.take();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.tcp()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.tcp()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tcp()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down = true;
        self.tcp()?.poll_shutdown(cx)
    }
}
