//! What an operator sees of consumers at `/metrics`.

use std::sync::atomic::Ordering;

use kernel::Shard;
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_passes_is_one_redelivery() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let handler = Effects::default();
    context.relay(&stop);
    context.consume_as("failing", handler.clone(), &stop);
    context.confirm(Shard(3)).await;
    context.settled(1).await;
    assert_eq!(metric("souk_consumer_redeliveries_total", "failing"), Some(0));
    handler.outages.store(1, Ordering::SeqCst);
    context.confirm(Shard(3)).await;
    context.settled(2).await;
    assert_eq!(metric("souk_consumer_redeliveries_total", "failing"), Some(1));
    assert_eq!(metric("souk_dead_letters_total", "failing"), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_outage_leaves_undone_is_lag() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let handler = Effects::default();
    handler.outages.store(usize::MAX, Ordering::SeqCst);
    context.relay(&stop);
    context.consume_as("lagging", handler.clone(), &stop);
    for _ in 0..10 {
        context.confirm(Shard(3)).await;
    }
    lags(10).await;
    assert!(metric("souk_consumer_redeliveries_total", "lagging") >= Some(10));
    handler.outages.store(0, Ordering::SeqCst);
    context.settled(10).await;
    lags(0).await;
}

async fn lags(events: u64) {
    eventually("the lag is seen", SOON, async || {
        (metric("souk_consumer_lag_events", "lagging") == Some(events)).then_some(())
    })
    .await;
}

/// The value of a metric of the consumer that this context has of order's events.
fn metric(name: &str, context: &str) -> Option<u64> {
    let series = format!("{name}{{consumer=\"{context}-from-order\"}} ");
    let metrics = telemetry::metrics::render();
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}
