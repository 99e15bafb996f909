//! What the credentials of one context are good for on the bus, and what they are not.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, ContextBuilder};
use futures_util::{FutureExt as _, StreamExt as _};
use kernel::Shard;
use messaging::{Bus, Consumer, Options, Relay};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};
use crate::bus_loss::published;

const SOURCE: &str = "SOUK_ORDER";
const THEIRS: &str = "product-from-order";

/// As the context's services sign in.
async fn bus_of(context: &Context, user: &str) -> Bus {
    Bus::connect(&Options::at(context.world.bus_url(user)), user).await.unwrap()
}

/// All of it: a stream that is configured otherwise, a consumer, acknowledgements, and a loss of either.
#[tokio::test(flavor = "multi_thread")]
async fn a_context_can_do_with_its_own_credentials_all_that_it_has_to() {
    let context = Context::new(2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let operator = jetstream::new(context.bus.client().clone());
    let before = Config {
        name: SOURCE.into(),
        subjects: vec!["souk.order.v1.>".into()],
        ..Config::default()
    };
    operator.create_stream(before).await.unwrap();
    let [order, product] = [bus_of(&context, "order").await, bus_of(&context, "product").await];
    let relay = Relay::new("order", &order, &context.database, &context.outbox);
    tokio::spawn(relay.run(stop.clone()));
    let consumer = Consumer { context: "product", source: "order", handler: Effects::default() };
    tokio::spawn(consumer.run(product, context.database.clone(), stop.clone()));
    for shard in 0..20u8 {
        context.confirm(Shard(shard * 12)).await;
    }
    context.settled(20).await;
    let stream = operator.get_stream(SOURCE).await.unwrap();
    assert!(stream.cached_info().config.max_bytes > 0, "it is as it is configured now");
    let mut theirs: PullConsumer = stream.get_consumer(THEIRS).await.unwrap();
    eventually("all are acknowledged", SOON, async || {
        (theirs.info().await.ok()?.ack_floor.stream_sequence == 20).then_some(())
    })
    .await;
    operator.delete_stream(SOURCE).await.unwrap();
    context.confirm(Shard(0)).await;
    context.settled(21).await;
    operator.get_stream(SOURCE).await.unwrap().delete_consumer(THEIRS).await.unwrap();
    context.confirm(Shard(0)).await;
    context.settled(22).await;
}

/// Somebody has payment's credentials and wants goods.
#[tokio::test(flavor = "multi_thread")]
async fn one_contexts_credentials_say_nothing_in_anothers_name() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.confirm(Shard(3)).await;
    published(&context, 1).await;
    let operator = jetstream::new(context.bus.client().clone());
    let source = operator.get_stream(SOURCE).await.unwrap();
    let config = pull::Config { durable_name: Some(THEIRS.into()), ..pull::Config::default() };
    let mut consumer: PullConsumer = source.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let message = messages.next().await.unwrap().unwrap();
    let others = Config { name: "SOUK_USER".into(), ..Config::default() };
    operator.create_stream(others).await.unwrap();
    let mut answers = context.bus.client().subscribe("_INBOX.order.answer").await.unwrap();

    let stolen = bus_of(&context, "payment").await.client().clone();
    let mut overheard = stolen.subscribe("_INBOX.order.>").await.unwrap();
    let bus = ContextBuilder::new().timeout(Duration::from_secs(1)).build(stolen.clone());
    // Another's event, whether or not it asks for an acknowledgement.
    let confirmed = "souk.order.v1.order.order_confirmed";
    assert!(bus.publish(confirmed, "".into()).await.unwrap().await.is_err());
    stolen.publish(confirmed, "".into()).await.unwrap();
    // Another's consumer: what it has acknowledged counts as handled.
    stolen.publish(message.reply.clone().unwrap(), "+ACK".into()).await.unwrap();
    assert!(bus.get_stream(SOURCE).await.is_ok(), "what it takes in it may look at");
    let theirs = bus.get_stream(SOURCE).await.unwrap();
    assert!(theirs.get_consumer::<pull::Config>(THEIRS).await.is_err());
    assert!(theirs.delete_consumer(THEIRS).await.is_err());
    assert!(theirs.purge().await.is_err());
    assert!(bus.delete_stream(SOURCE).await.is_err());
    assert!(bus.get_stream("SOUK_USER").await.is_err(), "not even to look at");
    // Another's answers.
    stolen.publish("_INBOX.order.answer", "a lie".into()).await.unwrap();
    assert!(bus.get_stream(SOURCE).await.is_ok(), "and the server has come to it");
    context.bus.client().publish("_INBOX.order.answer", "the truth".into()).await.unwrap();
    assert_eq!(answers.next().await.unwrap().payload, "the truth");

    let info = source.get_info().await.unwrap();
    assert_eq!((info.state.messages, info.state.last_sequence), (1, 1));
    assert_eq!(consumer.info().await.unwrap().num_ack_pending, 1);
    assert!(overheard.next().now_or_never().flatten().is_none());
}
