//! Deadlines, retries, their budget and balancing are the same whatever is below them: the shop's HTTP/2, tonic's
//! own `Channel`, or no network at all.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use rpc::client::{Connection, Failure, Http2, Payload, Transport, connect_over};
use rpc::{Channel, ServerOptions, status};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service as _;

use crate::callee::{ADD, Callee, GET, call, call_with};
use crate::over_tonic::OverTonic;
use crate::raw;
use crate::world::{Server, World, eventually, targets};

/// The callees by the addresses that they would have.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<HashMap<SocketAddr, InMemory>>>);

#[derive(Clone)]
struct InMemory {
    callee: Callee,
    ended: CancellationToken,
}

impl Transport for Memory {
    type Connection = InMemory;

    async fn connect(
        &self,
        address: SocketAddr,
    ) -> Result<(InMemory, impl Future<Output = ()> + Send), Box<dyn std::error::Error + Send + Sync>>
    {
        let found = self.0.lock().unwrap().get(&address).cloned().ok_or("nobody there")?;
        let ended = found.ended.clone();
        Ok((found, async move { ended.cancelled().await }))
    }
}

impl Connection for InMemory {
    type Body = Body;

    fn is_closed(&self) -> bool {
        self.ended.is_cancelled()
    }

    async fn send(mut self, request: Request<Payload>) -> Result<Response<Body>, Failure> {
        let answer = self.callee.call(request.map(Body::new));
        let answer = self.ended.clone().run_until_cancelled_owned(answer).await;
        let lost = || Failure { status: Status::unavailable("it is gone"), unsent: false };
        answer.ok_or_else(lost).map(|answered| answered.unwrap_or_else(|never| match never {}))
    }
}

/// Calls that count, and do what their text says.
fn callee(attempts: &Arc<AtomicUsize>) -> Callee {
    let attempts = Arc::clone(attempts);
    Callee::new(move |request| {
        let attempt = attempts.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            match request.get_ref().as_str() {
                "hang" => std::future::pending().await,
                "fail twice" if attempt > 2 => Ok("at last".to_owned()),
                "fail" | "fail twice" => {
                    Err(status::refusal(Code::Unavailable, "unavailable", "not now"))
                }
                text => Ok(text.to_owned()),
            }
        }
    })
}

/// What holds over every transport to one callee that counts its attempts.
async fn policies_hold<T: Transport>(channel: &Channel<T>, attempts: &AtomicUsize) {
    let sent = || attempts.swap(0, Ordering::SeqCst);
    assert_eq!(call(channel, GET, "fail twice").await.unwrap(), "at last");
    assert_eq!(sent(), 3, "an idempotent call is repeated");

    let refused = call(channel, ADD, "fail").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "not now"));
    assert_eq!(sent(), 1, "another one is not");
    let pushback = refused.metadata().get("grpc-retry-pushback-ms");
    assert_eq!(pushback.unwrap(), "-1", "and nobody above repeats it");

    let mut request = tonic::Request::new("hang".to_owned());
    request.set_timeout(Duration::from_millis(200));
    let began = Instant::now();
    let late = call_with(channel, GET, request).await.unwrap_err();
    assert_eq!(status::reason(&late).as_deref(), Some("deadline_exceeded"));
    assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());

    sent();
    for _ in 0..100 {
        assert_eq!(call(channel, GET, "fail").await.unwrap_err().code(), Code::Unavailable);
    }
    let sent = sent();
    assert!((101..=120).contains(&sent), "a budget bounds the retries: {sent} attempts");
}

/// Two callees share the calls; when one is gone, the other gets them all.
async fn balancing_holds<T: Transport>(
    channel: &Channel<T>,
    counts: &[Arc<AtomicUsize>; 2],
    end_first: impl AsyncFnOnce(),
) {
    let both = async || {
        call(channel, GET, "x").await.unwrap();
        counts.iter().all(|count| count.load(Ordering::SeqCst) > 10)
    };
    eventually("both have calls", both).await;
    end_first().await;
    counts[1].store(0, Ordering::SeqCst);
    for _ in 0..200 {
        assert_eq!(call(channel, GET, "x").await.unwrap(), "x");
    }
    assert_eq!(counts[1].load(Ordering::SeqCst), 200);
}

async fn over_sockets<T: Transport>(transport: impl Fn(&World) -> T) {
    let world = World::new();
    let attempts = Arc::new(AtomicUsize::new(0));
    let serve = async |count: &_| world.serve(callee(count), ServerOptions::default()).await;
    let connect =
        |servers: &[SocketAddr]| connect_over(transport(&world), "product", &targets(servers));
    let server = serve(&attempts).await;
    policies_hold(&connect(&[server.address]), &attempts).await;

    let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let (one, other) = (serve(&counts[0]).await, serve(&counts[1]).await);
    let channel = connect(&[one.address, other.address]);
    balancing_holds(&channel, &counts, async || Server::kill(one).await).await;
}

#[tokio::test]
async fn policies_hold_over_our_own_transport() {
    over_sockets(|world| Http2::new("product", world.identity("gateway"))).await;
}

#[tokio::test]
async fn policies_hold_over_tonics_channel() {
    over_sockets(|world| {
        world.issue("gateway", &world.path("gateway"));
        let mut config = raw::known(&world.path("gateway"));
        config.alpn_protocols = vec![b"h2".to_vec()];
        OverTonic(Arc::new(config))
    })
    .await;
}

#[tokio::test]
async fn policies_hold_without_a_network() {
    let memory = Memory::default();
    let serve = |address: &str, count: &Arc<AtomicUsize>| {
        let (address, ended) = (address.parse().unwrap(), CancellationToken::new());
        let there = InMemory { callee: callee(count), ended: ended.clone() };
        memory.0.lock().unwrap().insert(address, there);
        (address, ended)
    };
    let attempts = Arc::new(AtomicUsize::new(0));
    let (address, _) = serve("192.0.2.1:1", &attempts);
    let connect = |servers: &[_]| connect_over(memory.clone(), "product", &targets(servers));
    policies_hold(&connect(&[address]), &attempts).await;

    let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let (one, ended) = serve("192.0.2.2:1", &counts[0]);
    let (other, _) = serve("192.0.2.3:1", &counts[1]);
    let channel = connect(&[one, other]);
    let end_first = async || {
        memory.0.lock().unwrap().remove(&one);
        ended.cancel();
    };
    balancing_holds(&channel, &counts, end_first).await;

    memory.0.lock().unwrap().clear();
    let nobody = timeout(Duration::from_secs(1), call(&connect(&[one]), ADD, "x")).await;
    assert_eq!(nobody.expect("at once").unwrap_err().code(), Code::Unavailable);
}
