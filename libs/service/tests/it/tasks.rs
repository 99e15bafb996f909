//! Background tasks in-process. (What their failure does to the process: `commands`.)

use std::time::Duration;

use service::{Shutdown, Tasks};
use tokio::sync::oneshot;

#[tokio::test]
async fn finish_waits_for_the_work_at_hand() {
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(&shutdown);
    let (done, mut is_done) = oneshot::channel();
    let token = shutdown.token();
    tasks.keep("consumer", async move {
        token.cancelled().await;
        tokio::task::yield_now().await;
        done.send(()).map_err(|()| anyhow::anyhow!("nobody listens"))
    });
    tasks.spawn("warm-up", async { Ok(()) });
    shutdown.request();
    tasks.finish().await.expect("a good end");
    is_done.try_recv().expect("the consumer finished before");
}

#[tokio::test]
async fn a_failure_stops_the_others_and_is_the_end_of_run() {
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(&shutdown);
    let others = shutdown.clone();
    tasks.keep("consumer", async move {
        others.requested().await;
        Ok(())
    });
    tasks.spawn("relay", async { Err(anyhow::anyhow!("connection reset").context("publish")) });
    let error = tasks.finish().await.expect_err("the relay failed");
    assert_eq!(format!("{error:#}"), "background task relay: publish: connection reset");
    assert!(shutdown.is_requested());
}

#[tokio::test]
async fn a_run_that_fails_leaves_nothing_behind() {
    let (guard, cut_off) = oneshot::channel::<()>();
    let tasks = Tasks::new(&Shutdown::new());
    tasks.keep("consumer", async move {
        let _held = guard;
        std::future::pending().await
    });
    tokio::task::yield_now().await;
    drop(tasks);
    let dropped =
        tokio::time::timeout(Duration::from_secs(5), cut_off).await.expect("the task is dropped");
    dropped.expect_err("without an answer");
}

#[tokio::test]
async fn whoever_cancels_a_token_stops_only_himself() {
    let shutdown = Shutdown::new();
    shutdown.token().cancel();
    assert!(!shutdown.is_requested() && !shutdown.is_draining());
    let token = shutdown.token();
    shutdown.request();
    assert!(token.is_cancelled() && shutdown.is_draining());
}

#[tokio::test]
async fn a_reserved_port_is_ours_until_it_is_bound() {
    let address = service::reserve().expect("a port");
    assert!(std::net::TcpListener::bind(address).is_err());
    let listener = service::bind(address).await.expect("reserved for us");
    assert_eq!(listener.local_addr().expect("bound"), address);
    let taken = service::bind(address).await.expect_err("taken");
    assert!(
        format!("{taken:#}").starts_with(&format!("cannot listen on {address}: port taken: ")),
        "{taken:#}"
    );
}
