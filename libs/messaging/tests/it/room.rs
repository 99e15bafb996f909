//! A stream that is limited in bytes: it makes room of what everybody has taken in, and of nothing else.

use async_nats::jetstream::{self, stream::Info};
use kernel::Shard;
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};

/// For some two hundred events,
const LIMIT: i64 = 128 * 1024;
/// and so many are written.
const EVENTS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_makes_room_of_what_everybody_has_taken_in() {
    let (context, stop) = narrow(&["test"]).await;
    let _ended = stop.clone().drop_guard();
    context.consume(Effects::default(), &stop);
    confirm_all(&context).await;
    context.settled(EVENTS).await;
    let info = stream(&context).await;
    assert!(info.state.first_sequence > 1 && info.state.bytes <= LIMIT as u64, "{:?}", info.state);
    // Nothing was sent twice: what was trimmed is not taken for what somebody removed.
    assert_eq!(info.state.last_sequence, EVENTS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_keeps_what_a_listener_that_is_behind_has_not_seen() {
    keeps_for_the_other(async |_| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_keeps_what_a_listener_that_is_away_has_not_seen() {
    keeps_for_the_other(async |context| {
        let jetstream = jetstream::new(context.bus.client().clone());
        let stream = jetstream.get_stream("SOUK_ORDER").await.unwrap();
        stream.delete_consumer("other-from-order").await.unwrap();
    })
    .await;
}

/// One of two listeners stops, and `then` more happens to it. The stream fills up, the rest waits in the outbox; when
/// the listener is back, both have had everything.
async fn keeps_for_the_other(then: impl AsyncFn(&Context)) {
    let (context, stop) = narrow(&["test", "other"]).await;
    let _ended = stop.clone().drop_guard();
    context.consume_as("test", Effects::default(), &stop);
    let stopped = CancellationToken::new();
    context.consume_as("other", Effects::default(), &stopped);
    context.confirm(Shard(3)).await;
    eventually("both have had it", SOON, async || (context.count("effects") == 2).then_some(()))
        .await;
    stopped.cancel();
    then(&context).await;
    confirm_all(&context).await;
    eventually("the stream is full", SOON, async || {
        let info = stream(&context).await;
        let all_seen =
            context.count("effects") == usize::try_from(info.state.last_sequence).ok()? + 1;
        (all_seen && info.state.bytes > LIMIT as u64 / 100 * 95).then_some(())
    })
    .await;
    assert!(context.count("messaging.outbox where published_at is null") > 0, "the rest waits");
    // All but the one event that the other has had, and may have acknowledged before it stopped; without a gap.
    let state = stream(&context).await.state;
    assert!(state.first_sequence <= 2, "{state:?}");
    assert_eq!(state.messages, state.last_sequence - state.first_sequence + 1, "{state:?}");
    context.consume_as("other", Effects::default(), &stop);
    eventually("both have had everything", SOON, async || {
        (context.count("effects") == 2 * (EVENTS + 1)).then_some(())
    })
    .await;
}

async fn narrow(consumers: &[&'static str]) -> (Context, CancellationToken) {
    let context = Context::narrow(consumers, LIMIT).await;
    let stop = CancellationToken::new();
    context.relay(&stop);
    (context, stop)
}

async fn confirm_all(context: &Context) {
    for _ in 0..EVENTS {
        context.confirm(Shard(3)).await;
    }
}

async fn stream(context: &Context) -> Info {
    let jetstream = jetstream::new(context.bus.client().clone());
    let stream = jetstream.get_stream("SOUK_ORDER").await.unwrap();
    stream.cached_info().clone()
}
