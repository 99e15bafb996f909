//! Distributed tracing across process boundaries (trace context propagation, W3C): `traceparent`, the same for HTTP,
//! gRPC, NATS and the outbox; and, between processes that call each other, the caller's `tracestate`.
//!
//! `continue_from…` and `link` belong right after the creation of the span: once it was entered its parent is settled.

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The name of the header, in HTTP, in gRPC metadata and in NATS.
pub const HEADER: &str = "traceparent";

const STATE_HEADER: &str = "tracestate";
/// What others have to pass on (3.3.1.5 of the recommendation); a longer one is dropped, as a whole.
const STATE_MAX: usize = 512;

/// The current span's `traceparent`, recorded or not; `None` outside of a span.
#[must_use]
pub fn current() -> Option<String> {
    of(&tracing::Span::current())
}

/// The `traceparent` of `span`, recorded or not; `None` when telemetry does not know the span.
#[must_use]
pub fn of(span: &tracing::Span) -> Option<String> {
    with_context(span, format)
}

/// The trace id of `span`: 32 hexadecimal digits.
#[must_use]
pub fn trace_id(span: &tracing::Span) -> Option<String> {
    with_context(span, |context| context.trace_id().to_string())
}

/// Whether what happens in `span` is recorded.
#[must_use]
pub fn is_recorded(span: &tracing::Span) -> bool {
    with_context(span, SpanContext::is_sampled) == Some(true)
}

/// Whether the sender of `traceparent` records its trace.
#[must_use]
pub fn is_sampled(traceparent: &str) -> bool {
    read(traceparent, None).is_some_and(|it| it.is_sampled())
}

/// Makes the sender of `traceparent` the parent of `span`, and takes over its decision about recording. What cannot be
/// read is ignored: a caller's bad header costs the connection between two traces, not the request.
pub fn continue_from(span: &tracing::Span, traceparent: &str) {
    set_parent(span, read(traceparent, None));
}

/// A span for what a process does again and again by itself, several times a second: neither it nor what it calls is recorded,
/// here or elsewhere.
#[must_use]
pub fn unrecorded() -> tracing::Span {
    let span = tracing::info_span!(parent: None, "unrecorded");
    continue_from(&span, "00-00000000000000000000000000000001-0000000000000001-00");
    span
}

/// [`continue_from`] what the headers of a request say, `tracestate` included.
pub fn continue_from_headers(span: &tracing::Span, headers: &HeaderMap) {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(traceparent) = header(HEADER) {
        set_parent(span, read(traceparent, header(STATE_HEADER)));
    }
}

/// Writes what [`continue_from_headers`] reads.
pub fn inject(span: &tracing::Span, headers: &mut HeaderMap) {
    with_context(span, |context| {
        let mut insert = |name, text: String| {
            HeaderValue::try_from(text).map(|value| headers.insert(name, value)).ok()
        };
        insert(HEADER, format(context));
        let state = context.trace_state().header();
        if !state.is_empty() {
            insert(STATE_HEADER, state);
        }
    });
}

/// Connects `span` with another trace that it is not a part of: a batch with the trace of each of its messages. A span
/// that begins with a link to a recorded trace is recorded too.
pub fn link(span: &tracing::Span, traceparent: &str) {
    if let Some(other) = read(traceparent, None) {
        span.add_link(other);
    }
}

fn set_parent(span: &tracing::Span, parent: Option<SpanContext>) {
    if let Some(parent) = parent {
        let parent = opentelemetry::Context::new().with_remote_span_context(parent);
        // It fails when the span is disabled or no subscriber is installed: then there is nothing to continue.
        let _ = span.set_parent(parent);
    }
}

fn with_context<T>(span: &tracing::Span, read: impl FnOnce(&SpanContext) -> T) -> Option<T> {
    let context = span.context();
    let span = context.span();
    Some(span.span_context()).filter(|context| context.is_valid()).map(read)
}

/// By hand: 97 ns and one allocation with the header, where the SDK's propagator takes 307 ns and six; each call and
/// each event pays it.
fn format(context: &SpanContext) -> String {
    let mut text = String::with_capacity(LENGTH);
    text.push_str("00-");
    push_hex(&mut text, &context.trace_id().to_bytes());
    text.push('-');
    push_hex(&mut text, &context.span_id().to_bytes());
    text.push('-');
    push_hex(&mut text, &[(context.trace_flags() & TraceFlags::SAMPLED).to_u8()]);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
}

/// <https://www.w3.org/TR/trace-context/#traceparent-header>: lower-case digits only, no zero ids, no version ff; a
/// later version may append to what version 00 has.
///
/// By hand: the SDK's propagator also takes ids that are too short, signs before digits and a hyphen at the end; it needs
/// 277 ns and two allocations where this and the context around it need 226 ns and one.
fn read(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let (known, rest) = traceparent.split_at_checked(LENGTH)?;
    let mut parts = known.split('-');
    let version = u8::try_from(hex(parts.next()?, 2)?).ok()?;
    let trace_id = TraceId::from(hex(parts.next()?, 32)?);
    let span_id = SpanId::from(u64::try_from(hex(parts.next()?, 16)?).ok()?);
    let flags = TraceFlags::new(u8::try_from(hex(parts.next()?, 2)?).ok()?) & TraceFlags::SAMPLED;
    let ends = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let state = tracestate.filter(|it| it.len() <= STATE_MAX).and_then(|it| it.parse().ok());
    let context = SpanContext::new(trace_id, span_id, flags, true, state.unwrap_or_default());
    (ends && context.is_valid()).then_some(context)
}

fn hex(digits: &str, length: usize) -> Option<u128> {
    let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() == length && lower { u128::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        read(text, None).map(|context| format(&context))
    }

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_again() {
        for text in [VALID, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"] {
            assert_eq!(again(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc{}-what-the-future-brings", &VALID[2..]);
        assert_eq!(again(&later).as_deref(), Some(VALID));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "00",
            &VALID[..54],
            &format!("{VALID}0"),
            &format!("{VALID}-00"),
            &format!("ff{}", &VALID[2..]),
            &format!("cc{}x", &VALID[2..]),
            &VALID.to_uppercase(),
            &VALID.replace('-', "_"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
            "+0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1-",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0+",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bé-01",
        ] {
            assert_eq!(again(bad), None, "{bad:?}");
        }
    }
}
