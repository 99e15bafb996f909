//! A TCP connection that notes when bytes come and go, and that lingers: it is not closed while the client may
//! still be sending.
//!
//! When a server says goodbye, requests that the client had sent a moment earlier may still lie unread in the kernel.
//! Closing the socket then makes it answer with a reset, which wipes the goodbye (or the last answer) from the
//! client's buffers: the client never learns that those requests were not begun, and may not repeat them. So after an
//! orderly end the socket is kept, and read to its end (a lingering close, RFC 9112, section 9.6).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::activity::Activity;

/// Timeout of the lingering close: a client that has received the end closes its side within a round trip.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// A socket that leaves itself to its [`Remains`] when it was shut down before it is dropped.
pub(crate) struct Socket {
    /// Always there until the drop.
    tcp: Option<TcpStream>,
    shut_down: bool,
    remains: Remains,
    activity: Arc<Activity>,
}

/// What is left of a [`Socket`].
#[derive(Clone, Default)]
pub(crate) struct Remains(Arc<Mutex<Option<TcpStream>>>);

impl Remains {
    /// Reads and discards what the client still sends, until it closes its end (a lingering close).
    pub(crate) async fn discard_rest(self) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut tcp) = left else { return };
        let _ = timeout(LINGER_MAX, copy(&mut tcp, &mut sink())).await;
    }
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream, activity: Arc<Activity>) -> (Self, Remains) {
        let remains = Remains::default();
        let socket = Self { tcp: Some(tcp), shut_down: false, remains: remains.clone(), activity };
        (socket, remains)
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
        let before = buffer.filled().len();
        let read = ready!(self.tcp()?.poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.activity.read();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(self.tcp()?.poll_write(cx, bytes));
        self.activity.wrote();
        Poll::Ready(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(self.tcp()?.poll_write_vectored(cx, slices));
        self.activity.wrote();
        Poll::Ready(wrote)
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
