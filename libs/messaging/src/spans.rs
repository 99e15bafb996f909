//! The spans of messages, by OpenTelemetry's semantic conventions for messaging: one where an event is published, one
//! where it is taken in, and one for the batch that it is taken in with.

use std::sync::Arc;

use telemetry::context::{self, continue_from, link};
use telemetry::span::{Recorded, when_recorded};
use tracing::{Span, info_span};

use crate::Delivered;
use crate::model::Stored;

/// Where an event is published, in the trace of whoever caused it. None unless that is recorded.
pub(crate) fn publish_span(event: &Stored) -> Span {
    let Some(parent) = event.traceparent.as_deref().filter(|it| context::is_sampled(it)) else {
        return Span::none();
    };
    let span = info_span!(parent: None, "publish", otel.kind = "producer");
    continue_from(&span, parent);
    when_recorded(&span, |it| {
        tell(it, "publish", "send", &event.subject);
        it.set("messaging.message.id", event.event_id.to_string());
        it.set("cloudevents.event_subject", event.aggregate_id.to_string());
    });
    span
}

/// Gives each event a span that continues the trace of whoever caused it, linked with the batch, which is linked with
/// all of them. They end when the events are dropped.
pub(crate) fn process_spans(
    consumer: &Arc<str>,
    stream: &str,
    mut events: Vec<Delivered>,
) -> (Span, Vec<Delivered>) {
    let batch = info_span!(parent: None, "batch", otel.kind = "consumer");
    // All links first: one to a trace that is recorded makes the batch recorded too.
    events.iter().filter_map(|it| it.traceparent.as_deref()).for_each(|it| link(&batch, it));
    when_recorded(&batch, |it| {
        tell(it, "process", "process", stream);
        it.set("messaging.consumer.group.name", Arc::clone(consumer));
        it.set("messaging.batch.message_count", i64::try_from(events.len()).unwrap_or(i64::MAX));
    });
    let in_batch = context::of(&batch);
    for event in &mut events {
        let Some(parent) = &event.traceparent else { continue };
        let span = info_span!(parent: None, "event", otel.kind = "consumer");
        continue_from(&span, parent);
        when_recorded(&span, |it| {
            tell(it, "process", "process", &event.subject);
            it.set("messaging.consumer.group.name", Arc::clone(consumer));
            it.set("messaging.message.id", event.event_id.to_string());
        });
        if let Some(batch) = in_batch.as_deref().filter(|it| context::is_sampled(it)) {
            link(&span, batch);
        }
        event.span = span;
    }
    (batch, events)
}

fn tell(span: &Recorded<'_>, name: &'static str, kind: &'static str, destination: &str) {
    span.name(format!("{name} {destination}")).set("messaging.system", "nats");
    span.set("messaging.operation.name", name).set("messaging.operation.type", kind);
    span.set("messaging.destination.name", destination.to_owned());
}
