//! The bus is disposable: wiped or rolled back, it is filled again from the outbox, and every
//! event still has its effect once.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream;
use kernel::{OrderId, Shard};
use messaging::Outgoing;
use proto::order::v1::OrderConfirmed;
use stores::{Server, Stores};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_deleted_is_filled_again() {
    let context = Context::new(2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    for shard in 0..40u8 {
        context.confirm(Shard(shard * 6)).await;
    }
    published(&context, 40).await;
    let stream = async_nats::jetstream::new(context.bus.client().clone());
    stream.delete_stream("SOUK_ORDER").await.unwrap();
    // Nobody had read any of it.
    context.consume(Effects::default(), &stop);
    for shard in 0..10u8 {
        context.confirm(Shard(shard * 6)).await;
    }
    context.settled(50).await;
}

/// What is gone because somebody removed it is not what is gone because it is too old; however much is
/// published before anybody looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_purged_is_filled_again() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let jetstream = with_ten(&context, &stop).await;
    let stream = jetstream.get_stream("SOUK_ORDER").await.unwrap();
    stream.purge().keep(2).await.unwrap();
    for _ in 0..10 {
        context.confirm(Shard(3)).await;
    }
    published(&context, 20).await;
    context.consume(Effects::default(), &stop);
    context.settled(20).await;
}

/// At once it is longer than the one before, and all that was published last is in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_anew_is_told_from_the_one_before() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let jetstream = with_ten(&context, &stop).await;
    let config = jetstream.get_stream("SOUK_ORDER").await.unwrap().cached_info().config.clone();
    jetstream.delete_stream("SOUK_ORDER").await.unwrap();
    jetstream.create_stream(config).await.unwrap();
    let id = OrderId::mint_on(Shard(3));
    let event = OrderConfirmed { order_id: id.to_string(), ..OrderConfirmed::default() };
    let many = (0..20).map(|_| Outgoing::new(id, &event)).collect();
    context.publish(Shard(3), many).await.unwrap();
    context.consume(Effects::default(), &stop);
    context.settled(30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_directory_that_was_rolled_back_is_noticed() {
    let mut context = Context::new(2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.consume(Effects::default(), &stop);
    for shard in 0..20u8 {
        context.confirm(Shard(shard * 12)).await;
    }
    context.settled(20).await;
    let data = Stores::data_folder_of(&context.world.folder().join("nats")).unwrap().0;
    let old = context.world.folder().join("old");
    context.world.nats().stop_server(Server::Nats).unwrap();
    copy(&data.join("nats"), &old);
    context.world.nats().start_server(Server::Nats).unwrap();
    for shard in 0..20u8 {
        context.confirm(Shard(shard * 12)).await;
    }
    context.settled(40).await;
    // Back to 20 messages: the effects of the other 20 stay, and nothing new is swallowed by
    // sequences that were given out twice.
    context.world.nats().stop_server(Server::Nats).unwrap();
    std::fs::remove_dir_all(data.join("nats")).unwrap();
    copy(&old, &data.join("nats"));
    context.world.nats().start_server(Server::Nats).unwrap();
    for shard in 0..20u8 {
        context.confirm(Shard(shard * 12)).await;
    }
    context.settled(60).await;
    published(&context, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_outbox_is_sent_again_in_parts() {
    let context = Context::new(1).await;
    let first = CancellationToken::new();
    let relay = context.relay(&first);
    context.confirm(Shard(3)).await;
    published(&context, 1).await;
    first.cancel();
    relay.await.unwrap().unwrap();
    // What 25,000 more leave behind, of which the stream has none.
    let many = "insert into messaging.outbox (shard, event_id, aggregate_id, type, subject, payload, published_at,
                    stream_sequence)
                select shard, gen_random_uuid(), aggregate_id, type, subject, payload, published_at, n
                from messaging.outbox, generate_series(2, 25001) n;
                update messaging.relay set last_sequence = 25001, last_event_id =
                    (select event_id from messaging.outbox where stream_sequence = 25001)";
    context.world.sql(&context.urls[0], many);
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    let stream = async_nats::jetstream::new(context.bus.client().clone());
    let stream = stream.get_stream("SOUK_ORDER").await.unwrap();
    // However slow the machine is, the next thousand of them are there soon.
    for part in (1_001..=25_001).step_by(1_000) {
        eventually("the next thousand are in the stream", SOON, async || {
            (stream.get_info().await.ok()?.state.messages >= part).then_some(())
        })
        .await;
    }
    assert_eq!(stream.get_info().await.unwrap().state.messages, 25_001);
    published(&context, 25_001).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rolled_back_stream_lost_is_sent_again_however_much_is_published_at_once() {
    let mut context = Context::new(2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    for shard in 0..20u8 {
        context.confirm(Shard(shard * 12)).await;
    }
    published(&context, 20).await;
    let data = Stores::data_folder_of(&context.world.folder().join("nats")).unwrap().0;
    let old = context.world.folder().join("old");
    context.world.nats().stop_server(Server::Nats).unwrap();
    copy(&data.join("nats"), &old);
    context.world.nats().start_server(Server::Nats).unwrap();
    for shard in 0..10u8 {
        context.confirm(Shard(shard * 25)).await;
    }
    published(&context, 30).await;
    // Nobody had read these ten. More than they are wait for the server that forgot them: at once
    // the stream is longer than it ever was, and the places of the lost are taken.
    context.world.nats().stop_server(Server::Nats).unwrap();
    for shard in 0..60u8 {
        context.confirm(Shard(shard * 4)).await;
    }
    std::fs::remove_dir_all(data.join("nats")).unwrap();
    copy(&old, &data.join("nats"));
    context.world.nats().start_server(Server::Nats).unwrap();
    published(&context, 90).await;
    context.consume(Effects::default(), &stop);
    context.settled(90).await;
}

/// A stream of ten events that nobody has read.
async fn with_ten(context: &Context, stop: &CancellationToken) -> jetstream::Context {
    context.relay(stop);
    for _ in 0..10 {
        context.confirm(Shard(3)).await;
    }
    published(context, 10).await;
    jetstream::new(context.bus.client().clone())
}

pub async fn published(context: &Context, events: usize) {
    published_within(SOON, context, events).await;
}

pub async fn published_within(limit: Duration, context: &Context, events: usize) {
    eventually("everything is published", limit, async || {
        let done = context.count("messaging.outbox where published_at is not null");
        (done == events).then_some(())
    })
    .await;
}

pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}
