//! What an operator sees of the connections.

use std::sync::LazyLock;
use std::time::Duration;

use telemetry::metrics::prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};
use telemetry::metrics::{counter_vec, gauge_vec, histogram_vec};

static WAITED: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "From asking for a connection to having one";
    histogram_vec("souk_database_wait_seconds", help, &["database", "pool"])
});
static HELD: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "How long a use case had its connection";
    histogram_vec("souk_database_held_seconds", help, &["case"])
});
static IN_USE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge_vec("souk_database_connections_in_use", "Connections in use", &["database", "pool"])
});
static LOST: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Whether the database has let nobody in since the last one who asked: 0 or 1";
    gauge_vec("souk_database_lost", help, &["database", "pool"])
});
static OPENED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Connections that were opened";
    counter_vec("souk_database_connections_opened_total", help, &["database", "pool"])
});
static DISCARDED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Connections that were closed in use: broken, or without an answer in time";
    counter_vec("souk_database_connections_discarded_total", help, &["database", "pool"])
});

/// The figures of one pool.
pub(crate) struct Meter {
    waited: Histogram,
    in_use: IntGauge,
    lost: IntGauge,
    opened: IntCounter,
    discarded: IntCounter,
}

impl Meter {
    /// Of the `pool` ("read" or "write") of the database with this index.
    pub(crate) fn new(database: usize, pool: &str) -> Self {
        let labels = [&*database.to_string(), pool];
        Self {
            waited: WAITED.with_label_values(&labels),
            in_use: IN_USE.with_label_values(&labels),
            lost: LOST.with_label_values(&labels),
            opened: OPENED.with_label_values(&labels),
            discarded: DISCARDED.with_label_values(&labels),
        }
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    pub(crate) fn in_use(&self, more: i64) {
        self.in_use.add(more);
    }

    pub(crate) fn opened(&self) {
        self.opened.inc();
        self.lost.set(0);
    }

    pub(crate) fn not_opened(&self) {
        self.lost.set(1);
    }

    pub(crate) fn discarded(&self) {
        self.discarded.inc();
    }

    pub(crate) fn held(&self, case: &str, time: Duration) {
        HELD.with_label_values(&[case]).observe(time.as_secs_f64());
    }
}
