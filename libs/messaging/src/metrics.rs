//! What an operator watches: how much waits, for how long, and what was given up on.

use telemetry::catalogue::{
    BUS_DIFFERS, CONSUMER_BATCH_SIZE, CONSUMER_DEAD_LETTERED, CONSUMER_LAG, CONSUMER_REDELIVERIES,
    DEAD_LETTERS, OUTBOX_DEPTH, OUTBOX_OLDEST, PUBLISH_LAG,
};
use telemetry::metrics::prometheus::Histogram;
use time::OffsetDateTime;

use crate::model::Received;

/// Whether this stream or consumer is not as it is configured, and the server refuses to change that.
pub(crate) fn differs(name: &str, differs: bool) {
    BUS_DIFFERS.with_label_values(&[name]).set(differs.into());
}

pub(crate) fn outbox(context: &str, database: usize, (depth, age): (i64, f64)) {
    let labels = [context, &database.to_string()];
    OUTBOX_DEPTH.with_label_values(&labels).set(depth);
    OUTBOX_OLDEST.with_label_values(&labels).set(age as i64);
}

pub(crate) fn dead_letters(context: &str, database: usize, events: i64) {
    DEAD_LETTERS.with_label_values(&[context, &database.to_string()]).set(events);
}

pub(crate) fn published(context: &str, times: impl Iterator<Item = OffsetDateTime>) {
    let lag: Histogram = PUBLISH_LAG.with_label_values(&[context]);
    let now = kernel::clock::now();
    times.for_each(|at| lag.observe((now - at).as_seconds_f64().max(0.0)));
}

/// A consumer begins: what it counts is there from the start, or the first of a kind would be no
/// increase of anything.
pub(crate) fn consumer(name: &str) {
    CONSUMER_REDELIVERIES.with_label_values(&[name]);
    CONSUMER_DEAD_LETTERED.with_label_values(&[name]);
}

/// What waits in the stream, and what was delivered and is not acknowledged.
pub(crate) fn lag(consumer: &str, pending: u64, unacknowledged: usize) {
    let events = i64::try_from(pending).unwrap_or(i64::MAX);
    let lag = events.saturating_add_unsigned(unacknowledged as u64);
    CONSUMER_LAG.with_label_values(&[consumer]).set(lag);
}

/// How many of these messages come again: a batch failed, an acknowledgement was lost, or a process died.
pub(crate) fn delivered(consumer: &str, messages: &[Received]) {
    let again = messages.iter().filter(|it| it.receipt.deliveries > 1);
    CONSUMER_REDELIVERIES.with_label_values(&[consumer]).inc_by(again.count() as u64);
}

pub(crate) fn batch(consumer: &str, events: usize) {
    CONSUMER_BATCH_SIZE.with_label_values(&[consumer]).observe(events as f64);
}

pub(crate) fn dead_lettered(consumer: &str) {
    CONSUMER_DEAD_LETTERED.with_label_values(&[consumer]).inc();
}
