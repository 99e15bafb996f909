//! The bodies that go out: a whole message, which can be sent again, or a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

/// The body of a request, as it is handed to a [`Transport`](super::Transport).
#[derive(Debug)]
pub struct Payload(Content);

#[derive(Debug)]
enum Content {
    /// A unary request, framed by tonic; `None` once sent.
    Message(Option<Bytes>),
    /// Anything else.
    Streamed(Body),
}

impl Payload {
    pub(super) fn message(message: Bytes) -> Self {
        Self(Content::Message(Some(message)))
    }

    pub(super) fn streamed(body: Body) -> Self {
        Self(Content::Streamed(body))
    }
}

impl HttpBody for Payload {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut self.0 {
            Content::Message(message) => Poll::Ready(message.take().map(|m| Ok(Frame::data(m)))),
            Content::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Message(message) => message.is_none(),
            Content::Streamed(body) => body.is_end_stream(),
        }
    }
}
