//! Rate, errors and duration of every method, on both sides, and what the limits cost.
//!
//! A labelled metric is looked up by hashing its labels; each method keeps its own handles, so
//! that a call does not.

use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use telemetry::metrics::prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use telemetry::metrics::{counter_vec, histogram_vec};
use tonic::Code;

const CODES: usize = 17;

pub(crate) static SERVER: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Calls served, until the answer; streams until their end.";
    histogram_vec("souk_rpc_server_seconds", help, &["method", "code"])
});
pub(crate) static CLIENT: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Calls made, all attempts together; streams until their beginning.";
    histogram_vec("souk_rpc_client_seconds", help, &["method", "code"])
});
pub(crate) static ATTEMPTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests sent: more than the calls made by the retries.";
    counter_vec("souk_rpc_client_attempts_total", help, &["method"])
});
pub(crate) static CONNECTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter_vec("souk_rpc_client_connects_total", "Connections tried.", &["peer", "outcome"])
});
pub(crate) static HANDSHAKES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter_vec("souk_rpc_server_handshakes_total", "TLS handshakes of callers.", &["outcome"])
});
pub(crate) static SHED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Calls refused because too many were in progress.";
    counter_vec("souk_rpc_server_shed_total", help, &["kind"])
});
pub(crate) static RELOADS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Times that the certificate files had changed.";
    counter_vec("souk_rpc_tls_reloads_total", help, &["outcome"])
});

/// The duration of one method's calls, by code.
#[derive(Debug)]
pub(crate) struct Latency {
    family: &'static HistogramVec,
    method: String,
    codes: [OnceLock<Histogram>; CODES],
}

impl Latency {
    pub(crate) fn new(family: &'static HistogramVec, method: impl Into<String>) -> Self {
        Self { family, method: method.into(), codes: Default::default() }
    }

    pub(crate) fn observe(&self, code: Code, elapsed: Duration) {
        self.codes[code as usize]
            .get_or_init(|| self.family.with_label_values(&[self.method.as_str(), name(code)]))
            .observe(elapsed.as_secs_f64());
    }
}

pub(crate) fn attempts(method: &str) -> IntCounter {
    ATTEMPTS.with_label_values(&[method])
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
