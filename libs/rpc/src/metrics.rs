//! Rate, errors and duration of every method, on both sides, and what the limits cost.
//!
//! A labelled metric is looked up by hashing its labels; each method keeps its own handles, so
//! that a call does not.

use std::sync::OnceLock;
use std::time::Duration;

use telemetry::catalogue::{RPC_CLIENT_DURATION, RPC_SERVER_DURATION};
use telemetry::metrics::prometheus::Histogram;
use telemetry::span::Recorded;
use tonic::Code;

const CODES: usize = 17;

/// Which side of a call is measured. They differ in what is an error: an invalid argument is the caller's fault, and no
/// error of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// Of a call that is served here.
    Server,
    /// Of a call to the service of this name.
    Client { server: &'static str },
}

impl Side {
    /// `error.type` by OpenTelemetry's conventions for gRPC: the code where it is an error, or nothing.
    pub(crate) fn error(self, code: Code) -> &'static str {
        let failed = match (self, code) {
            (_, Code::Ok) => false,
            (Self::Client { .. }, _) => true,
            (Self::Server, code) => matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            ),
        };
        if failed { name(code) } else { "" }
    }

    /// How a call ended, for its span.
    pub(crate) fn tell(self, span: &Recorded<'_>, code: Code) {
        span.set("rpc.response.status_code", name(code));
        if !self.error(code).is_empty() {
            span.failed(self.error(code));
        }
    }
}

/// The duration of one method's calls, by code.
#[derive(Debug)]
pub(crate) struct Latency {
    side: Side,
    method: String,
    codes: [OnceLock<Histogram>; CODES],
}

impl Latency {
    pub(crate) fn new(side: Side, method: impl Into<String>) -> Self {
        Self { side, method: method.into(), codes: Default::default() }
    }

    /// Its full name: `souk.cart.v1.CartService/GetCart`.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    pub(crate) fn observe(&self, code: Code, elapsed: Duration) {
        let histogram = self.codes[code as usize].get_or_init(|| self.histogram(code));
        histogram.observe(elapsed.as_secs_f64());
    }

    fn histogram(&self, code: Code) -> Histogram {
        let (method, error) = (self.method.as_str(), self.side.error(code));
        match self.side {
            Side::Server => RPC_SERVER_DURATION.with_label_values(&[method, name(code), error]),
            Side::Client { server } => {
                RPC_CLIENT_DURATION.with_label_values(&[server, method, name(code), error])
            }
        }
    }
}

/// The name of a code as gRPC spells it.
pub(crate) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
