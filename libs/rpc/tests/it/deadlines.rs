//! An answer in time, whatever the other side does.

use std::time::Duration;

use rpc::{ServerOptions, deadline, status};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::{Code, Request};

use crate::callee::{Callee, GET, call, call_with, watch};
use crate::world::World;

const LIMIT: Duration = Duration::from_millis(300);

fn within(limit: Duration) -> Request<String> {
    let mut request = Request::new(String::new());
    request.set_timeout(limit);
    request
}

fn assert_in_time(began: Instant, limit: Duration) {
    let took = began.elapsed();
    // Ten times as long is a busy machine's. Without a deadline it never ends.
    assert!(took >= limit && took < 10 * limit, "{took:?}");
}

#[tokio::test]
async fn a_black_hole_costs_no_more_than_the_deadline() {
    let world = World::new();
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channel = world.channel("gateway", &[hole.local_addr().unwrap()]);
    let began = Instant::now();
    let late = call_with(&channel, GET, within(LIMIT)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(status::reason(&late).as_deref(), Some("deadline_exceeded"));
    assert_in_time(began, LIMIT);
}

#[tokio::test]
async fn a_handler_that_never_ends_is_dropped_at_the_deadline() {
    let world = World::new();
    let (dropped, mut drops) = tokio::sync::mpsc::unbounded_channel();
    struct Tell(tokio::sync::mpsc::UnboundedSender<Duration>, Instant);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.send(self.1.elapsed());
        }
    }
    let never = Callee::new(move |_| {
        let tell = Tell(dropped.clone(), Instant::now());
        async move {
            let _tell = tell;
            std::future::pending().await
        }
    });
    let server = world.serve(never, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    let began = Instant::now();
    let late = call_with(&channel, GET, within(LIMIT)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_in_time(began, LIMIT);
    let held = drops.recv().await.unwrap();
    assert!(held < LIMIT + Duration::from_millis(100), "{held:?}");
}

#[tokio::test]
async fn the_server_has_a_maximum_of_its_own() {
    let world = World::new();
    let left = Callee::new(|_| async {
        let left = deadline::remaining().unwrap();
        Ok(left.as_millis().to_string())
    });
    let options =
        ServerOptions { max_deadline: Duration::from_secs(2), ..ServerOptions::default() };
    let server = world.serve(left, options).await;
    let channel = world.channel("gateway", &[server.address]);
    let left = call_with(&channel, GET, within(Duration::from_secs(60))).await.unwrap();
    let left: u64 = left.parse().unwrap();
    assert!((1_500..=2_000).contains(&left), "{left} ms");
}

#[tokio::test]
async fn what_is_left_travels_along() {
    let world = World::new();
    let left =
        Callee::new(|_| async { Ok(deadline::remaining().unwrap().as_millis().to_string()) });
    let end = world.serve(left, ServerOptions::default()).await;
    let onward = world.channel("gateway", &[end.address]);
    let middle = Callee::new(move |_| {
        let onward = onward.clone();
        async move { call(&onward, GET, "").await }
    });
    let middle = world.serve(middle, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[middle.address]);
    // Both connections are made; now the time is spent in the calls.
    call(&channel, GET, "").await.unwrap();
    let left = call_with(&channel, GET, within(LIMIT)).await.unwrap();
    let left: u64 = left.parse().unwrap();
    assert!((100..300).contains(&left), "{left} ms");
    // Without anybody's wish there is a default.
    let left: u64 = call(&channel, GET, "").await.unwrap().parse().unwrap();
    assert!((4_000..5_000).contains(&left), "{left} ms");
    let inside = deadline::within(LIMIT, call(&channel, GET, "")).await.unwrap();
    assert!(inside.parse::<u64>().unwrap() < 300, "{inside} ms");
}

#[tokio::test]
async fn a_stream_has_the_deadline_that_it_was_given_and_no_other() {
    let world = World::new();
    let left = Callee::new(|_| async { Ok(format!("{:?}", deadline::current().is_some())) });
    let server = world.serve(left, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    let mut stream = watch(&channel, Request::new(String::new())).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "false");

    let began = Instant::now();
    let mut stream = watch(&channel, within(LIMIT)).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "true");
    assert_eq!(stream.message().await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_in_time(began, LIMIT);
}
