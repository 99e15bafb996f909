//! Events on their way out and in: CloudEvents 1.0 in binary mode. The payload is protobuf and
//! the attributes are NATS headers (`ce-*`), beside `traceparent` and `Nats-Msg-Id`. The catalogue,
//! docs/events.md, says so to others.

use async_nats::HeaderMap;
use bytes::Bytes;
use kernel::{EventId, Shard};
use proto::event::{EVENTS, Event};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::Span;
use uuid::Uuid;

/// No event is larger, on its way out or in: what the bus does not take would wait in the outbox for ever.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// An event to be written to the outbox.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub(crate) event_id: EventId,
    pub(crate) aggregate_id: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) traceparent: Option<String>,
    pub(crate) payload: Vec<u8>,
}

impl Outgoing {
    /// The event as it will be published, belonging to the current trace. `aggregate` is the id
    /// in the event's first field; its shard is where the event is stored.
    pub fn new<E: Event>(aggregate: impl Into<Uuid>, event: &E) -> Self {
        let aggregate_id = aggregate.into();
        Self {
            event_id: EventId::mint_on(Shard::of(aggregate_id)),
            aggregate_id,
            kind: E::TYPE,
            subject: E::SUBJECT,
            traceparent: telemetry::context::current(),
            payload: event.encode_to_vec(),
        }
    }

    /// The shard of its aggregate, where it is stored.
    pub(crate) fn shard(&self) -> Shard {
        Shard::of(self.aggregate_id)
    }

    /// Continues the trace of the event that caused this one, instead of the batch's.
    pub fn caused_by(mut self, cause: &Delivered) -> Self {
        self.traceparent = cause.span.in_scope(telemetry::context::current).or(self.traceparent);
        self
    }
}

/// An event as a consumer gets it.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The event's id: the same at every delivery.
    pub event_id: Uuid,
    /// `souk.order.v1.OrderPlaced`.
    pub kind: String,
    /// The aggregate that it happened to; its shard says in which database the effect belongs.
    pub aggregate_id: Uuid,
    /// When it was written, by the clock of the database that wrote it.
    pub occurred_at: OffsetDateTime,
    /// Continues the trace of whoever caused the event.
    pub span: Span,
    pub(crate) subject: String,
    pub(crate) traceparent: Option<String>,
    pub(crate) payload: Bytes,
}

impl Delivered {
    /// Whether this is an `E`.
    pub fn is<E: Event>(&self) -> bool {
        self.kind == E::TYPE
    }

    /// The payload. An error is deterministic: the event can never be handled.
    pub fn decode<E: Event>(&self) -> Result<E, prost::DecodeError> {
        E::decode(self.payload.clone())
    }

    /// Whether this build has an event of this type, wanted or not.
    pub(crate) fn is_known(&self) -> bool {
        EVENTS.iter().any(|(kind, _)| *kind == self.kind)
    }

    /// The shard of the aggregate.
    pub fn shard(&self) -> Shard {
        Shard::of(self.aggregate_id)
    }
}

/// The types of this build's events.
pub(crate) fn known_kinds() -> Vec<&'static str> {
    EVENTS.iter().map(|(kind, _)| *kind).collect()
}

/// An outbox row as the relay reads it.
pub(crate) struct Stored {
    pub position: i64,
    pub event_id: Uuid,
    pub aggregate_id: Uuid,
    pub kind: String,
    pub subject: String,
    pub occurred_at: OffsetDateTime,
    pub traceparent: Option<String>,
    pub payload: Vec<u8>,
}

/// The attributes as headers. `traceparent` is the span that publishes the event, or else the one that caused it.
pub(crate) fn headers(
    event: &Stored,
    source: &str,
    traceparent: Option<&str>,
) -> anyhow::Result<HeaderMap> {
    let id = event.event_id.to_string();
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", id.as_str());
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", id.as_str());
    headers.insert("ce-source", source);
    headers.insert("ce-type", event.kind.as_str());
    headers.insert("ce-subject", event.aggregate_id.to_string());
    headers.insert("ce-time", event.occurred_at.format(&Rfc3339)?);
    headers.insert("content-type", "application/protobuf");
    if let Some(traceparent) = traceparent {
        headers.insert("traceparent", traceparent);
    }
    Ok(headers)
}

/// Reads a message. The error says which attribute is missing or wrong: such a message can
/// never be handled.
pub(crate) fn delivered(message: &async_nats::Message) -> Result<Delivered, String> {
    let bytes = message.payload.len();
    if bytes > BYTES_MAX {
        return Err(format!("{bytes} bytes, at most {BYTES_MAX}"));
    }
    let headers = message.headers.as_ref().ok_or("no headers")?;
    let header = |name: &str| headers.get(name).map(|value| value.as_str());
    let attribute = |name: &str| header(name).ok_or_else(|| format!("no {name}"));
    let id =
        |name: &str| Uuid::try_parse(attribute(name)?).map_err(|_| format!("{name} is not an id"));
    if attribute("ce-specversion")? != "1.0" {
        return Err("ce-specversion is not 1.0".into());
    }
    let occurred_at = OffsetDateTime::parse(attribute("ce-time")?, &Rfc3339)
        .map_err(|_| "ce-time is not a time")?;
    let (source, kind, subject) =
        (attribute("ce-source")?, attribute("ce-type")?, message.subject.as_str());
    if subject.split('.').nth(1) != Some(source) {
        return Err(format!("ce-source {source} is not whose subject {subject} is"));
    }
    if EVENTS.iter().any(|(known, its)| *known == kind && *its != subject) {
        return Err(format!("a {kind} does not come as {subject}"));
    }
    Ok(Delivered {
        event_id: id("ce-id")?,
        kind: kind.to_owned(),
        aggregate_id: id("ce-subject")?,
        occurred_at,
        span: Span::none(),
        subject: message.subject.to_string(),
        traceparent: header("traceparent").map(str::to_owned),
        payload: message.payload.clone(),
    })
}
