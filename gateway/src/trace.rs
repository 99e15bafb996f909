//! A request as it is seen from outside: its span, its metrics, and the ids in its answer.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use telemetry::catalogue::HTTP_SERVER_DURATION;
use tracing::Span;

const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX: usize = 128;
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// nginx's status for a client that disconnected before there was an answer.
const CLIENT_GONE: &str = "499";
/// OpenTelemetry's label for an unknown method.
const OTHER: &str = "_OTHER";

/// The span of a request. It continues the client's trace, and takes over its decision to record.
pub(crate) fn span(request: &Request, route: Option<&MatchedPath>) -> Span {
    let span = match self::route(route) {
        // Read again and again by programs, for which a share of traces is enough.
        route if route.is_empty() || route.starts_with("/v1") || is_file(route) => {
            tracing::info_span!("request", otel.kind = "server")
        }
        _page => tracing::info_span!("request", otel.kind = "server", souk.always_recorded = true),
    };
    telemetry::context::continue_from_headers(&span, request.headers());
    telemetry::span::when_recorded(&span, |it| {
        let method = method(request.method());
        let verb = if method == OTHER { "HTTP" } else { method };
        it.name(format!("{verb} {}", self::route(route)).trim_end().to_owned());
        it.set("http.request.method", method).set("url.scheme", scheme(request));
        it.set("url.path", request.uri().path().to_owned());
        if let Some(route) = route {
            it.set("http.route", route.as_str().to_owned());
        }
        let version = if request.version() == Version::HTTP_2 { "2" } else { "1.1" };
        it.set("network.protocol.version", version);
    });
    span
}

fn is_file(route: &str) -> bool {
    route.starts_with("/assets") || route.starts_with("/pictures")
}

/// What the connection speaks ([`crate::server`] has noted it); what a client says of it does not count.
fn scheme(request: &Request) -> &'static str {
    let noted = request.extensions().get::<Scheme>();
    if noted == Some(&Scheme::HTTPS) { "https" } else { "http" }
}

/// A method as a label. All methods that a client invents are one label (label cardinality).
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER,
    }
}

/// The client's own id for its request, when it is one that may stand in a log.
pub(crate) fn request_id(headers: &HeaderMap, span: &Span) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let text = id.to_str().ok().filter(|id| (1..=REQUEST_ID_MAX).contains(&id.len()))?;
    telemetry::span::when_recorded(span, |it| {
        it.set("souk.request.id", text.to_owned());
    });
    Some(id.clone())
}

/// The headers of every answer, refusals included: the ids and the security headers. Nobody may cache an answer unless
/// its route says so, because nearly every answer is private to one customer.
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

/// Measures a request until it is answered, or dropped because its client disconnected.
pub(crate) struct Meter {
    span: Span,
    scheme: &'static str,
    method: &'static str,
    route: Option<MatchedPath>,
    began: Instant,
    status: Option<StatusCode>,
}

impl Meter {
    pub(crate) fn start(request: &Request, route: Option<MatchedPath>, span: Span) -> Self {
        let (scheme, method) = (scheme(request), method(request.method()));
        Self { span, scheme, method, route, began: Instant::now(), status: None }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    pub(crate) fn finish(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let status = self.status.as_ref().map_or(CLIENT_GONE, StatusCode::as_str);
        let error = if status.starts_with('5') { status } else { "" };
        telemetry::span::when_recorded(&self.span, |it| {
            if let Some(status) = self.status {
                it.set("http.response.status_code", i64::from(status.as_u16()));
            }
            if !error.is_empty() {
                it.failed(error.to_owned());
            }
        });
        let labels = [self.scheme, self.method, route(self.route.as_ref()), status, error];
        let duration = HTTP_SERVER_DURATION.with_label_values(&labels);
        duration.observe(self.began.elapsed().as_secs_f64());
    }
}

/// A route as a label. All paths that nobody serves are one label (label cardinality).
pub(crate) fn route(route: Option<&MatchedPath>) -> &str {
    route.map_or("", MatchedPath::as_str)
}
