//! Every committed event has its effect exactly once, on the shard where it belongs.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use kernel::{OrderId, Shard};
use messaging::Outgoing;
use proto::order::v1::OrderConfirmed;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, bus, connect};
use crate::bus_loss::published;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_exists_if_and_only_if_its_transaction_committed() {
    let context = Context::new(2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.consume(Effects::default(), &stop);
    // 8 writers, every third transaction rolls back, on all shards.
    let writers = (0..8u8).map(|writer| {
        let context = &context;
        async move {
            for step in 0..30u8 {
                if step % 3 == 0 {
                    let id = OrderId::mint_on(Shard(writer * 31));
                    let event =
                        OrderConfirmed { order_id: id.to_string(), ..OrderConfirmed::default() };
                    let (outbox, event) = (context.outbox.clone(), Outgoing::new(id, &event));
                    let taken_back = context.database.transaction(id.shard(), move |tx| {
                        let publish = async move {
                            outbox.publish(tx, &[event]).await?;
                            Err::<(), _>(sqlx::Error::RowNotFound) // whatever it is: it failed
                        };
                        publish.boxed()
                    });
                    taken_back.await.unwrap_err();
                } else {
                    context.confirm(Shard(writer * 31)).await;
                }
            }
        }
    });
    join_all(writers).await;
    context.settled(8 * 20).await;
    for url in &context.urls {
        let here = context.world.sql(url, "select count(*) from effects");
        assert_ne!(here, "0", "both shards have work");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_goes_away_is_followed_by_another() {
    let context = Context::new(1).await;
    let (first, all) = (CancellationToken::new(), CancellationToken::new());
    let _ended = all.clone().drop_guard();
    context.consume(Effects::default(), &all);
    context.relay(&first).abort(); // killed: its lease is not given back
    context.relay(&first);
    for _ in 0..20 {
        context.confirm(Shard(0)).await;
    }
    first.cancel();
    let other = Context2 { database: connect(&context.urls).await, bus: bus(&context.world).await };
    other.relay(&all);
    for _ in 0..20 {
        context.confirm(Shard(0)).await;
    }
    context.settled(40).await;
}

/// Another copy of the service: connections of its own, the same database.
struct Context2 {
    database: database::Database,
    bus: messaging::Bus,
}

impl Context2 {
    fn relay(&self, stop: &CancellationToken) {
        let outbox = messaging::Outbox::new(&self.database);
        let relay = messaging::Relay::new("order", &self.bus, &self.database, &outbox);
        tokio::spawn(relay.run(stop.clone()));
    }
}

/// One copy tells the other four times a second that there might be work, and nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn two_relays_do_not_keep_each_other_awake() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.confirm(Shard(0)).await;
    published(&context, 1).await;
    let other = Context2 { database: connect(&context.urls).await, bus: bus(&context.world).await };
    other.relay(&stop);
    let mut pokes = context.bus.client().subscribe("souk-poke.order.0").await.unwrap();
    pokes.next().await.unwrap();
    let first = Instant::now();
    for _ in 0..20 {
        pokes.next().await.unwrap();
    }
    assert!(first.elapsed() >= Duration::from_secs(1), "20 in {:?}", first.elapsed());
}

/// The other may have seen that the stream lost what it acknowledged to this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_lease_was_taken_marks_nothing() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.confirm(Shard(0)).await;
    published(&context, 1).await;
    let taken = "update messaging.relay
                 set holder = gen_random_uuid(), held_until = now() + interval '4 seconds';
                 create table taken as select held_until from messaging.relay";
    context.world.sql(&context.urls[0], taken);
    context.confirm(Shard(0)).await;
    published(&context, 2).await; // when it has the lease again
    let meanwhile = "messaging.outbox o, taken t
                     where published_at < held_until
                         and published_at > held_until - interval '4 seconds'";
    assert_eq!(context.count(meanwhile), 0);
    context.consume(Effects::default(), &stop);
    context.settled(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_three_times_has_one_effect() {
    let context = Context::new(2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    for shard in 0..50u8 {
        context.confirm(Shard(shard * 5)).await;
    }
    context.consume(Effects::default(), &stop);
    context.settled(50).await;
    // Published again under other message ids, as a relay does whose marks were lost after the
    // server's window for duplicates.
    let stream = async_nats::jetstream::new(context.bus.client().clone());
    let stream_handle = stream.get_stream("SOUK_ORDER").await.unwrap();
    for _ in 0..2 {
        for sequence in 1..=50 {
            let message = stream_handle.get_raw_message(sequence).await.unwrap();
            let mut headers = message.headers.clone();
            headers.insert("Nats-Msg-Id", format!("again-{sequence}-{}", OrderId::mint()));
            let again = stream.publish_with_headers(message.subject, headers, message.payload);
            again.await.unwrap().await.unwrap();
        }
    }
    let mut consumer: async_nats::jetstream::consumer::PullConsumer =
        stream_handle.get_consumer("test-from-order").await.unwrap();
    testkit::eventually("all 150 are acknowledged", crate::bench::SOON, async || {
        let info = consumer.info().await.unwrap();
        (info.num_pending == 0 && info.ack_floor.stream_sequence == 150).then_some(())
    })
    .await;
    context.settled(50).await;
}
