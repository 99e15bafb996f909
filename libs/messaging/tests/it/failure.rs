//! Poison never blocks, an outage never poisons.

use std::sync::atomic::Ordering;

use async_nats::HeaderMap;
use kernel::{EventId, OrderId, Shard};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn what_panics_or_is_refused_is_parked_and_holds_up_nobody() {
    let context = Context::new(2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let mut ids = Vec::new();
    for shard in 0..40u8 {
        ids.push(context.confirm(Shard(shard * 6)).await);
    }
    let handler =
        Effects { panics_at: Some(ids[7]), refuses_at: Some(ids[30]), ..Effects::default() };
    context.relay(&stop);
    context.consume(handler, &stop);
    context.settled(38).await;
    parked(&context, 2).await;
    assert_eq!(context.count("messaging.dead_letters where tries = 5"), 2);
    assert_eq!(context.count("messaging.dead_letters where error like '%told to refuse%'"), 1);
    assert_eq!(context.count("messaging.inbox"), 40, "parked is an outcome too");
    assert_eq!(context.count("messaging.failures"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_outlived_and_parks_nothing() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let handler = Effects::default();
    handler.outages.store(12, Ordering::SeqCst);
    context.relay(&stop);
    context.consume(handler.clone(), &stop);
    for _ in 0..10 {
        context.confirm(Shard(3)).await;
    }
    context.settled(10).await;
    assert_eq!(handler.outages.load(Ordering::SeqCst), 0, "the outage took place");
    assert_eq!(context.count("messaging.dead_letters"), 0);
    assert_eq!(context.count("messaging.failures"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_of_ours_is_parked_with_its_reason() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.consume(Effects::default(), &stop);
    context.confirm(Shard(3)).await;
    context.settled(1).await;
    let jetstream = async_nats::jetstream::new(context.bus.client().clone());
    let subject = "souk.order.v1.order.order_cancelled";
    let bare = jetstream.publish(subject, "no headers".into()).await.unwrap();
    bare.await.unwrap();
    let bad_payload = jetstream.publish_with_headers(subject, headers(), "\u{ff}".into());
    bad_payload.await.unwrap().await.unwrap();
    parked(&context, 2).await;
    assert_eq!(context.count("messaging.dead_letters where error = 'no headers' and tries = 1"), 1);
    assert_eq!(context.count("messaging.dead_letters where tries = 5"), 1);
    context.confirm(Shard(3)).await;
    context.settled(2).await;
}

async fn parked(context: &Context, letters: usize) {
    eventually("parked", SOON, async || {
        (context.count("messaging.dead_letters") == letters).then_some(())
    })
    .await;
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", EventId::mint().to_string());
    headers.insert("ce-type", "souk.order.v1.OrderCancelled");
    headers.insert("ce-subject", OrderId::mint().to_string());
    headers.insert("ce-time", "2026-01-01T00:00:00Z");
    headers
}
