//! What an operator watches: how much waits, for how long, and what was given up on.

use std::sync::LazyLock;

use telemetry::metrics::prometheus::{Histogram, HistogramVec, IntCounterVec, IntGaugeVec};
use telemetry::metrics::{counter_vec, gauge_vec, histogram_vec, histogram_vec_with};

use crate::event::Stored;

static DEPTH: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge_vec("souk_outbox_events", "Events that are not published yet", &["context", "database"])
});
static AGE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Age of the oldest event that is not published yet";
    gauge_vec("souk_outbox_oldest_seconds", help, &["context", "database"])
});
static PUBLISH_LAG: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram_vec("souk_publish_lag_seconds", "From commit to acknowledgement", &["context"])
});
static LAG: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge_vec("souk_consumer_lag_events", "Events that wait in the stream", &["consumer"])
});
static BATCH: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = [1., 2., 4., 8., 16., 32., 64., 128., 256.];
    let help = "Events in one transaction";
    histogram_vec_with("souk_consumer_batch_events", help, &["consumer"], &buckets)
});
static PARKED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter_vec("souk_dead_letters_total", "Events that were given up on", &["consumer"])
});

pub(crate) fn outbox(context: &str, database: usize, (depth, age): (i64, f64)) {
    let labels = [context, &database.to_string()];
    DEPTH.with_label_values(&labels).set(depth);
    AGE.with_label_values(&labels).set(age as i64);
}

pub(crate) fn published<'a>(context: &str, events: impl Iterator<Item = &'a Stored>) {
    let lag: Histogram = PUBLISH_LAG.with_label_values(&[context]);
    let now = kernel::clock::now();
    events.for_each(|event| lag.observe((now - event.occurred_at).as_seconds_f64().max(0.0)));
}

pub(crate) fn lag(consumer: &str, pending: u64) {
    LAG.with_label_values(&[consumer]).set(i64::try_from(pending).unwrap_or(i64::MAX));
}

pub(crate) fn batch(consumer: &str, events: usize) {
    BATCH.with_label_values(&[consumer]).observe(events as f64);
}

pub(crate) fn parked(consumer: &str) {
    PARKED.with_label_values(&[consumer]).inc();
}
