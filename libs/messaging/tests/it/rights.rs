//! What the credentials of one context are good for on the bus, and what they are not.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull, push};
use async_nats::jetstream::stream::{Config, Republish};
use async_nats::jetstream::{self, ContextBuilder};
use futures_util::{FutureExt as _, StreamExt as _};
use kernel::Shard;
use messaging::{Bus, Consumer, Options, ProvisionerOptions, Relay};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};
use crate::bus_loss::published;

const SOURCE: &str = "SOUK_ORDER";
const THEIRS: &str = "product-from-order";
const CONFIRMED: &str = "souk.order.v1.order.order_confirmed";

/// As the context's services sign in.
async fn bus_of(context: &Context, user: &str) -> Bus {
    Bus::connect(&Options::at(context.world.bus_url(user)), user).await.unwrap()
}

/// All of it: events, acknowledgements, and a loss of the stream or of the consumer.
#[tokio::test(flavor = "multi_thread")]
async fn a_context_can_do_with_its_own_credentials_all_that_it_has_to() {
    let context = Context::of(&["product"], 2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let operator = jetstream::new(context.bus.client().clone());
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

/// A deployment with another's credentials: it ends at its start and names the first subject that was refused.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_do_what_it_must_is_refused_at_its_start() {
    let context = Context::of(&["product", "payment"], 1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let stolen = bus_of(&context, "payment").await;
    let relay = Relay::new("order", &stolen, &context.database, &context.outbox);
    let refused = relay.run(stop.clone()).await.unwrap_err().to_string();
    let first = ["souk.order.v1.probe", "souk-poke.order."];
    assert!(first.iter().any(|subject| refused.contains(subject)), "{refused}");

    let stolen = bus_of(&context, "payment").await;
    let consumer = Consumer { context: "product", source: "order", handler: Effects::default() };
    let run = consumer.run(stolen, context.database.clone(), stop.clone());
    let refused = run.await.unwrap_err().to_string();
    assert!(refused.contains(".SOUK_ORDER.product-from-order"), "{refused}");
}

/// What exists works on without it; what is missing waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn events_flow_while_no_provisioner_runs() {
    let mut context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.consume(Effects::default(), &stop);
    context.confirm(Shard(3)).await;
    context.settled(1).await;
    context.world.stop_provisioner();
    context.confirm(Shard(3)).await;
    context.settled(2).await;
    jetstream::new(context.bus.client().clone()).delete_stream(SOURCE).await.unwrap();
    context.confirm(Shard(3)).await;
    let topology = vec![("test", &["order"] as &[&str])];
    context.world.provision(ProvisionerOptions::default(), topology);
    context.settled(3).await;
}

/// Somebody has payment's credentials and wants goods.
#[tokio::test(flavor = "multi_thread")]
async fn one_contexts_credentials_say_nothing_in_anothers_name() {
    let context = Context::of(&["product", "payment"], 1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.confirm(Shard(3)).await;
    published(&context, 1).await;
    let operator = jetstream::new(context.bus.client().clone());
    let source = operator.get_stream(SOURCE).await.unwrap();
    let mut consumer: PullConsumer = source.get_consumer(THEIRS).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let message = messages.next().await.unwrap().unwrap();
    let mut answers = context.bus.client().subscribe("_INBOX.order.answer").await.unwrap();

    let stolen = bus_of(&context, "payment").await.client().clone();
    let mut overheard = stolen.subscribe("_INBOX.order.>").await.unwrap();
    let bus = ContextBuilder::new().timeout(Duration::from_secs(1)).build(stolen.clone());
    // Another's event, whether or not it asks for an acknowledgement.
    assert!(bus.publish(CONFIRMED, "".into()).await.unwrap().await.is_err());
    stolen.publish(CONFIRMED, "".into()).await.unwrap();
    // Another's consumer: what it has acknowledged counts as handled.
    stolen.publish(message.reply.clone().unwrap(), "+ACK".into()).await.unwrap();
    assert!(bus.get_stream(SOURCE).await.is_ok(), "what it takes in it may look at");
    let theirs = bus.get_stream(SOURCE).await.unwrap();
    assert!(theirs.get_consumer::<pull::Config>(THEIRS).await.is_err());
    assert!(theirs.delete_consumer(THEIRS).await.is_err());
    assert!(theirs.purge().await.is_err());
    assert!(bus.delete_stream(SOURCE).await.is_err());
    assert!(bus.get_stream("SOUK_USER").await.is_err(), "not even to look at");
    // The provisioner does nothing for order that payment asks for.
    let created = source.cached_info().created.unix_timestamp_nanos();
    let asked =
        stolen.request(format!("souk-provision.order.recreate-stream.{created}"), "".into());
    assert!(tokio::time::timeout(Duration::from_secs(1), asked).await.is_err());
    // Another's answers.
    stolen.publish("_INBOX.order.answer", "a lie".into()).await.unwrap();
    assert!(bus.get_stream(SOURCE).await.is_ok(), "and the server has come to it");
    context.bus.client().publish("_INBOX.order.answer", "the truth".into()).await.unwrap();
    assert_eq!(answers.next().await.unwrap().payload, "the truth");

    let info = source.get_info().await.unwrap();
    assert_eq!((info.state.messages, info.state.last_sequence), (1, 1));
    assert_eq!(info.created, source.cached_info().created);
    assert_eq!(consumer.info().await.unwrap().num_ack_pending, 1);
    assert!(overheard.next().now_or_never().flatten().is_none());
}

/// nats-server itself writes wherever the configuration of a stream or a consumer says, so none of these is payment's
/// to make.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a list of attempts against one stream")]
async fn one_contexts_credentials_make_the_server_say_nothing_either() {
    let context = Context::of(&["product", "payment"], 1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.consume_as("product", Effects::default(), &stop);
    context.confirm(Shard(3)).await;
    context.settled(1).await;
    let operator = jetstream::new(context.bus.client().clone());
    let theirs = operator.get_stream(SOURCE).await.unwrap();
    let theirs: PullConsumer = theirs.get_consumer(THEIRS).await.unwrap();
    let created = theirs.cached_info().created;
    let stolen = bus_of(&context, "payment").await.client().clone();
    let bus = ContextBuilder::new().timeout(Duration::from_secs(1)).build(stolen.clone());

    let own = Config {
        name: "SOUK_PAYMENT".into(),
        subjects: vec!["souk.payment.v1.>".into()],
        republish: Some(Republish {
            source: ">".into(),
            destination: CONFIRMED.into(),
            headers_only: false,
        }),
        ..Config::default()
    };
    assert!(bus.create_stream(own.clone()).await.is_err(), "a stream of its own");
    drop(operator.create_stream(Config { republish: None, ..own.clone() }).await);
    assert!(bus.update_stream(&own).await.is_err(), "nor the one that is there");
    let source = bus.get_stream(SOURCE).await.unwrap();
    let push = |name: &str| push::Config {
        durable_name: Some(name.into()),
        deliver_subject: CONFIRMED.into(),
        ..push::Config::default()
    };
    assert!(source.create_consumer(push("payment-from-order")).await.is_err(), "its consumer");
    assert!(source.create_consumer(push("mine")).await.is_err(), "another one");

    // Answers go where whoever asks says; what comes there is no event, or one that everybody has had.
    let pull = "$JS.API.CONSUMER.MSG.NEXT.SOUK_ORDER.payment-from-order";
    stolen.publish_with_reply(pull, CONFIRMED, "1".into()).await.unwrap();
    // The same as a request to the provisioner, and as one to the server.
    stolen
        .publish_with_reply(pull, "souk-provision.order.recreate-consumers", "1".into())
        .await
        .unwrap();
    let delete = "$JS.API.STREAM.MSG.DELETE.SOUK_ORDER";
    stolen.publish_with_reply("souk.payment.v1.x.y", delete, "".into()).await.unwrap();
    let info = "$JS.API.STREAM.INFO.SOUK_ORDER";
    stolen.publish_with_reply(info, CONFIRMED, "".into()).await.unwrap();
    assert!(bus.get_stream(SOURCE).await.is_ok(), "and the server has come to it");
    context.confirm(Shard(3)).await;
    context.settled(2).await;
    let stream = operator.get_stream(SOURCE).await.unwrap();
    let mut theirs: PullConsumer = stream.get_consumer(THEIRS).await.unwrap();
    assert_eq!(theirs.cached_info().created, created, "nobody has created it anew");
    assert_eq!(stream.cached_info().state.deleted_count, None, "every message is there");
    eventually("all are taken in", SOON, async || {
        let last = stream.get_info().await.ok()?.state.last_sequence;
        (theirs.info().await.ok()?.ack_floor.stream_sequence == last).then_some(())
    })
    .await;
    context.settled(2).await;
}
