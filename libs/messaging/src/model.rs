//! What is sent, kept and received: values, without I/O.

use async_nats::Subject;
use bytes::Bytes;
use kernel::{EventId, Shard};
use proto::event::{EVENTS, Event};
use time::OffsetDateTime;
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

    /// Belongs to this trace, instead of the batch's that writes it.
    pub fn in_trace(mut self, traceparent: Option<String>) -> Self {
        self.traceparent = traceparent.or(self.traceparent);
        self
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

    /// Whether this build has an event of this type.
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

/// One message that the stream acknowledged.
#[derive(Clone, Copy)]
pub(crate) struct Acknowledged {
    pub position: i64,
    pub event_id: Uuid,
    pub occurred_at: OffsetDateTime,
    /// The stream's.
    pub sequence: i64,
}

impl Acknowledged {
    pub fn new(event: &Stored, sequence: i64) -> Self {
        let Stored { position, event_id, occurred_at, .. } = *event;
        Self { position, event_id, occurred_at, sequence }
    }
}

/// How far the stream is known to have got.
pub(crate) struct Checkpoint {
    /// When it was made, which tells it from another of the same name; none: nothing was looked at yet.
    pub stream: Option<OffsetDateTime>,
    /// The last message that it acknowledged: sequence and event id.
    pub last: Option<(i64, Uuid)>,
}

/// Why an event of a type that this build does not know becomes a dead letter.
pub(crate) const UNKNOWN_TYPE: &str = "no type of event that is known here";

/// A message of a durable consumer.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub receipt: Receipt,
    pub event: Delivered,
    /// Why no handler of this build can take the event, which is then what is known of it.
    pub defect: Option<String>,
}

/// What it takes to answer a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    /// Where the answer goes.
    pub reply: Subject,
    /// How often the message was delivered by now: 1 at first.
    pub deliveries: i64,
}

/// An event that a consumer has given up on.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Who could not handle it, for example `order-from-product`.
    pub consumer: String,
    /// The event.
    pub event_id: Uuid,
    /// What it happened to.
    pub aggregate_id: Uuid,
    /// `souk.order.v1.OrderPlaced`; empty for a message that was no event of ours.
    pub kind: String,
    /// Of the message.
    pub subject: String,
    /// When it was written, by the clock of the database that wrote it.
    pub occurred_at: OffsetDateTime,
    /// Leads to its trace.
    pub traceparent: Option<String>,
    /// Protobuf, if it is an event.
    pub payload: Vec<u8>,
    /// How often it was tried.
    pub tries: i32,
    /// Why it failed the last time.
    pub error: String,
    /// When it was given up on.
    pub parked_at: OffsetDateTime,
    /// When it was told to be tried again; it has not succeeded yet.
    pub redriven_at: Option<OffsetDateTime>,
}

impl From<DeadLetter> for Delivered {
    fn from(it: DeadLetter) -> Self {
        Self {
            event_id: it.event_id,
            kind: it.kind,
            aggregate_id: it.aggregate_id,
            occurred_at: it.occurred_at,
            span: Span::none(),
            subject: it.subject,
            traceparent: it.traceparent,
            payload: it.payload.into(),
        }
    }
}
