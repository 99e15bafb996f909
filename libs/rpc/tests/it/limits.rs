//! Too much of everything, and handlers that panic.

use std::sync::Arc;

use context::Current;
use rpc::{ServerOptions, status};
use tokio::sync::{Semaphore, mpsc};
use tonic::{Code, Request};

use crate::callee::{ADD, Callee, GET, call, watch};
use crate::world::{World, eventually};

/// A callee whose calls tell when they begin and end when they are let go.
fn gated() -> (Callee, mpsc::UnboundedReceiver<()>, Arc<Semaphore>) {
    let (began, begins) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let keeper = Arc::clone(&gate);
    let callee = Callee::new(move |request| {
        let (began, gate) = (began.clone(), Arc::clone(&keeper));
        async move {
            let _ = began.send(());
            gate.acquire().await.unwrap().forget();
            Ok(request.into_inner())
        }
    });
    (callee, begins, gate)
}

#[tokio::test]
async fn a_full_server_sheds_at_once() {
    let world = World::new();
    let (callee, mut begins, gate) = gated();
    let options = ServerOptions { max_in_flight: 2, ..ServerOptions::default() };
    let server = world.serve(callee, options).await;
    let channel = world.channel("gateway", &[server.address]);
    let spawn = || {
        let channel = channel.clone();
        tokio::spawn(async move { call(&channel, GET, "in").await })
    };
    let inside = [spawn(), spawn()];
    begins.recv().await.unwrap();
    begins.recv().await.unwrap();
    let shed = call(&channel, GET, "out").await.unwrap_err();
    assert_eq!(shed.code(), Code::ResourceExhausted);
    assert_eq!(status::reason(&shed).as_deref(), Some("overloaded"));
    gate.add_permits(3);
    for call in inside {
        assert_eq!(call.await.unwrap().unwrap(), "in");
    }
    assert_eq!(call(&channel, GET, "later").await.unwrap(), "later");
}

#[tokio::test]
async fn spawned_work_keeps_its_place_after_the_answer() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let keeper = Arc::clone(&gate);
    let callee = Callee::new(move |request| {
        let gate = Arc::clone(&keeper);
        let work = async move { gate.acquire().await.unwrap().forget() };
        tokio::spawn(Current::capture().scope(work));
        async { Ok(request.into_inner()) }
    });
    let options = ServerOptions { max_in_flight: 1, ..ServerOptions::default() };
    let server = world.serve(callee, options).await;
    let channel = world.channel("gateway", &[server.address]);
    assert_eq!(call(&channel, GET, "first").await.unwrap(), "first");
    let shed = call(&channel, GET, "second").await.unwrap_err();
    assert_eq!(status::reason(&shed).as_deref(), Some("overloaded"));
    gate.add_permits(1);
    eventually("the work is over", async || call(&channel, GET, "").await.is_ok()).await;
}

#[tokio::test]
async fn streams_have_a_limit_of_their_own() {
    let world = World::new();
    let options = ServerOptions { max_in_flight: 1, max_streams: 1, ..ServerOptions::default() };
    let server = world.serve(Callee::echo(), options).await;
    let channel = world.channel("gateway", &[server.address]);
    let mut stream = watch(&channel, Request::new("one".to_owned())).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "one");
    let shed = watch(&channel, Request::new("two".to_owned())).await.unwrap_err();
    assert_eq!(status::reason(&shed).as_deref(), Some("overloaded"));
    assert_eq!(call(&channel, GET, "unary").await.unwrap(), "unary");
    drop(stream);
    eventually("the place is free", async || {
        watch(&channel, Request::new("three".to_owned())).await.is_ok()
    })
    .await;
}

/// All live streams that a server allows, over one connection, and a call is neither shed nor does it wait.
#[tokio::test]
async fn watchers_cannot_take_a_connection_from_calls() {
    let world = World::new();
    let server = world.serve(Callee::echo(), ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    let mut streams = Vec::new();
    for _ in 0..ServerOptions::default().max_streams {
        streams.push(watch(&channel, Request::new("one".to_owned())).await.unwrap());
    }
    assert_eq!(call(&channel, GET, "unary").await.unwrap(), "unary");
    let shed = watch(&channel, Request::new("one more".to_owned())).await.unwrap_err();
    assert_eq!(status::reason(&shed).as_deref(), Some("overloaded"));
}

#[tokio::test]
async fn a_panic_becomes_an_internal_error_without_text() {
    let world = World::new();
    let callee = Callee::new(|request| async move {
        assert!(request.get_ref() != "boom", "secret: hunter2");
        Ok(request.into_inner())
    });
    let server = world.serve(callee, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    let broken = call(&channel, ADD, "boom").await.unwrap_err();
    assert_eq!((broken.code(), broken.message()), (Code::Internal, "internal error"));
    assert!(broken.details().is_empty());
    assert_eq!(call(&channel, ADD, "fine").await.unwrap(), "fine");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let world = World::new();
    let callee = Callee::new(|request| async move {
        let bytes: usize = request.into_inner().parse().unwrap_or(0);
        Ok("x".repeat(bytes))
    });
    let server = world.serve(callee, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    let million = call(&channel, GET, "1000000").await.unwrap();
    assert_eq!(million.len(), 1_000_000);
    for result in [
        call(&channel, GET, &"x".repeat(5 << 20)).await,
        call(&channel, GET, &(5 << 20).to_string()).await,
    ] {
        let code = result.unwrap_err().code();
        assert!(matches!(code, Code::OutOfRange | Code::ResourceExhausted), "{code:?}");
    }
}

#[tokio::test]
async fn every_answer_is_measured_by_method_and_code() {
    let world = World::new();
    let callee = Callee::new(|_| async { Err(tonic::Status::data_loss("gone")) });
    let server = world.serve(callee, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    call(&channel, GET, "").await.unwrap_err();
    let text = telemetry::render_metrics();
    for (side, server) in [("server", ""), ("client", ",server_address=\"product\"")] {
        let method = "souk.product.v1.ProductService/GetProduct";
        let line = format!(
            "rpc_{side}_call_duration_seconds_count{{error_type=\"DATA_LOSS\",rpc_method=\"{method}\",\
             rpc_response_status_code=\"DATA_LOSS\",rpc_system_name=\"grpc\"{server}}} 1"
        );
        assert!(text.contains(&line), "{line}\nis not in\n{text}");
    }
}
