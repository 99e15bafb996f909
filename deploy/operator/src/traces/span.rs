//! Spans as they are kept and shown.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde::{Deserialize, Serialize};

/// The part that a span plays in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Inside a process.
    Internal,
    /// Answers a call.
    Server,
    /// Makes a call.
    Client,
    /// Sends a message.
    Producer,
    /// Takes in a message.
    Consumer,
}

/// Another span that this one has to do with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its trace.
    pub trace_id: String,
    /// The span.
    pub span_id: String,
}

/// One span, as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// None for the beginning of a trace.
    pub parent_span_id: Option<String>,
    /// The process that it happened in.
    pub service: String,
    /// What happened.
    pub name: String,
    /// Its part in a call.
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// Whether it ended badly.
    pub failed: bool,
    /// What else it has to do with.
    pub links: Vec<Link>,
    /// What is told about it.
    pub attributes: BTreeMap<String, String>,
}

/// All that was received of one trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// In the order in which they began.
    pub spans: Vec<Span>,
}

impl Span {
    pub(super) fn received(service: &str, span: otlp::Span) -> Self {
        let failed = span.status.is_some_and(|status| status.code == 2);
        let link = |link: otlp::span::Link| Link {
            trace_id: hex(&link.trace_id),
            span_id: hex(&link.span_id),
        };
        Self {
            span_id: hex(&span.span_id),
            parent_span_id: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
            service: service.to_owned(),
            kind: kind(span.kind),
            name: span.name,
            start_unix_ns: span.start_time_unix_nano,
            duration_ns: span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
            failed,
            links: span.links.into_iter().map(link).collect(),
            attributes: span.attributes.into_iter().map(attribute).collect(),
        }
    }

    /// Whether it publishes an event of the aggregate with this id.
    pub(super) fn publishes_of(&self, id: &str) -> bool {
        let aggregate = self.attributes.get("cloudevents.event_subject");
        self.kind == Kind::Producer && aggregate.is_some_and(|aggregate| aggregate == id)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.attributes.iter().map(|(name, value)| name.len() + value.len() + 64);
        let links = self.links.len() * 128;
        256 + self.service.len() + self.name.len() + texts.sum::<usize>() + links
    }
}

fn kind(kind: i32) -> Kind {
    match SpanKind::try_from(kind).unwrap_or_default() {
        SpanKind::Unspecified | SpanKind::Internal => Kind::Internal,
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
        SpanKind::Producer => Kind::Producer,
        SpanKind::Consumer => Kind::Consumer,
    }
}

fn attribute(attribute: KeyValue) -> (String, String) {
    (attribute.key, attribute.value.map(text).unwrap_or_default())
}

/// The value of an attribute as text; lists and maps are of no use here.
pub(super) fn text(value: AnyValue) -> String {
    match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        _ => String::new(),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
