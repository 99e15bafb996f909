//! Every metric of the shop. `docs/metrics.md` is made from this list, and nothing else can be registered.
//!
//! Names, labels and units are OpenTelemetry's where its semantic conventions are stable (HTTP, RPC, the duration of
//! database operations), and begin with `souk.` otherwise. `name=value` is a label that is always the same.
//! What Prometheus shows is made from them as OpenTelemetry says: `souk.outbox.oldest` in seconds is
//! `souk_outbox_oldest_seconds`.

use prometheus::{Counter, Gauge, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::metrics::{About, Instrument, Metric};

/// `NAME: Type = "otel.name", "unit", [labels];` under the text that says what it measures.
macro_rules! catalogue {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident = $otel:literal, $unit:literal, [$($label:literal),*];)*) => {
        $(
            $(#[doc = $help])+
            pub static $name: Metric<$kind> = Metric::new(&About {
                name: $otel,
                kind: <$kind as Instrument>::KIND,
                unit: $unit,
                help: concat!($($help),+),
                labels: &[$($label),*],
            });
        )*
        /// All of them, in the order of the reference.
        pub static ALL: &[&About] = &[$($name.about()),*];

        #[cfg(test)]
        pub(crate) fn register_all() {
            $(let _registered: &$kind = &$name;)*
        }
    };
}

catalogue! {
    /// Requests answered, by route; a live stream until its beginning. Status 499 is a client that went away.
    HTTP_SERVER_DURATION: HistogramVec = "http.server.request.duration", "s",
        ["url.scheme", "http.request.method", "http.route", "http.response.status_code", "error.type"];
    /// Requests to the payment service provider. What was asked for is the template of the path.
    HTTP_CLIENT_DURATION: HistogramVec = "http.client.request.duration", "s",
        ["url.scheme=http", "server.address", "server.port", "http.request.method", "url.template",
         "http.response.status_code", "error.type"];
    /// Calls served, until the answer; streams until their end.
    RPC_SERVER_DURATION: HistogramVec = "rpc.server.call.duration", "s",
        ["rpc.system.name=grpc", "rpc.method", "rpc.response.status_code", "error.type"];
    /// Calls made, all attempts together; streams until their beginning.
    RPC_CLIENT_DURATION: HistogramVec = "rpc.client.call.duration", "s",
        ["rpc.system.name=grpc", "server.address", "rpc.method", "rpc.response.status_code", "error.type"];
    /// Reads, single writes and transactions, from having a connection until it is given back.
    DB_OPERATION_DURATION: HistogramVec = "db.client.operation.duration", "s",
        ["db.system.name=postgresql", "db.namespace", "db.operation.name", "souk.use_case"];

    /// Open connections of clients.
    HTTP_SERVER_CONNECTIONS: IntGauge = "souk.http.server.connections", "{connection}", [];
    /// Clients that got no connection, because TLS was not agreed on.
    HTTP_SERVER_HANDSHAKES_FAILED: IntCounterVec = "souk.http.server.handshakes.failed", "{handshake}", ["reason"];
    /// Requests turned away because too many were in progress.
    HTTP_SERVER_SHED: IntCounterVec = "souk.http.server.shed", "{request}", ["class"];
    /// Requests sent: more than the calls made by the retries.
    RPC_CLIENT_ATTEMPTS: IntCounterVec = "souk.rpc.client.attempts", "{request}", ["method"];
    /// Connections tried.
    RPC_CLIENT_CONNECTS: IntCounterVec = "souk.rpc.client.connects", "{connection}", ["peer", "outcome"];
    /// TLS handshakes of callers.
    RPC_SERVER_HANDSHAKES: IntCounterVec = "souk.rpc.server.handshakes", "{handshake}", ["outcome"];
    /// Calls refused because too many were in progress.
    RPC_SERVER_SHED: IntCounterVec = "souk.rpc.server.shed", "{call}", ["kind"];
    /// Times that the certificate files had changed.
    RPC_TLS_RELOADS: IntCounterVec = "souk.rpc.tls.reloads", "{reload}", ["outcome"];

    /// Members of one batch: what was asked at one moment and shared an exchange.
    BATCH_SIZE: HistogramVec = "souk.batch.size", "{member}", ["batch"];
    /// Those who wait for the batch under way to end, and go together in the next.
    BATCH_WAITING: IntGaugeVec = "souk.batch.waiting", "{member}", ["batch"];

    /// Answers of a cache, by where they come from: `hit`, `joined` (a load that was under way), `loaded`, or `stale` (none could be had, and an old one could).
    CACHE_READS: IntCounterVec = "souk.cache.reads", "{read}", ["cache", "outcome"];
    /// Samples of what a cache shows, compared with the database: `current`, `replaced` (within the last second), or `stale`
    /// (longer ago), which is a promise broken.
    CACHE_AUDITS: IntCounterVec = "souk.cache.audits", "{sample}", ["cache", "outcome"];
    /// 1 while the source of a cache says what changes, so that what does not is kept for long.
    CACHE_FOLLOWING: IntGaugeVec = "souk.cache.following", "1", ["cache"];
    /// What a cache holds, as it counts it.
    CACHE_BYTES: IntGaugeVec = "souk.cache.size", "By", ["cache"];
    /// 1 while Redis answers for this purpose, 0 since it did not; not there where none is configured.
    REDIS_UP: IntGaugeVec = "souk.redis.up", "1", ["purpose"];
    /// Revoked sign-ins that are refused here: those of the last eleven minutes.
    REVOKED_FAMILIES: IntGauge = "souk.revoked_families", "{family}", [];

    /// From asking for a connection to having one.
    DATABASE_WAIT: HistogramVec = "souk.database.wait", "s", ["database", "pool"];
    /// Connections in use.
    DATABASE_IN_USE: IntGaugeVec = "souk.database.connections.in_use", "{connection}", ["database", "pool"];
    /// 1 while the database has let nobody in since the last one who asked.
    DATABASE_LOST: IntGaugeVec = "souk.database.lost", "1", ["database", "pool"];
    /// Connections that were opened.
    DATABASE_OPENED: IntCounterVec = "souk.database.connections.opened", "{connection}", ["database", "pool"];
    /// Connections that were closed in use: broken, or without an answer in time.
    DATABASE_DISCARDED: IntCounterVec = "souk.database.connections.discarded", "{connection}",
        ["database", "pool"];

    /// Events that are not published yet.
    OUTBOX_DEPTH: IntGaugeVec = "souk.outbox.depth", "{event}", ["context", "database"];
    /// Age of the oldest event that is not published yet.
    OUTBOX_OLDEST: IntGaugeVec = "souk.outbox.oldest", "s", ["context", "database"];
    /// From the beginning of an event's transaction to its acknowledgement by the bus.
    PUBLISH_LAG: HistogramVec = "souk.publish.lag", "s", ["context"];
    /// Consumer lag: events of the stream that are not acknowledged yet.
    CONSUMER_LAG: IntGaugeVec = "souk.consumer.lag", "{event}", ["consumer"];
    /// Events in one transaction.
    CONSUMER_BATCH_SIZE: HistogramVec = "souk.consumer.batch.size", "{event}", ["consumer"];
    /// Messages that had been delivered before.
    CONSUMER_REDELIVERIES: IntCounterVec = "souk.consumer.redeliveries", "{message}", ["consumer"];
    /// Events that were given up on.
    CONSUMER_DEAD_LETTERED: IntCounterVec = "souk.consumer.dead_lettered", "{event}", ["consumer"];
    /// Events that are given up on now.
    DEAD_LETTERS: IntGaugeVec = "souk.dead_letters", "{event}", ["context", "database"];
    /// 1 while a stream or consumer is not as it is configured, and cannot be changed.
    BUS_DIFFERS: IntGaugeVec = "souk.bus.differs", "1", ["name"];

    /// Payments and refunds that the provider has not carried out yet, and refunds that it refused: decisions of staff.
    PAYMENT_WAITING: IntGaugeVec = "souk.payment.waiting", "{intent}", ["what"];
    /// Payments that ended because their pay-by had passed.
    PAYMENT_EXPIRED: IntCounter = "souk.payment.expired", "{payment}", [];
    /// Reservations that were still held ten minutes after they were made, each counted once.
    RESERVATIONS_OVERDUE: IntCounter = "souk.reservations.overdue", "{reservation}", [];
    /// How long ago the oldest import was begun that is running or waits; 0 without one.
    IMPORT_OLDEST: IntGauge = "souk.import.oldest", "s", [];
    /// Refreshes of materialised views: `done`, or `failed`, and then the view keeps its old rows.
    VIEW_REFRESHES: IntCounterVec = "souk.view.refreshes", "{refresh}", ["view", "outcome"];

    /// Recorded spans by what became of them.
    SPANS: IntCounterVec = "souk.spans", "{span}", ["outcome"];
    /// Resident memory.
    PROCESS_MEMORY: Gauge = "process.resident_memory", "By", [];
    /// User and system CPU time.
    PROCESS_CPU: Counter = "process.cpu", "s", [];
    /// Open file descriptors.
    PROCESS_FILES: Gauge = "process.open_fds", "{file}", [];
}
