//! The name and the attributes of a span, by OpenTelemetry's semantic conventions.
//!
//! Most spans are not recorded. A span begins with its kind alone. The rest is set on spans that are recorded, so that the
//! others cost no text.

use std::borrow::Cow;

use opentelemetry::trace::{SpanRef, Status, TraceContextExt as _};
use opentelemetry::{KeyValue, Value};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// A span that is recorded.
pub struct Recorded<'a>(SpanRef<'a>);

/// Calls `tell` if `span` is recorded. Its parent is settled from then on.
pub fn when_recorded(span: &tracing::Span, tell: impl FnOnce(&Recorded<'_>)) {
    let context = span.context();
    let span = context.span();
    if span.is_recording() {
        tell(&Recorded(span));
    }
}

impl Recorded<'_> {
    /// Its name: few values, never an id.
    pub fn name(&self, name: impl Into<Cow<'static, str>>) -> &Self {
        self.0.update_name(name);
        self
    }

    /// An attribute.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) -> &Self {
        self.0.set_attribute(KeyValue::new(key, value));
        self
    }

    /// It ended badly. `kind` has few values: a code or a status.
    pub fn failed(&self, kind: impl Into<Value>) {
        self.0.set_status(Status::error(""));
        self.set("error.type", kind);
    }
}
