//! What a copy has in hand: it keeps it while it lives, it takes no more than it can handle, and
//! others have it soon when it dies.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{Config, Stream};
use kernel::{OrderId, Shard};
use messaging::{Outgoing, ProvisionerOptions};
use proto::order::v1::OrderConfirmed;
use testkit::eventually;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};
use crate::bus_loss::published;
use crate::watching::{metric, value};

/// A handler that waits for permits, and where they come from.
fn held() -> (Effects, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    (Effects { gate: Some(Arc::clone(&gate)), ..Effects::default() }, gate)
}

async fn holds_a_batch(handler: &Effects) {
    eventually("a batch is in hand", SOON, async || {
        (handler.batches.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await;
}

async fn publish(context: &Context, events: usize) {
    let event = |id: OrderId| OrderConfirmed { order_id: id.to_string(), ..Default::default() };
    let ids = (0..events).map(|_| OrderId::mint_on(Shard(3)));
    let all: Vec<_> = ids.map(|id| Outgoing::new(id, &event(id))).collect();
    context.publish(Shard(3), all).await.unwrap();
    published(context, events).await;
}

async fn stream(context: &Context) -> Stream {
    let jetstream = async_nats::jetstream::new(context.bus.client().clone());
    jetstream.get_stream("SOUK_ORDER").await.unwrap()
}

/// Its transaction goes with it, its messages come again: not after half of an order's time to settle.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_copy_had_in_hand_is_soon_delivered_to_another() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    let (handler, gate) = held();
    let copy = context.consume_as("test", handler.clone(), &stop);
    publish(&context, 300).await;
    holds_a_batch(&handler).await;
    copy.abort();
    gate.close(); // a killed process's transactions end with its connections
    let killed = Instant::now();
    context.consume(Effects::default(), &stop);
    context.settled(300).await;
    let after = killed.elapsed();
    println!("settled {after:?} after the kill");
    assert!(after < Duration::from_secs(5), "{after:?}");
}

/// Longer than the server waits: what is being handled, and what waits behind it, comes once.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_is_delivered_once() {
    let context = Context::of(&["lengthy"], 1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    let (handler, gate) = held();
    context.consume_as("lengthy", handler.clone(), &stop);
    publish(&context, 1_500).await;
    holds_a_batch(&handler).await;
    tokio::time::sleep(Duration::from_secs(4)).await; // the fault itself
    gate.add_permits(1_500);
    context.settled(1_500).await;
    // Without a word they all would; on a machine that stands still for a second some may.
    let again = metric("souk_consumer_redeliveries_total", "lengthy");
    assert!(again < Some(300), "{again:?} came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_copy_leaves_to_the_other_what_it_cannot_handle() {
    let context = Context::of(&["hoarding"], 1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    let (slow, gate) = held();
    context.consume_as("hoarding", slow.clone(), &stop);
    publish(&context, 6_000).await;
    // It handles a batch each second, and so comes to look for more.
    for batches in 1..=4 {
        eventually("the next batch is in hand", SOON, async || {
            (slow.batches.load(Ordering::SeqCst) >= batches).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await; // the fault itself: it is slow
        gate.add_permits(1);
    }
    let mut consumer: PullConsumer =
        stream(&context).await.get_consumer("hoarding-from-order").await.unwrap();
    let pending = eventually("it has something in hand", SOON, async || {
        Some(consumer.info().await.ok()?.num_ack_pending).filter(|pending| *pending > 0)
    })
    .await;
    assert!(pending <= 1024, "{pending} in hand");
    context.consume_as("hoarding", Effects::default(), &stop);
    gate.add_permits(6_000);
    context.settled(6_000).await;
}

/// A release that configures streams and consumers otherwise finds those of the one before.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a scenario, told in order")]
async fn what_exists_is_brought_to_what_is_configured_and_an_alarm_otherwise() {
    const CONSUMERS: [&str; 2] = ["changed", "unchangeable"];
    let mut context = Context::of(&CONSUMERS, 1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.world.stop_provisioner();
    let jetstream = async_nats::jetstream::new(context.bus.client().clone());
    drop(jetstream.delete_stream("SOUK_ORDER").await); // it may have been created already
    let config = Config {
        name: "SOUK_ORDER".into(),
        subjects: vec!["souk.order.v1.>".into()],
        max_bytes: 1 << 20,
        ..Config::default()
    };
    let before = jetstream.create_stream(config).await.unwrap();
    for (name, deliver_policy) in
        [("changed", DeliverPolicy::All), ("unchangeable", DeliverPolicy::New)]
    {
        let config = pull::Config {
            durable_name: Some(format!("{name}-from-order")),
            filter_subject: "souk.order.v1.>".into(),
            deliver_policy,
            ack_wait: Duration::from_secs(10),
            ..pull::Config::default()
        };
        before.create_consumer(config).await.unwrap();
    }
    let sources: &[&str] = &["order"];
    let topology = CONSUMERS.map(|context| (context, sources));
    context.world.provision(ProvisionerOptions::default(), topology.into());
    context.relay(&stop);
    context.consume_as("changed", Effects::default(), &stop);
    eventually("the stream is changed", SOON, async || {
        let now = stream(&context).await.cached_info().config.clone();
        (now.max_bytes == 1 << 30 && now.max_age > Duration::ZERO).then_some(())
    })
    .await;
    eventually("the consumer is changed", SOON, async || {
        let changed: PullConsumer =
            stream(&context).await.get_consumer("changed-from-order").await.unwrap();
        (changed.cached_info().config.ack_wait == Duration::from_millis(1500)).then_some(())
    })
    .await;
    let differs = |name: &str| value("souk_bus_differs", &format!("name=\"{name}\""));
    eventually("the alarm", SOON, async || {
        (differs("unchangeable-from-order") == Some(1)).then_some(())
    })
    .await;
    assert_eq!(differs("changed-from-order"), Some(0));
    context.consume_as("unchangeable", Effects::default(), &stop);
    context.confirm(Shard(3)).await; // events go on
    eventually("both have it", SOON, async || (context.count("effects") == 2).then_some(())).await;
}
