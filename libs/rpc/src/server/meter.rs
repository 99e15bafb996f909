//! Measures each call: its duration and its status code.

use std::sync::Arc;

use http::Response;
use tokio::time::Instant;
use tonic::Code;
use tonic::body::Body;
use tracing::Span;

use crate::metrics::{Latency, Side};

/// Measures a call until it is finished, or dropped because its caller has disconnected.
pub(super) struct Meter {
    latency: Arc<Latency>,
    span: Span,
    began: Instant,
    code: Code,
}

impl Meter {
    pub(super) fn start(latency: Arc<Latency>, span: Span) -> Self {
        Self { latency, span, began: Instant::now(), code: Code::Cancelled }
    }

    pub(super) fn ended_with(&mut self, code: Code) {
        self.code = code;
    }

    pub(super) fn finish(&mut self, response: Response<Body>) -> Response<Body> {
        self.ended_with(code(&response));
        response
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        telemetry::span::when_recorded(&self.span, |it| Side::Server.tell(it, self.code));
        self.latency.observe(self.code, self.began.elapsed());
    }
}

/// The code in the headers of a refusal; the handlers' successes carry theirs in the trailers.
pub(super) fn code(response: &Response<Body>) -> Code {
    let header = response.headers().get("grpc-status");
    header.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}
