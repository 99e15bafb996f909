//! What an operator watches: how much waits, for how long, and what was given up on.

use std::sync::LazyLock;

use async_nats::jetstream::Message;
use telemetry::metrics::prometheus::{Histogram, HistogramVec, IntCounterVec, IntGaugeVec};
use telemetry::metrics::{counter_vec, gauge_vec, histogram_vec, histogram_vec_with};
use time::OffsetDateTime;

static DEPTH: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge_vec("souk_outbox_events", "Events that are not published yet", &["context", "database"])
});
static AGE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Age of the oldest event that is not published yet";
    gauge_vec("souk_outbox_oldest_seconds", help, &["context", "database"])
});
static PUBLISH_LAG: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "From the beginning of an event's transaction to its acknowledgement";
    histogram_vec("souk_publish_lag_seconds", help, &["context"])
});
static LAG: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Events of the stream that are not acknowledged yet";
    gauge_vec("souk_consumer_lag_events", help, &["consumer"])
});
static BATCH: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = [1., 2., 4., 8., 16., 32., 64., 128., 256.];
    let help = "Events in one transaction";
    histogram_vec_with("souk_consumer_batch_events", help, &["consumer"], &buckets)
});
static REDELIVERED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Messages that had been delivered before";
    counter_vec("souk_consumer_redeliveries_total", help, &["consumer"])
});
static DEAD_LETTERS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge_vec("souk_dead_letters", "Events that are given up on now", &["context", "database"])
});
static DEAD_LETTERED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter_vec("souk_dead_letters_total", "Events that were given up on", &["consumer"])
});
static DIFFERS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "1 while a stream or consumer is not as it is configured, and cannot be changed";
    gauge_vec("souk_bus_differs", help, &["name"])
});

/// Whether this stream or consumer is not as it is configured, and the server refuses to change that.
pub(crate) fn differs(name: &str, differs: bool) {
    DIFFERS.with_label_values(&[name]).set(differs.into());
}

pub(crate) fn outbox(context: &str, database: usize, (depth, age): (i64, f64)) {
    let labels = [context, &database.to_string()];
    DEPTH.with_label_values(&labels).set(depth);
    AGE.with_label_values(&labels).set(age as i64);
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
    REDELIVERED.with_label_values(&[name]);
    DEAD_LETTERED.with_label_values(&[name]);
}

/// What waits in the stream, and what was delivered and is not acknowledged.
pub(crate) fn lag(consumer: &str, pending: u64, unacknowledged: usize) {
    let events = i64::try_from(pending).unwrap_or(i64::MAX);
    let lag = events.saturating_add_unsigned(unacknowledged as u64);
    LAG.with_label_values(&[consumer]).set(lag);
}

/// How many of these messages come again: a batch failed, an acknowledgement was lost, or a process died.
pub(crate) fn delivered(consumer: &str, messages: &[Message]) {
    let again = messages.iter().filter(|it| it.info().is_ok_and(|info| info.delivered > 1));
    REDELIVERED.with_label_values(&[consumer]).inc_by(again.count() as u64);
}

pub(crate) fn batch(consumer: &str, events: usize) {
    BATCH.with_label_values(&[consumer]).observe(events as f64);
}

pub(crate) fn dead_lettered(consumer: &str) {
    DEAD_LETTERED.with_label_values(&[consumer]).inc();
}
