//! The bodies that go out: a whole message, which can be sent again, or a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

/// The body of a request.
pub(super) enum Payload {
    /// A unary request, framed by tonic; `None` once sent.
    Message(Option<Bytes>),
    /// Anything else.
    Streamed(Body),
}

impl HttpBody for Payload {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self {
            Self::Message(message) => Poll::Ready(message.take().map(|m| Ok(Frame::data(m)))),
            Self::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Message(message) => message.is_none(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }
}
