//! A request as it is seen from outside: its span, its metrics, and the ids in its answer.

use std::sync::LazyLock;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use telemetry::metrics::prometheus::{HistogramVec, IntCounterVec};
use telemetry::metrics::{counter_vec, histogram_vec};
use tracing::{Span, field};

const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX: usize = 128;
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// What nginx calls it when the client went away before there was an answer.
const CLIENT_GONE: u16 = 499;

static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Requests answered, by route; a live stream until its beginning.";
    histogram_vec("souk_http_server_seconds", help, &["method", "route", "status"])
});

/// Requests turned away because too many were in progress.
pub(crate) static SHED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests turned away because too many were in progress.";
    counter_vec("souk_http_server_shed_total", help, &["class"])
});

/// The span of a request. It continues the client's trace, and takes over its decision to record.
pub(crate) fn span(request: &Request, route: &str) -> Span {
    let method = method(request.method());
    let span = tracing::info_span!(
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        request_id = field::Empty,
    );
    if let Some(parent) =
        request.headers().get(telemetry::context::HEADER).and_then(|value| value.to_str().ok())
    {
        telemetry::context::continue_from(&span, parent);
    }
    span
}

/// A method as a label: a client's inventions are one.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The client's own id for its request, when it is one that may stand in a log.
pub(crate) fn request_id(headers: &HeaderMap, span: &Span) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let text = id.to_str().ok().filter(|id| (1..=REQUEST_ID_MAX).contains(&id.len()))?;
    span.record("request_id", text);
    Some(id.clone())
}

/// What every answer carries, refusals included. Nothing is kept by anybody unless its route says
/// so: nearly everything here is somebody's own.
pub(crate) fn finish(headers: &mut HeaderMap, span: &Span, request_id: Option<HeaderValue>) {
    let trace_id = telemetry::context::trace_id(span).and_then(|id| HeaderValue::try_from(id).ok());
    if let Some(id) = request_id.or_else(|| trace_id.clone()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(id) = trace_id {
        headers.insert(TRACE_ID, id);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
}

/// Measures a request until it is answered, or dropped because its client went away.
pub(crate) struct Meter {
    span: Span,
    method: &'static str,
    route: Option<MatchedPath>,
    began: Instant,
    status: u16,
}

impl Meter {
    pub(crate) fn start(request: &Request, route: Option<MatchedPath>, span: Span) -> Self {
        let method = method(request.method());
        Self { span, method, route, began: Instant::now(), status: CLIENT_GONE }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    pub(crate) fn finish(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.span.record("http.response.status_code", self.status);
        let mut digits = [0; 3];
        let labels = [self.method, route(self.route.as_ref()), text(self.status, &mut digits)];
        SECONDS.with_label_values(&labels).observe(self.began.elapsed().as_secs_f64());
    }
}

/// A route as a label: all paths that nobody serves are one.
pub(crate) fn route(route: Option<&MatchedPath>) -> &str {
    route.map_or("unmatched", MatchedPath::as_str)
}

/// A status as a label, without an allocation.
fn text(status: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, place) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / place % 10).unwrap_or_default();
    }
    std::str::from_utf8(digits).unwrap_or_default()
}
