//! Several endpoints of one service, that come and go.

use std::collections::HashSet;
use std::time::Duration;

use rpc::ServerOptions;
use tokio::time::Instant;
use tonic::Code;

use crate::callee::{ADD, Callee, GET, call};
use crate::world::{World, eventually};

fn named(name: &'static str) -> Callee {
    Callee::new(move |_| async move { Ok(name.to_owned()) })
}

#[tokio::test]
async fn calls_are_balanced_over_all_endpoints() {
    let world = World::new();
    let one = world.serve(named("one"), ServerOptions::default()).await;
    let two = world.serve(named("two"), ServerOptions::default()).await;
    let channel = world.channel("gateway", &[one.address, two.address]);
    let mut seen = HashSet::new();
    eventually("both answer", async || {
        seen.insert(call(&channel, GET, "").await.unwrap());
        seen.len() == 2
    })
    .await;
}

#[tokio::test]
async fn a_killed_endpoint_fails_no_call_and_is_connected_again() {
    let world = World::new();
    let one = world.serve(named("one"), ServerOptions::default()).await;
    let two = world.serve(named("two"), ServerOptions::default()).await;
    let (address, both) = (one.address, [one.address, two.address]);
    let channel = world.channel("gateway", &both);
    eventually("the first answers", async || call(&channel, GET, "").await.unwrap() == "one").await;

    one.kill().await;
    for _ in 0..200 {
        assert_eq!(call(&channel, GET, "").await.unwrap(), "two");
    }
    // Not idempotent, but nothing is ever sent to an endpoint that is gone.
    for _ in 0..200 {
        assert_eq!(call(&channel, ADD, "").await.unwrap(), "two");
    }

    let _back = world.serve_at(address, named("back"), ServerOptions::default()).await;
    eventually("it is back", async || call(&channel, GET, "").await.unwrap() == "back").await;
}

#[tokio::test]
async fn a_busy_endpoint_gets_fewer_calls() {
    let world = World::new();
    let slow = Callee::new(|_| async {
        tokio::time::sleep(Duration::from_millis(100)).await; // the fault itself
        Ok("slow".to_owned())
    });
    let slow = world.serve(slow, ServerOptions::default()).await;
    let fast = world.serve(named("fast"), ServerOptions::default()).await;
    let channel = world.channel("gateway", &[slow.address, fast.address]);
    let mut seen = HashSet::new();
    eventually("both answer", async || {
        seen.insert(call(&channel, GET, "").await.unwrap());
        seen.len() == 2
    })
    .await;
    // Eight callers for a while: at random the two would get equally many, but then each caller
    // would spend nearly all of its time at the slow one.
    let callers = (0..8).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let (end, mut slow, mut fast) = (Instant::now() + Duration::from_secs(1), 0, 0);
            while Instant::now() < end {
                match call(&channel, GET, "").await.unwrap().as_str() {
                    "slow" => slow += 1,
                    _ => fast += 1,
                }
            }
            (slow, fast)
        })
    });
    let mut total = (0, 0);
    for caller in callers.collect::<Vec<_>>() {
        let (slow, fast) = caller.await.unwrap();
        total = (total.0 + slow, total.1 + fast);
    }
    assert!(total.1 > 5 * total.0, "slow {}, fast {}", total.0, total.1);
}

#[tokio::test]
async fn with_nobody_there_the_answer_is_quick_and_definite() {
    let world = World::new();
    let gone = world.serve(Callee::echo(), ServerOptions::default()).await;
    let address = gone.address;
    gone.kill().await;
    let channel = world.channel("gateway", &[address]);
    for _ in 0..3 {
        let began = Instant::now();
        let refused = call(&channel, GET, "").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    let _late = world.serve_at(address, named("late"), ServerOptions::default()).await;
    eventually("it came", async || call(&channel, GET, "").await.is_ok()).await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unavailable() {
    let world = World::new();
    let targets = "no-such-host.invalid:1".parse().unwrap();
    let channel = rpc::connect("product", &targets, &world.identity("gateway"));
    assert_eq!(call(&channel, GET, "").await.unwrap_err().code(), Code::Unavailable);
}

#[test]
fn targets_are_host_and_port() {
    for good in ["product:50051", "127.0.0.1:1,127.0.0.1:2", "[::1]:80", "a:1, b:2"] {
        good.parse::<rpc::Targets>().unwrap();
    }
    for bad in ["", "product", "product:", ":1", "product:70000", "http://product:1", "a:1,"] {
        bad.parse::<rpc::Targets>().unwrap_err();
    }
}
