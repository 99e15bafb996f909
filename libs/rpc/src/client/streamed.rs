//! The streamed answers that come back.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status};

use super::endpoint::InFlight;
use crate::status::refusal;

/// The body of a streamed answer: it counts as in flight at its endpoint, and ends at the deadline.
pub(super) struct Streamed<B> {
    body: B,
    _in_flight: InFlight,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> Streamed<B> {
    pub(super) fn new(body: B, in_flight: InFlight, deadline: Option<Instant>) -> Self {
        Self { body, _in_flight: in_flight, deadline: deadline.map(|at| Box::pin(sleep_until(at))) }
    }
}

impl<B: HttpBody<Data = Bytes, Error = Status> + Unpin> HttpBody for Streamed<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
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
