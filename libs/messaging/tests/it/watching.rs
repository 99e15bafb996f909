//! What an operator sees of events at `/metrics`.

use std::sync::atomic::Ordering;

use kernel::{Shard, UserId};
use messaging::{Outgoing, Relay};
use proto::user::v1::UserErased;
use stores::Server;
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_passes_is_one_redelivery() {
    let context = Context::of(&["failing"], 1).await;
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
    assert_eq!(metric("souk_consumer_dead_lettered_total", "failing"), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_outage_leaves_undone_is_lag() {
    let context = Context::of(&["lagging"], 1).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_the_outbox_is_seen_while_the_bus_is_away() {
    let mut context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.world.nats().stop_server(Server::Nats).unwrap();
    // Of a context that no other test publishes for.
    context.upkeep("user", &stop);
    let relay = Relay::new("user", &context.bus, &context.database, &context.outbox);
    tokio::spawn(relay.run(stop.clone()));
    for _ in 0..3 {
        let id = UserId::mint_on(Shard(3));
        let event = UserErased { user_id: id.to_string() };
        context.publish(id.shard(), vec![Outgoing::new(id, &event)]).await.unwrap();
    }
    let waiting = || value("souk_outbox_depth", r#"context="user",database="0""#);
    let oldest = || value("souk_outbox_oldest_seconds", r#"context="user",database="0""#);
    let published = || value("souk_publish_lag_seconds_count", r#"context="user""#);
    eventually("three wait", SOON, async || {
        (waiting() == Some(3) && oldest() >= Some(1)).then_some(())
    })
    .await;
    assert_eq!(published(), None);
    context.world.nats().start_server(Server::Nats).unwrap();
    eventually("nothing waits", SOON, async || {
        (waiting() == Some(0) && oldest() == Some(0)).then_some(())
    })
    .await;
    assert_eq!(published(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_taken_in_batches_and_what_is_given_up_on_is_counted() {
    let context = Context::of(&["test", "choosing"], 1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(context.confirm(Shard(3)).await);
    }
    context.relay(&stop);
    // One that begins after everything is in the stream.
    context.consume(Effects::default(), &stop);
    context.settled(20).await;
    let handler = Effects { refuses_at: Some(ids[7]), ..Effects::default() };
    context.consume_as("choosing", handler, &stop);
    eventually("one is given up on", SOON, async || {
        (metric("souk_consumer_dead_lettered_total", "choosing") == Some(1)).then_some(())
    })
    .await;
    let batch = |what: &str| metric(&format!("souk_consumer_batch_size_{what}"), "choosing");
    assert!(batch("sum") >= Some(20), "{:?}", batch("sum"));
    assert!(batch("count") < batch("sum"), "{:?} batches", batch("count"));
}

async fn lags(events: u64) {
    eventually("the lag is seen", SOON, async || {
        (metric("souk_consumer_lag", "lagging") == Some(events)).then_some(())
    })
    .await;
}

/// Cart publishes nothing, so it has no relay.
#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_only_consumes_is_looked_after_too() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.world.sql(&context.urls[0], "select messaging.create_day('inbox', current_date - 40)");
    context.upkeep("cart", &stop);
    let old = "pg_class where relname = 'inbox_' || to_char(current_date - 40, 'YYYYMMDD')";
    eventually("the old day is dropped", SOON, async || (context.count(old) == 0).then_some(()))
        .await;
    let labels = r#"context="cart",database="0""#;
    eventually("its figures are there", SOON, async || {
        value("souk_outbox_depth", labels)?;
        value("souk_dead_letters", labels)
    })
    .await;
}

/// The value of a metric of the consumer that this context has of order's events.
pub fn metric(name: &str, context: &str) -> Option<u64> {
    value(name, &format!("consumer=\"{context}-from-order\""))
}

pub fn value(name: &str, labels: &str) -> Option<u64> {
    let series = format!("{name}{{{labels}}} ");
    let metrics = telemetry::render_metrics();
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}
