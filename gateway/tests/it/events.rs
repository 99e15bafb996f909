//! Live order events.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use kernel::OrderId;
use proto::order::v1::{State, WatchOrderResponse};
use rpc::status::refusal;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::client::{Call, get};
use crate::orders::order;
use crate::world::{World, eventually};

fn watch(id: &str) -> Call {
    get(&format!("/v1/orders/{id}/events")).token()
}

/// Reads on until `text` has come.
async fn until(body: &mut Incoming, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let frame = timeout(Duration::from_secs(10), body.frame()).await.expect("in time");
        let frame = frame.unwrap_or_else(|| panic!("ended before {text:?}: {read:?}")).unwrap();
        read += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    read
}

fn tell(world: &World, id: &str, version: i64, state: State) {
    let order = Some(order(id, version, state));
    world.shop.state().live[0].send(Ok(WatchOrderResponse { order })).unwrap();
}

#[tokio::test]
async fn each_version_is_an_event_and_the_end_of_the_order_is_the_end() {
    let world = World::new().await;
    let id = OrderId::mint().to_string();
    let answer = watch(&id).open(&world).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let mut body = answer.into_body();
    until(&mut body, "retry: 1000\n\n").await;
    eventually("watched", || !world.shop.state().live.is_empty()).await;

    tell(&world, &id, 1, State::Placed);
    let event = until(&mut body, "\n\n").await;
    let data = event.strip_prefix("id: 1\nevent: order\ndata: ").unwrap().trim_end();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&data["order_id"], &data["state"]), (&id.as_str().into(), &"placed".into()));

    tell(&world, &id, 3, State::Confirmed);
    world.shop.state().live.clear();
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(rest.starts_with(b"id: 3\nevent: order\n"), "{rest:?}");
    assert_eq!(rest.windows(4).filter(|w| w == b"id: ").count(), 1);
}

#[tokio::test]
async fn who_comes_back_goes_on_where_they_were() {
    let world = World::new().await;
    let id = OrderId::mint().to_string();
    for (header, version) in [(None, 0), (Some("0"), 0), (Some("7"), 7)] {
        let request = match header {
            Some(header) => watch(&id).header("last-event-id", header),
            None => watch(&id),
        };
        drop(request.open(&world).await);
        let seen = world.shop.last("WatchOrder").message;
        assert!(seen.contains(&format!("after_version: {version}")), "{seen}");
    }
    for bad in ["-1", "x", "9223372036854775808", ""] {
        let answer = watch(&id).header("last-event-id", bad).send(&world).await;
        assert_eq!((answer.problem().0, answer.fields()), (422, vec!["Last-Event-ID".to_owned()]));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_call_behind() {
    let world = World::with(&["--max-streams", "1"]).await;
    let id = OrderId::mint().to_string();
    let mut answer = watch(&id).open(&world).await;
    until(answer.body_mut(), "retry").await;
    assert!(!world.shop.state().live[0].is_closed());
    let full = watch(&id).send(&world).await;
    assert_eq!(full.problem(), (503, "overloaded".into()));
    drop(answer);
    eventually("the call has ended", || world.shop.state().live[0].is_closed()).await;
    let answer = watch(&id).open(&world).await;
    assert_eq!(answer.status(), 200, "its place is free again");
}

#[tokio::test]
async fn a_stop_ends_the_streams() {
    let mut world = World::new().await;
    let mut answer = watch(&OrderId::mint().to_string()).open(&world).await;
    until(answer.body_mut(), "retry").await;
    let took = world.stop().await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    let rest = answer.into_body().collect().await.expect("a proper end");
    assert!(rest.to_bytes().is_empty());
}

/// What order says when it stops, or is gone.
fn away() -> Status {
    refusal(Code::Unavailable, "draining", "the server is stopping")
}

#[tokio::test]
async fn a_stream_that_order_loses_goes_on_from_the_last_version() {
    let world = World::new().await;
    let id = OrderId::mint().to_string();
    let mut body = watch(&id).open(&world).await.into_body();
    until(&mut body, "retry").await;
    tell(&world, &id, 1, State::Placed);
    until(&mut body, "id: 1\n").await;

    world.shop.refuse("WatchOrder", away());
    world.shop.state().live.remove(0).send(Err(away())).unwrap();
    let seen = until(&mut body, ": resuming\n\n").await;
    assert_eq!(seen.matches("id: ").count(), 0, "{seen}");
    eventually("nobody tells", || world.shop.seen().len() >= 3).await;
    world.shop.state().refusals.clear();
    eventually("it goes on", || !world.shop.state().live.is_empty()).await;
    let resumed = world.shop.last("WatchOrder");
    assert!(resumed.message.contains("after_version: 1"), "{resumed:?}");
    assert_eq!(resumed.authorization.as_deref(), Some("Bearer some.access.token"));

    tell(&world, &id, 2, State::Confirmed);
    world.shop.state().live.clear();
    let rest = body.collect().await.expect("a proper end").to_bytes();
    assert!(rest.starts_with(b"id: 2\n"), "{rest:?}");
}

#[tokio::test]
async fn a_stream_that_nobody_goes_on_with_ends_in_time() {
    let world = World::with(&["--resume-within", "200ms"]).await;
    let mut answer = watch(&OrderId::mint().to_string()).open(&world).await;
    until(answer.body_mut(), "retry").await;
    world.shop.refuse("WatchOrder", away());
    world.shop.state().live[0].send(Err(away())).unwrap();
    let rest = answer.into_body().collect().await.expect("a proper end: the client asks again");
    assert_eq!(rest.to_bytes(), ": resuming\n\n");
}

#[tokio::test]
async fn a_stream_whose_token_has_expired_ends() {
    let world = World::new().await;
    let mut answer = watch(&OrderId::mint().to_string()).open(&world).await;
    until(answer.body_mut(), "retry").await;
    let expired = refusal(Code::Unauthenticated, "unauthenticated", "sign in first");
    world.shop.state().live[0].send(Err(expired)).unwrap();
    let rest = answer.into_body().collect().await.expect("a proper end");
    assert!(rest.to_bytes().is_empty());
    assert_eq!(world.shop.seen().len(), 1, "the same token is of no use");
}

#[tokio::test]
async fn who_has_seen_the_end_is_told_not_to_come_back() {
    let world = World::with(&["--max-streams", "1"]).await;
    world.shop.refuse("WatchOrder", refusal(Code::OutOfRange, "order_ended", "it has ended"));
    let id = OrderId::mint().to_string();
    for _ in 0..3 {
        let answer = watch(&id).header("last-event-id", "3").send(&world).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    }
}

#[tokio::test]
async fn who_watches_too_much_is_told_so() {
    let world = World::new().await;
    let full = refusal(Code::ResourceExhausted, "too_many_streams", "at most 16");
    world.shop.refuse("WatchOrder", full);
    let answer = watch(&OrderId::mint().to_string()).send(&world).await;
    assert_eq!(answer.problem(), (429, "too_many_streams".into()));
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let world = World::with(&["--keep-alive", "20ms"]).await;
    let mut answer = watch(&OrderId::mint().to_string()).open(&world).await;
    until(answer.body_mut(), ": keep-alive\n\n: keep-alive\n\n").await;
}

#[tokio::test]
async fn an_order_that_is_not_yours_is_a_problem_not_a_stream() {
    let world = World::new().await;
    world.shop.refuse("WatchOrder", refusal(Code::NotFound, "order_not_found", "no such order"));
    let answer = watch(&OrderId::mint().to_string()).send(&world).await;
    assert_eq!(answer.problem(), (404, "order_not_found".into()));
}
