//! The body of a streamed answer. It keeps the call's permit and its measurement until the
//! stream is over, and ends the stream when the deadline passes or the server stops, so that
//! no handler has to.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use net::Permit;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};

use super::meter::Meter;
use crate::status::refusal;

pub(super) struct Stream {
    /// `None` once the stream is over.
    body: Option<Body>,
    meter: Meter,
    _permit: Arc<Permit>,
    deadline: Option<Pin<Box<Sleep>>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stream {
    pub(super) fn new(
        body: Body,
        meter: Meter,
        permit: Arc<Permit>,
        deadline: Option<Instant>,
        shutdown: &CancellationToken,
    ) -> Self {
        Self {
            body: Some(body),
            meter,
            _permit: permit,
            deadline: deadline.map(|at| Box::pin(sleep_until(at))),
            shutdown: Box::pin(shutdown.clone().cancelled_owned()),
        }
    }

    /// Ends the stream with trailers that say why.
    fn end(&mut self, why: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.body = None;
        self.meter.ended_with(why.code());
        let mut trailers = http::HeaderMap::new();
        Poll::Ready(Some(why.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}

fn over(
    shutdown: &mut Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
) -> Option<Status> {
    if shutdown.as_mut().poll(cx).is_ready() {
        return Some(refusal(Code::Unavailable, "draining", "the server is stopping"));
    }
    let late = deadline.as_mut().is_some_and(|at| at.as_mut().poll(cx).is_ready());
    late.then(|| refusal(Code::DeadlineExceeded, "deadline_exceeded", "the deadline has passed"))
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        // Before the frames, so that a stream that never pauses ends as well.
        if let Some(why) = over(&mut this.shutdown, &mut this.deadline, cx) {
            return this.end(why);
        }
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let code = trailers.get("grpc-status").map(|code| code.as_bytes());
                    this.meter.ended_with(code.map_or(Code::Ok, Code::from_bytes));
                }
            }
            Some(Err(status)) => this.meter.ended_with(status.code()),
            None => this.body = None,
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }
}
