//! Metrics of connection pools.

use std::time::Duration;

use telemetry::catalogue::{
    DATABASE_DISCARDED, DATABASE_IN_USE, DATABASE_LOST, DATABASE_OPENED, DATABASE_WAIT,
    DB_OPERATION_DURATION,
};
use telemetry::metrics::prometheus::{Histogram, IntCounter, IntGauge};

/// The figures of one pool.
pub(crate) struct Meter {
    waited: Histogram,
    in_use: IntGauge,
    lost: IntGauge,
    opened: IntCounter,
    discarded: IntCounter,
    namespace: String,
}

/// What a connection is used for.
#[derive(Clone, Copy)]
pub(crate) struct Purpose {
    /// The use case: `souk.cart.v1.CartService/PutItem`.
    pub case: &'static str,
    /// "read", "write" or "transaction".
    pub operation: &'static str,
}

impl Meter {
    /// Of the `pool` ("read" or "write") of the database with this index and name.
    pub(crate) fn new(database: usize, pool: &str, namespace: &str) -> Self {
        let labels = [&*database.to_string(), pool];
        Self {
            waited: DATABASE_WAIT.with_label_values(&labels),
            in_use: DATABASE_IN_USE.with_label_values(&labels),
            lost: DATABASE_LOST.with_label_values(&labels),
            opened: DATABASE_OPENED.with_label_values(&labels),
            discarded: DATABASE_DISCARDED.with_label_values(&labels),
            namespace: namespace.to_owned(),
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

    pub(crate) fn held(&self, Purpose { case, operation }: Purpose, time: Duration) {
        let duration =
            DB_OPERATION_DURATION.with_label_values(&[&*self.namespace, operation, case]);
        duration.observe(time.as_secs_f64());
    }
}
