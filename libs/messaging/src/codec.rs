//! Events as they travel: CloudEvents 1.0 in binary mode. The payload is protobuf and
//! the attributes are NATS headers (`ce-*`), beside `traceparent` and `Nats-Msg-Id`. The catalogue,
//! docs/events.md, says so to others.

use anyhow::Context as _;
use async_nats::{HeaderMap, jetstream};
use proto::event::EVENTS;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::Span;
use uuid::Uuid;

use crate::model::{BYTES_MAX, Delivered, Receipt, Received, Stored, UNKNOWN_TYPE};

/// The header by which the server knows a message that it has taken already: the event's id.
pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";

/// The attributes as headers. `traceparent` is the span that publishes the event, or else the one that caused it.
pub(crate) fn headers(
    event: &Stored,
    source: &str,
    traceparent: Option<&str>,
) -> anyhow::Result<HeaderMap> {
    let id = event.event_id.to_string();
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, id.as_str());
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

/// Reads a message of a durable consumer.
///
/// # Errors
/// When no stream has delivered it.
pub(crate) fn received(message: jetstream::Message) -> anyhow::Result<Received> {
    let info = message.info().map_err(anyhow::Error::from_boxed)?;
    let (deliveries, at, sequence) = (info.delivered, info.published, info.stream_sequence);
    let (event, defect) = match delivered(&message) {
        Ok(event) if event.is_known() => (event, None),
        Ok(event) => (event, Some(UNKNOWN_TYPE.to_owned())),
        Err(defect) => (unreadable(&message, at, sequence), Some(defect)),
    };
    let reply = message.message.reply.context("nowhere to acknowledge it")?;
    Ok(Received { receipt: Receipt { reply, deliveries }, event, defect })
}

/// A message that is no event of ours. It has no id that could be trusted: stream time and
/// sequence name it.
fn unreadable(message: &async_nats::Message, at: OffsetDateTime, sequence: u64) -> Delivered {
    Delivered {
        event_id: Uuid::from_u64_pair(at.unix_timestamp_nanos() as u64, sequence),
        kind: String::new(),
        aggregate_id: Uuid::nil(),
        occurred_at: at,
        span: Span::none(),
        subject: message.subject.to_string(),
        traceparent: None,
        payload: message.payload.clone(),
    }
}

/// Reads an event. The error says which attribute is missing or wrong: such a message can
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
