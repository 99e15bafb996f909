//! A server ends in bounded time, and loses nobody's call on the way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rpc::{ServerOptions, status};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};

use crate::callee::{ADD, Callee, GET, call, watch};
use crate::raw;
use crate::world::{World, eventually};

#[tokio::test]
async fn calls_in_progress_finish_and_new_ones_go_elsewhere() {
    let world = World::new();
    let (began, mut begins) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let keeper = Arc::clone(&gate);
    let callee = Callee::new(move |_| {
        let (began, gate) = (began.clone(), Arc::clone(&keeper));
        async move {
            let _ = began.send(());
            gate.acquire().await.unwrap().forget();
            Ok("old".to_owned())
        }
    });
    let old = world.serve(callee, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[old.address]);
    let inside = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, ADD, "").await }
    });
    begins.recv().await.unwrap();
    old.shutdown.cancel();
    // The same address, as after a restart; the old server only drains.
    let new = loop {
        if let Ok(listener) = tokio::net::TcpListener::bind(old.address).await {
            drop(listener);
            let new = Callee::new(|_| async { Ok("new".to_owned()) });
            break world.serve_at(old.address, new, ServerOptions::default()).await;
        }
        tokio::task::yield_now().await;
    };
    for _ in 0..50 {
        assert_eq!(call(&channel, ADD, "").await.unwrap(), "new");
    }
    assert!(!inside.is_finished());
    gate.add_permits(1);
    assert_eq!(inside.await.unwrap().unwrap(), "old");
    timeout(Duration::from_secs(2), old.task).await.expect("drained").unwrap();
    drop(new);
}

/// No call fails while two endpoints are restarted in turn, not even one that may not be repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call() {
    let world = World::new();
    let counted = || {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let callee = Callee::new(move |request| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok(request.into_inner()) }
        });
        (callee, calls)
    };
    let mut servers = VecDeque::new();
    for _ in 0..2 {
        servers.push_back(world.serve(counted().0, ServerOptions::default()).await);
    }
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let channel = world.channel("gateway", &addresses);
    let stop = CancellationToken::new();
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let (channel, stop) = (channel.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    call(&channel, ADD, "x").await.expect("no call fails");
                }
            })
        })
        .collect();
    for _round in 0..10 {
        let server = servers.pop_front().unwrap();
        server.shutdown.cancel();
        timeout(Duration::from_secs(5), server.task).await.expect("drained").unwrap();
        let (callee, calls) = counted();
        servers.push_back(world.serve_at(server.address, callee, ServerOptions::default()).await);
        eventually("the callers are back", async || calls.load(Ordering::Relaxed) > 100).await;
    }
    stop.cancel();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn silent_connections_do_not_hold_up_the_end() {
    let world = World::new();
    let server = world.serve(Callee::echo(), ServerOptions::default()).await;
    let _probe = TcpStream::connect(server.address).await.unwrap();
    world.issue("gateway", &world.path("gateway"));
    let _silent = raw::with_certificate(&world.path("gateway"), server.address).await;
    let channel = world.channel("gateway", &[server.address]);
    call(&channel, GET, "").await.unwrap();
    let began = Instant::now();
    server.shutdown.cancel();
    timeout(Duration::from_secs(5), server.task).await.expect("it ended").unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let world = World::new();
    let server = world.serve(Callee::echo(), ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    let mut stream = watch(&channel, Request::new("first".to_owned())).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "first");
    server.shutdown.cancel();
    let ended = stream.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert_eq!(status::reason(&ended).as_deref(), Some("draining"));
    timeout(Duration::from_secs(3), server.task).await.expect("it ended").unwrap();
}

#[tokio::test]
async fn a_call_that_does_not_finish_is_cut_off() {
    let world = World::new();
    let (began, mut begins) = mpsc::unbounded_channel();
    let never = Callee::new(move |_| {
        let _ = began.send(());
        std::future::pending()
    });
    let options =
        ServerOptions { max_drain: Duration::from_millis(300), ..ServerOptions::default() };
    let server = world.serve(never, options).await;
    let channel = world.channel("gateway", &[server.address]);
    let inside = tokio::spawn(async move { call(&channel, ADD, "").await });
    begins.recv().await.unwrap();
    server.shutdown.cancel();
    timeout(Duration::from_secs(2), server.task).await.expect("it ended").unwrap();
    assert_eq!(inside.await.unwrap().unwrap_err().code(), Code::Unavailable);
}
