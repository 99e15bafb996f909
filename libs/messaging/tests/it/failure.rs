//! Poison never blocks, an outage never poisons.

use std::sync::atomic::Ordering;

use async_nats::HeaderMap;
use kernel::{EventId, OrderId, Shard};
use messaging::{Outgoing, redrive};
use proto::order::v1::OrderConfirmed;
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_dead_lettered_and_delays_no_other_event() {
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
async fn an_outage_dead_letters_nothing() {
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

/// A missing table or grant is nothing that an event can help.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_mistake_dead_letters_nothing() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let handler = Effects::default();
    context.world.sql(&context.urls[0], "alter table effects rename to elsewhere");
    context.relay(&stop);
    context.consume(handler.clone(), &stop);
    for _ in 0..10 {
        context.confirm(Shard(3)).await;
    }
    eventually("tried more often than poison is", SOON, async || {
        (handler.batches.load(Ordering::SeqCst) > 6).then_some(())
    })
    .await;
    assert_eq!(context.count("messaging.failures"), 0);
    assert_eq!(context.count("messaging.dead_letters"), 0);
    context.world.sql(&context.urls[0], "alter table elsewhere rename to effects");
    context.settled(10).await;
}

/// A grant that one kind of event needs is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_mistake_delays_no_event_that_it_does_not_concern() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(context.confirm(Shard(3)).await);
    }
    let grant = format!(
        "create function not_granted() returns trigger language plpgsql as $$ begin
             raise insufficient_privilege;
         end $$;
         create trigger not_granted before insert on effects for each row
         when (new.order_id = '{}') execute function not_granted()",
        ids[7]
    );
    context.world.sql(&context.urls[0], &grant);
    context.relay(&stop);
    context.consume(Effects::default(), &stop);
    context.settled(19).await;
    assert_eq!(context.count("messaging.failures"), 0);
    context.world.sql(&context.urls[0], "drop trigger not_granted on effects");
    context.settled(20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn a_malformed_message_is_dead_lettered_with_its_reason() {
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
    let with = |name: &'static str, value: &str| {
        let mut headers = headers();
        headers.insert(name, value);
        headers
    };
    for (headers, payload) in [
        (with("traceparent", "no\0text"), vec![0xff]),
        (with("ce-id", "7"), Vec::new()),
        (with("ce-specversion", "0.3"), Vec::new()),
        (with("ce-type", "souk.order.v2.OrderPlaced"), Vec::new()),
        (with("ce-source", "payment"), Vec::new()),
        (with("ce-type", "souk.order.v1.OrderConfirmed"), Vec::new()),
        (headers(), vec![0; (1 << 20) + 1]),
    ] {
        let sent = jetstream.publish_with_headers(subject, headers, payload.into());
        sent.await.unwrap().await.unwrap();
    }
    parked(&context, 8).await;
    assert_eq!(
        context.count("messaging.dead_letters where tries = 5 and error like '%decode%'"),
        1
    );
    for reason in [
        "no headers",
        "ce-id is not an id",
        "ce-specversion is not 1.0",
        "no type of event that is known here",
        "ce-source payment is not whose subject souk.order.v1.order.order_cancelled is",
        "a souk.order.v1.OrderConfirmed does not come as souk.order.v1.order.order_cancelled",
        "1048577 bytes, at most 1048576",
    ] {
        let letters = format!("messaging.dead_letters where error = '{reason}' and tries = 1");
        assert_eq!(context.count(&letters), 1, "{reason}");
    }
    let redriven = redrive(&context.database, None).await.unwrap();
    assert_eq!(redriven, 1, "only one is an event");
    context.confirm(Shard(3)).await;
    context.settled(2).await;
}

/// It would wait for ever for a bus that does not take it.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_is_refused_before_it_is_written() {
    let context = Context::new(1).await;
    let event = OrderConfirmed { order_id: "7".repeat(1 << 20), ..OrderConfirmed::default() };
    let large = Outgoing::new(OrderId::mint_on(Shard(3)), &event);
    let refused = context.publish(Shard(3), vec![large]).await.unwrap_err().to_string();
    assert!(refused.contains("OrderConfirmed of 1048580 bytes, at most 1048576"), "{refused}");
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
    headers.insert("ce-source", "order");
    headers.insert("ce-id", EventId::mint().to_string());
    headers.insert("ce-type", "souk.order.v1.OrderCancelled");
    headers.insert("ce-subject", OrderId::mint().to_string());
    headers.insert("ce-time", "2026-01-01T00:00:00Z");
    headers
}
