//! What is sent again, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc::{ServerOptions, status};
use tonic::{Code, Status};

use crate::callee::{ADD, Callee, GET, call};
use crate::world::World;

fn counted(
    fail: impl Fn(usize) -> Option<Status> + Send + Sync + 'static,
) -> (Callee, Arc<AtomicUsize>) {
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&attempts);
    let callee = Callee::new(move |request| {
        let attempt = count.fetch_add(1, Ordering::SeqCst);
        let failure = fail(attempt);
        async move { failure.map_or_else(|| Ok(request.into_inner()), Err) }
    });
    (callee, attempts)
}

fn unavailable() -> Status {
    status::refusal(Code::Unavailable, "unavailable", "not now")
}

#[tokio::test]
async fn an_idempotent_call_is_sent_again_with_its_body() {
    let world = World::new();
    let (callee, attempts) = counted(|attempt| (attempt < 2).then(unavailable));
    let server = world.serve(callee, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    assert_eq!(call(&channel, GET, "the body").await.unwrap(), "the body");
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn after_three_attempts_the_last_answer_stands() {
    let world = World::new();
    let (callee, attempts) = counted(|_| Some(unavailable()));
    let server = world.serve(callee, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    let refused = call(&channel, GET, "").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "not now"));
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_is_not_idempotent_is_sent_once() {
    let world = World::new();
    let (callee, attempts) = counted(|_| Some(unavailable()));
    let server = world.serve(callee, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    assert_eq!(call(&channel, ADD, "").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_lost_under_a_call_repeats_only_what_is_idempotent() {
    let world = World::new();
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let hang = Callee::new(move |_| {
        let _ = started.send(());
        std::future::pending()
    });
    let dying = world.serve(hang, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[dying.address]);
    let (get, add) = (channel.clone(), channel.clone());
    let get = tokio::spawn(async move { call(&get, GET, "again").await });
    let add = tokio::spawn(async move { call(&add, ADD, "never again").await });
    starts.recv().await.unwrap();
    starts.recv().await.unwrap();
    let address = dying.address;
    dying.kill().await;
    let (callee, attempts) = counted(|_| None);
    let _back = world.serve_at(address, callee, ServerOptions::default()).await;
    assert_eq!(get.await.unwrap().unwrap(), "again");
    assert_eq!(add.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn refusals_other_than_unavailable_are_final() {
    for code in [Code::ResourceExhausted, Code::Internal, Code::Aborted, Code::DeadlineExceeded] {
        let world = World::new();
        let (callee, attempts) = counted(move |_| Some(Status::new(code, "final")));
        let server = world.serve(callee, ServerOptions::default()).await;
        let channel = world.channel("gateway", &[server.address]);
        assert_eq!(call(&channel, GET, "").await.unwrap_err().code(), code);
        assert_eq!(attempts.load(Ordering::SeqCst), 1, "{code:?}");
    }
}

/// Three attempts below, and not three times three.
#[tokio::test]
async fn what_was_retried_below_is_not_retried_above() {
    let world = World::new();
    let (callee, attempts) = counted(|_| Some(unavailable()));
    let below = world.serve(callee, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[below.address]);
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let passes_on = Callee::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let channel = channel.clone();
        async move { call(&channel, GET, "").await }
    });
    let above = world.serve(passes_on, ServerOptions::default()).await;
    let refused = call(&world.channel("gateway", &[above.address]), GET, "").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "not now"));
    assert_eq!(status::reason(&refused).as_deref(), Some("unavailable"));
    assert_eq!((calls.load(Ordering::SeqCst), attempts.load(Ordering::SeqCst)), (1, 3));
}

#[tokio::test]
async fn a_dependency_that_fails_for_all_is_not_stormed() {
    let world = World::new();
    let (callee, attempts) = counted(|_| Some(unavailable()));
    let server = world.serve(callee, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    let calls = 400;
    for _ in 0..calls {
        assert_eq!(call(&channel, GET, "").await.unwrap_err().code(), Code::Unavailable);
    }
    let attempts = attempts.load(Ordering::SeqCst);
    assert!(attempts > calls && attempts * 10 <= calls * 12, "{attempts} attempts for {calls}");
}
