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
        // Before the frames: what is there already is too late as well.
        if self.deadline.as_mut().is_some_and(|at| at.as_mut().poll(cx).is_ready()) {
            let late = "the stream did not end in time";
            return Poll::Ready(Some(Err(refusal(
                Code::DeadlineExceeded,
                "deadline_exceeded",
                late,
            ))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    #[tokio::test]
    async fn a_frame_that_is_there_is_not_read_after_the_deadline() {
        let frame = |()| Ok::<_, Status>(Frame::data(Bytes::from_static(b"more")));
        let body = StreamBody::new(stream::iter(std::iter::repeat(()).map(frame)));
        let in_flight = InFlight::new(Arc::default());
        let passed = Instant::now() - Duration::from_secs(1);
        let mut streamed = Streamed::new(body, in_flight, Some(passed));
        let ended = streamed.frame().await.expect("an end").expect_err("it is too late");
        assert_eq!(ended.code(), Code::DeadlineExceeded);
    }
}
