//! Services in one process call each other without a network, and nothing else changes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rpc::{Channel, InProcess, ServerOptions, status};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::{Code, Request};

use crate::callee::{ADD, Callee, GET, call, call_with, watch};
use crate::world::{World, eventually};

/// Where nobody is.
fn nowhere() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

/// "wait" waits for a permit, "hang" for ever; what else is said comes back.
fn gated(gate: &Arc<Semaphore>) -> Callee {
    let keeper = Arc::clone(gate);
    Callee::new(move |request| {
        let gate = Arc::clone(&keeper);
        async move {
            match request.get_ref().as_str() {
                "wait" => gate.acquire().await.unwrap().forget(),
                "hang" => std::future::pending().await,
                _ => {}
            }
            Ok(request.into_inner())
        }
    })
}

/// The gateway's, once it has found product.
async fn found(world: &World, services: &InProcess) -> Channel {
    let channel = channel_of("gateway", world, services).await;
    eventually("it is found", async || call(&channel, GET, "x").await.is_ok()).await;
    channel
}

async fn channel_of(name: &str, world: &World, services: &InProcess) -> Channel {
    services.run(async { world.channel(name, &[nowhere()]) }).await
}

#[tokio::test]
async fn a_service_here_is_called_without_a_network_and_knows_its_caller() {
    let (world, services) = (World::new(), InProcess::new(["product"]));
    let gateway = channel_of("gateway", &world, &services).await;
    let early = call(&gateway, ADD, "x").await.unwrap_err();
    assert_eq!(early.code(), Code::Unavailable, "it does not serve yet");

    let serving = world.serve(Callee::echo(), ServerOptions::default());
    let server = services.run(serving).await;
    timeout(Duration::from_secs(5), services.all_serve()).await.expect("it serves");
    eventually("it is found", async || call(&gateway, GET, "x").await.is_ok()).await;
    assert_eq!(call(&gateway, ADD, "y").await.unwrap(), "y");

    let payment = channel_of("payment", &world, &services).await;
    eventually("payment is known", async || {
        let refused = call(&payment, GET, "x").await.unwrap_err();
        status::reason(&refused).as_deref() == Some("caller_not_allowed")
    })
    .await;

    server.shutdown.cancel();
    eventually("it is gone", async || call(&gateway, ADD, "x").await.is_err()).await;
    timeout(Duration::from_secs(2), server.task).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn who_is_not_in_the_process_is_called_over_the_network() {
    let (world, services) = (World::new(), InProcess::new(["cart"]));
    let server = world.serve(Callee::echo(), ServerOptions::default()).await;
    let channel = services.run(async { world.channel("gateway", &[server.address]) }).await;
    assert_eq!(call(&channel, GET, "x").await.unwrap(), "x");
    // And whoever is in it is called so from elsewhere.
    let services = InProcess::new(["product"]);
    let server = services.run(world.serve(Callee::echo(), ServerOptions::default())).await;
    assert_eq!(call(&world.channel("gateway", &[server.address]), GET, "x").await.unwrap(), "x");
}

#[tokio::test]
async fn limits_deadlines_and_streams_are_as_over_the_network() {
    let (world, services) = (World::new(), InProcess::new(["product"]));
    let gate = Arc::new(Semaphore::new(0));
    let options = ServerOptions { max_in_flight: 1, ..ServerOptions::default() };
    let server = services.run(world.serve(gated(&gate), options)).await;
    let channel = found(&world, &services).await;

    let mut request = Request::new("wait".to_owned());
    request.set_timeout(Duration::from_millis(100));
    let late = call_with(&channel, GET, request).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);

    let inside = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, ADD, "wait").await }
    });
    eventually("it is full", async || {
        let refused = call(&channel, GET, "x").await.err();
        refused.is_some_and(|it| it.code() == Code::ResourceExhausted)
    })
    .await;
    gate.add_permits(1);
    assert_eq!(inside.await.unwrap().unwrap(), "wait");

    let mut stream = watch(&channel, Request::new("first".to_owned())).await.unwrap();
    assert_eq!(stream.message().await.unwrap().as_deref(), Some("first"));
    server.shutdown.cancel();
    let ended = timeout(Duration::from_secs(5), stream.message()).await.expect("it ends");
    assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_server_that_stops_waits_for_its_callers_here_and_cuts_off_who_takes_too_long() {
    let (world, services) = (World::new(), InProcess::new(["product"]));
    let gate = Arc::new(Semaphore::new(0));
    for (text, max_drain) in [("wait", Duration::from_secs(60)), ("hang", Duration::ZERO)] {
        let options = ServerOptions { max_drain, ..ServerOptions::default() };
        let server = services.run(world.serve(gated(&gate), options)).await;
        let channel = found(&world, &services).await;
        let mut inside = Box::pin(call(&channel, ADD, text));
        assert!(
            timeout(Duration::from_millis(100), &mut inside).await.is_err(),
            "it is in progress"
        );
        server.shutdown.cancel();
        eventually("no more calls", async || call(&channel, ADD, "x").await.is_err()).await;
        if text == "wait" {
            assert!(!server.task.is_finished());
            gate.add_permits(1);
            assert_eq!(inside.await.unwrap(), "wait");
        } else {
            assert_eq!(inside.await.unwrap_err().code(), Code::Unavailable);
        }
        timeout(Duration::from_secs(5), server.task).await.expect("it ends").unwrap();
    }
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_call_and_its_channel_leaves_nothing_behind() {
    let (world, services) = (World::new(), InProcess::new(["product"]));
    let alive = Arc::new(Semaphore::new(1));
    let keeper = Arc::clone(&alive);
    let callee = Callee::new(move |request| {
        let alive = Arc::clone(&keeper);
        async move {
            if request.get_ref() == "hang" {
                let _taken = alive.acquire().await;
                std::future::pending::<()>().await;
            }
            Ok(request.into_inner())
        }
    });
    let server = services.run(world.serve(callee, ServerOptions::default())).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let without = tasks();
    let channel = found(&world, &services).await;
    let mut inside = Box::pin(call(&channel, ADD, "hang"));
    eventually("it is in progress", async || {
        let _ = timeout(Duration::from_millis(10), &mut inside).await;
        alive.available_permits() == 0
    })
    .await;
    drop(inside);
    eventually("its handler is gone", async || alive.available_permits() == 1).await;

    drop(channel);
    eventually("its tasks are gone", async || tasks() == without).await;
    server.shutdown.cancel();
    server.task.await.unwrap();
}
