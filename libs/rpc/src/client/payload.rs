//! Bodies: what goes out (a whole message that can be sent again, or a stream), and the
//! streamed answers that come back.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::body::Body;
use tonic::{Code, Status};

use super::member::Busy;
use crate::status::refusal;

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

/// The body of a streamed answer: it counts as work of its member, and ends at the deadline.
pub(super) struct Streamed {
    body: Incoming,
    _busy: Busy,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Streamed {
    pub(super) fn new(body: Incoming, busy: Busy, deadline: Option<Instant>) -> Self {
        Self { body, _busy: busy, deadline: deadline.map(|at| Box::pin(sleep_until(at))) }
    }
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let lost = |error: hyper::Error| super::member::Failure::from_stream(&error);
            return Poll::Ready(frame.map(|frame| frame.map_err(lost)));
        }
        let late = self.deadline.as_mut().is_some_and(|at| at.as_mut().poll(cx).is_ready());
        if !late {
            return Poll::Pending;
        }
        let late = "the stream did not end in time";
        Poll::Ready(Some(Err(refusal(Code::DeadlineExceeded, "deadline_exceeded", late))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
